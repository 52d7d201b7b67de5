"""The command as a user meets it: verbs, JSON, and mistakes answered in one line."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shoal.cli.main import run

SMALL = [
    *("--steps", "400", "--num-envs", "8", "--unroll", "25", "--evaluations", "1"),
    *("--eval-episodes", "4", "--algo.hidden", "8", "--algo.minibatches", "2"),
    *("--algo.epochs", "1", "--pictures", "False"),
]


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a mistake leaves; nothing else may be printed."""
    assert run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("shoal: "), err
    return err


TRAIN = ("train", "mappo", "mpe/simple")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tran",), "did you mean 'train'?"),
        (("train",), "ALGORITHM is missing"),
        (("train", "mapo", "mpe/simple"), "did you mean 'mappo'?"),
        (("train", "mappo", "mpe/simple_spred"), "did you mean 'mpe/simple_spread'?"),
        ((*TRAIN, "--stepz", "5"), "did you mean '--steps'?"),
        ((*TRAIN, "--algo.learning-rat", "1"), "did you mean '--algo.learning-rate'?"),
        ((*TRAIN, "--env.dampin", "1"), "did you mean '--env.damping'?"),
        ((*TRAIN, "--preset", "mpe/simpl"), "unknown preset 'mpe/simpl'"),
        ((*TRAIN, "--steps", "many"), "--steps is 'many', expected a whole number"),
        ((*TRAIN, "--algo.learning-rate", "fast"), "--algo.learning-rate"),
        (
            (*TRAIN, "--algo.learning-rate", "-1"),
            "--algo.learning-rate is -1.0, expected a positive",
        ),
        ((*TRAIN, "--algo.discount", "1.5"), "--algo.discount is 1.5, expected a number in [0, 1]"),
        ((*TRAIN, "--algo.critic", "globl"), "did you mean 'global'?"),
        (
            (*TRAIN, "--algo.critic", "x"),
            "unknown --algo.critic 'x': choose one of: both, global",
        ),
        ((*TRAIN, "--algo.clip"), "--algo.clip has no value, expected positive number"),
        ((*TRAIN, "--algo.hidden", "8", "wide"), "--algo.hidden is 'wide', expected a whole"),
        (("eval", "D", "--member", "x"), "--member is 'x', expected a whole number"),
        (("render", "D", "--checkpoint", "-3"), "--checkpoint is -3, expected 0 or more"),
        (("render", "D", "--format", "png"), "choose one of: gif, heat-map, html, mp4"),
        (("resume", "D", "--pictures", "no"), "--pictures is 'no', expected True or False"),
        (("train", "vdn", "coop/matrix", "--env.payoffs"), "Missing value for argument '--env.pay"),
        ((*TRAIN, "--num-envs", "0"), "--num-envs is 0, expected at least 1"),
        ((*TRAIN, "--steps", "0"), "--steps is 0, expected at least 1"),
        ((*TRAIN, "--algo.minibatches", "7"), "expected a multiple of minibatches, which is 7"),
        (("train", "vdn", "mpe/simple", "--env.continuous-actions", "True"), "discrete actions"),
        (("list", "algorithm"), "did you mean 'algorithms'?"),
        (("list", "gamez"), "did you mean 'games'?"),
        (("list", "games", "kuhn"), "'kuhn' is one word too many"),
        (("list", "environments", "jumanj"), "did you mean 'jumanji'?"),
        (("list", "presets", "mapo"), "did you mean 'mappo'?"),
        (("info", "mapo"), "did you mean 'mappo'?"),
        (("info", "mapo", "mpe/simple"), "did you mean 'mappo'?"),
        (("info", "mappo", "mpe/simpel"), "did you mean 'mpe/simple'?"),
        (("bench", "env", "mpe/simple", "--num-envs", "0"), "num_envs is 0"),
        (("eval", "no/such/run"), "holds no run"),
        (("resume", "no/such/run"), "holds no run"),
        (("compare", "one"), "two run directories or more"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in error(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []  # nothing was left behind


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert run([*TRAIN, *SMALL, "--out", str(out)]) == 0
    return out


def test_a_directory_that_holds_a_run_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    before = (finished / "metrics.jsonl").read_bytes()
    assert "shoal resume" in error(capsys, *TRAIN, *SMALL, "--out", str(finished))
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_eval_prints_one_json_object(capsys: pytest.CaptureFixture[str], finished: Path) -> None:
    assert run(["eval", str(finished), "--episodes", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["environment"] == "mpe/simple" and report["episodes"] == 5
    assert set(report["return"]) == {"mean", "iqm", "low", "high"}
    assert set(report["metrics"]["success"]) == {"mean", "iqm", "low", "high"}


def test_eval_plays_what_policies_are_compared_with(capsys: pytest.CaptureFixture[str]) -> None:
    means = {}
    for which in ("random", "scripted"):
        words = ("eval", which, "mpe/simple", "--env.horizon", "5", "--episodes", "16", "--json")
        assert run(list(words)) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["policy"] == which and found["episodes"] == 16
        means[which] = found["return"]["mean"]
    assert means["random"] < means["scripted"] < 0
    assert "did you mean 'mpe/simple'" in error(capsys, "eval", "random", "mpe/simpl")
    assert "no scripted controller" in error(capsys, "eval", "scripted", "game/matching_pennies")
    said = error(capsys, "eval", "random", "mpe/simple", "--env.dampin", "1")
    assert "did you mean '--env.damping'" in said


def test_a_policy_is_evaluated_and_drawn_in_a_like_environment(
    capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
) -> None:
    config = (finished / "config.json").read_bytes()
    reports = []
    for horizon in ("2", "4"):
        how = ["--episodes", "50", "--json", "--env.horizon", horizon]
        assert run(["eval", str(finished), *how]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert [r["environment_fields"]["horizon"] for r in reports] == [2, 4]
    assert reports[1]["return"]["mean"] < 1.5 * reports[0]["return"]["mean"] < 0
    page = str(tmp_path / "short.html")
    assert run(["render", str(finished), "--env.horizon", "2", "--out", page]) == 0
    assert (finished / "config.json").read_bytes() == config


@pytest.mark.parametrize(
    "words, complaint",
    [
        (("--env.horizn", "2"), "did you mean '--env.horizon'?"),
        (("--env.horizon", "0"), "--env.horizon is 0, expected at least 1"),
        (("--env.continuous-actions", "True"), "it was trained on Discrete"),
    ],
)
def test_an_environment_that_is_not_alike_is_a_clear_mistake(
    capsys: pytest.CaptureFixture[str], finished: Path, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in error(capsys, "eval", str(finished), *words)


def test_a_heat_map_and_its_numbers(
    capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
) -> None:
    words = ("render", str(finished), "--format", "heat-map", "--episodes", "20")
    assert run([*words, "--env.horizon", "3"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == finished / "heat_map_horizon_3.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    numbers = json.loads(path.with_suffix(".json").read_text())
    assert numbers["agents"] == ["agent_0"] and numbers["goals"] == ["landmark 0"]
    assert numbers["episodes"] == 20 and numbers["counts"] == "last"
    cells = [cell for row in numbers["visits"][0] for cell in row]
    assert sum(cells) == pytest.approx(1) and all(round(60 * c, 6).is_integer() for c in cells)
    assert 0 <= numbers["served"]["low"][0][0] <= numbers["served"]["mean"][0][0] <= 1
    assert run([*words, "--out", str(tmp_path / "map.png")]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.json", "map.png"]


@pytest.mark.parametrize(
    "words, complaint",
    [
        (("--format", "heatmap"), "did you mean 'heat-map'?"),
        (("--format", "heat-map", "--episodes", "1"), "episodes is 1, expected at least 2"),
        (("--format", "heat-map", "--out", "map.jpg"), "map.jpg, expected NAME.png"),
        (("--format", "heat-map", "--episodes", "2", "--out", "no/map.png"), "cannot write no/map"),
        (("--out", "no/replay.html"), "cannot write no/replay.html: No such file"),
    ],
)
def test_a_picture_that_cannot_be_made_is_a_clear_mistake(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    finished: Path,
    words: tuple[str, ...],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint in error(capsys, "render", str(finished), *words)
    assert list(tmp_path.iterdir()) == []


def test_resuming_a_finished_run_changes_nothing_and_draws_what_it_was_told_to(
    finished: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(finished, copied)
    before = {path.name: path.read_bytes() for path in copied.glob("*.json*")}
    assert run(["resume", str(copied)]) == 0  # begun with --pictures False
    assert not (copied / "curve.png").exists() and not (copied / "replay.html").exists()
    assert run(["resume", str(copied), "--pictures"]) == 0
    assert (copied / "curve.png").is_file() and (copied / "replay.html").is_file()
    assert {path.name: path.read_bytes() for path in copied.glob("*.json*")} == before


def test_compare_names_the_settings_that_differ(
    capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
) -> None:
    other = tmp_path / "second"
    assert run([*TRAIN, *SMALL, "--algo.clip", "0.1", "--out", str(other)]) == 0
    capsys.readouterr()
    assert run(["compare", str(finished), str(other), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    settings = {r["directory"]: r["settings"] for r in report["runs"]}
    assert settings == {str(finished): {"algo.clip": 0.2}, str(other): {"algo.clip": 0.1}}


def test_compare_refuses_different_worlds(
    capsys: pytest.CaptureFixture[str], finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(
        (finished / "config.json").read_text().replace("mpe/simple", "mpe/simple_tag")
    )
    (tmp_path / "eval.json").write_bytes((finished / "eval.json").read_bytes())
    assert "different worlds" in error(capsys, "compare", str(finished), str(tmp_path))


@pytest.mark.parametrize("kind", ["algorithms", "environments"])
def test_list_prints_one_json_object(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert run(["list", kind, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[kind]) >= 6


def test_help_does_not_import_jax() -> None:
    script = (
        "import sys; from shoal.cli.main import run; run(['--help']); run(['list', 'algorithms'])"
    )
    check = f"{script}; assert not {{'jax', 'numpy', 'equinox'}} & set(sys.modules)"
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", check], check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - start < 5  # half a second on a quiet machine


def test_bench_steps_worlds_of_the_host_too(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--num-envs", "2", "--seconds", "0.01", "--env.in-process", "True", "--json"]
    assert run(["bench", "env", "gymnasium:CartPole-v1", *small]) == 0
    algorithm = ["--unroll", "8", "--algo.minibatches", "2", "--algo.hidden", "4"]
    assert run(["bench", "train", "ippo", "gymnasium:CartPole-v1", *algorithm, *small]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert json.loads(line)["steps_per_second"] > 0


def test_bench_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--num-envs", "8", "--seconds", "0.01", "--json"]
    assert run(["bench", "env", "mpe/simple", *small]) == 0
    report = json.loads(capsys.readouterr().out)
    keys = {"steps_per_second", "compile_seconds", "peak_memory_bytes", "device"}
    assert set(report) == keys and report["steps_per_second"] > 0
