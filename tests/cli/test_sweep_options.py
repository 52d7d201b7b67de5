"""Sweeps from the command line: what is refused, what is trained, and what is said of it."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoal import registry
from shoal.agents.policy_gradient.ppo import PPO
from shoal.cli.arguments import Arguments
from shoal.cli.declared import leaves
from shoal.cli.main import run
from shoal.cli.sweep import read_sweep, settings_of, settings_table
from shoal.core.errors import UserError
from shoal.envs.particle.simple import Simple
from shoal.runs.curve import Curve, figure
from shoal.runs.run_directory import read_metrics
from shoal.training import train as training
from shoal.training.progress import Reporter
from shoal.training.trainer import WALL_CLOCK

WORDS = ("mappo", "mpe/simple")
LEAVES = (
    "learning-rate, max-grad-norm, discount, entropy-weight, init-log-std, gae-lambda, "
    "value-weight, clip, target-kl"
)
FORM = "expected numbers with a comma between each two and no spaces"


@pytest.mark.parametrize("name", registry.ALGORITHMS)
def test_leaves_are_the_numbers_that_are_not_static(name: str) -> None:
    algorithm = registry.ALGORITHMS[name].load()()
    known = [
        field.name
        for field in dataclasses.fields(algorithm)
        if not field.metadata.get("static") and type(getattr(algorithm, field.name)) in (int, float)
    ]
    assert leaves(registry.ALGORITHMS[name].target) == known


def test_comma_lists_are_taken_out_and_all_else_stays() -> None:
    words = "--steps 5 --algo.learning-rate 1e-4,3e-4 --algo.init_log_std=-1,0.5 --algo.clip 0.3"
    sweep, rest = read_sweep(Arguments.of([*words.split(), "--algo.hidden", "8", "8"]), *WORDS)
    assert sweep == {"learning_rate": [1e-4, 3e-4], "init_log_std": [-1.0, 0.5]}
    assert rest.words() == ["--steps", "5", "--algo.clip", "0.3", "--algo.hidden", "8", "8"]


def test_whole_numbers_are_swept_as_such() -> None:
    sweep, _ = read_sweep(Arguments.of(["--algo.target-interval", "1,20"]), "vdn", "mpe/simple")
    assert sweep == {"target_interval": [1, 20]}
    assert all(type(x) is int for x in sweep["target_interval"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--algo.epochs 1,2",
            f"--algo.epochs shapes the program: it cannot be swept; sweep one of: {LEAVES}",
        ),
        (
            "--algo.hidden 64,64",
            "--algo.hidden shapes the program: it cannot be swept (a single value of several words "
            f"has spaces: --algo.hidden 64 64); sweep one of: {LEAVES}",
        ),
        ("--algo.clip 0.1,", f"--algo.clip is '0.1,', {FORM}"),
        ("--algo.clip=,", f"--algo.clip is ',', {FORM}"),
        ("--algo.clip 0.1, 0.2", f"--algo.clip is '0.1, 0.2', {FORM}"),
        ("--algo.clip 0.2,0.1,0.20", "--algo.clip has 0.20 twice in '0.2,0.1,0.20'"),
        ("--algo.clip 0.1,0", "--algo.clip is 0.0, expected a positive number"),
        ("--algo.clip 0.1,x", "--algo.clip is 'x', expected a number"),
        ("--algo.discount 0.9,1.5", "--algo.discount is 1.5, expected a number in [0, 1]"),
        ("--algo.clip 0.1,0.2 --algo.clip 3", "--algo.clip is there twice"),
        (
            "--env.damping 0.1,0.2",
            "--env.damping takes one value: only the algorithm's numbers can be swept",
        ),
        ("--algo.clp 0.1,0.2", "unknown option '--algo.clp': did you mean '--algo.clip'?"),
        ("--seeds 1,2", "--seeds is '1,2', expected a whole number"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", *WORDS, *words.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"shoal: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_values_are_checked_without_jax() -> None:
    script = (
        "import sys; from shoal.cli.main import run\n"
        "code = run(['train', 'mappo', 'mpe/simple', '--algo.discount', '0.9,2'])\n"
        "print(code, [m for m in ('jax', 'numpy', 'equinox', 'tyro') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 []\n"
    assert done.stderr == "shoal: --algo.discount is 2.0, expected a number in [0, 1]\n"


# In Python -------------------------------------------------------------------------------------

SETTINGS = dict(total_steps=400, num_envs=8, unroll=5, evaluations=2, eval_episodes=8, quiet=True)
SMALL = dict(hidden=(8,), minibatches=2, epochs=1)


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"epochs": [1, 2]}, "epochs shapes the program: it cannot be swept; sweep one of"),
        ({"clap": [1.0]}, "unknown hyper-parameter to sweep 'clap': did you mean 'clip'?"),
        ({"clip": []}, "clip has no values to sweep"),
        ({"clip": [0.1, 0.1]}, "clip has a value twice"),
        ({"clip": [0.1, -1.0]}, "clip is -1.0, expected a positive number"),
    ],
)
def test_python_refuses_the_same_before_anything_is_written(
    tmp_path: Path, sweep: dict, said: str
) -> None:
    with pytest.raises(UserError) as error:
        training.start("ippo", PPO(**SMALL), Simple(), tmp_path / "x", sweep=sweep, **SETTINGS)
    assert str(error.value).startswith(said)
    assert not (tmp_path / "x").exists()


TWO_RUNS = """
import dataclasses, sys
from pathlib import Path
from shoal.training.devices import prepare
prepare(deterministic=True)
import jax, numpy as np
from shoal.agents.policy_gradient.ppo import PPO
from shoal.envs.particle.simple import Simple
from shoal.training.train import start
out = Path(sys.argv[1])
algorithm = PPO(hidden=(8,), minibatches=2, epochs=1)
settings = dict(total_steps=400, num_envs=8, unroll=5, evaluations=2, eval_episodes=8)
settings |= dict(quiet=True, deterministic=True)
sweep = {"learning_rate": [1e-3, 1e-2], "clip": [0.1, 0.2]}
many = start("ippo", algorithm, Simple(), out / "all", sweep=sweep, seeds=2, seed=3, **settings)
algorithm = dataclasses.replace(algorithm, learning_rate=1e-2, clip=0.1)
one = start("ippo", algorithm, Simple(), out / "alone", seed=4, **settings)
member = many.config.members().index({"seed": 4, "learning_rate": 1e-2, "clip": 0.1})
pairs = zip(jax.tree.leaves(many.policies[member]), jax.tree.leaves(one.policy), strict=True)
print(member, sum(a.size for a in jax.tree.leaves(one.policy)) > 50)
print(all(np.array_equal(a, b) for a, b in pairs))
"""


def test_a_member_of_a_sweep_is_the_single_run_bit_for_bit(tmp_path: Path) -> None:
    """On one device, compiled as users have it. The member is neither the first nor the last."""
    environ = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_RUNS, str(tmp_path)], env=environ, capture_output=True, text=True
    )
    assert done.stdout == "5 True\nTrue\n", done.stderr
    chosen = {"seed": 4, "learning_rate": 1e-2, "clip": 0.1}
    member, alone = (list(read_metrics(tmp_path / d / "metrics.jsonl")) for d in ("all", "alone"))
    rows = [of_training(row) for row in member if chosen.items() <= row.items()]
    assert rows == [of_training(row) for row in alone] and len(rows) == 10


def of_training(row: dict) -> dict:
    """Without the clock, the swept values, and what is evaluated: its episodes follow from the
    first seed of a run."""
    hidden = {*WALL_CLOCK, "learning_rate", "clip"}
    return {k: v for k, v in row.items() if k not in hidden and not k.startswith("eval_")}


# What is said of it ----------------------------------------------------------------------------


def member(clip: float, seed: int, score: float | None) -> dict:
    return {"seed": seed, "clip": clip, "return": score}


def test_settings_are_ranked_by_their_mean_over_seeds() -> None:
    members = [
        *(member(0.1, 0, 1.0), member(0.1, 1, 3.0)),
        *(member(0.2, 0, None), member(0.2, 1, 9.0)),
        *(member(0.3, 0, 4.0), member(0.3, 1, 6.0)),
    ]
    best, second, broken = settings_of(["clip"], members)
    assert (best.values, best.members, best.mean) == ({"clip": 0.3}, [4, 5], 5.0)
    assert (best.low, best.high) == pytest.approx((5 - 12.706, 5 + 12.706), abs=1e-3)  # Student's t
    assert second.mean == 2.0
    assert broken.values == {"clip": 0.2} and math.isnan(broken.mean)
    head, first, *_, last = settings_table([best, second, broken])
    assert head.split() == ["clip", "members", "return", "95", "%"]
    assert first.split() == ["*", "0.3", "4-5", "5.00", "[-7.71,", "17.71]"]
    assert last.split() == ["0.2", "2-3", "nan", "\N{EN DASH}"]


def test_one_seed_has_no_interval() -> None:
    (only,) = settings_of(["clip"], [member(0.123456789, 0, 1.0)])
    assert (only.mean, only.low, only.high) == (1.0, None, None)
    assert only.name == "clip 0.123456789"  # no digit is lost


def test_the_progress_line_says_whose_steps_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter() as reporter:
        reporter.begin(1000, members=4)
        reporter.update({"step": 500.0, "steps_per_second": 100.0}, last=True)
    said = capsys.readouterr().err
    assert said.split(" · ") == [
        "         500 / 1,000 steps each of 4 members",
        "100 steps/s in all",
        "20 s left\n",  # 500 steps of each of 4 at 100 a second
    ]


@pytest.mark.parametrize(("count", "inside"), [(2, True), (8, False), (30, False)])
def test_a_curve_for_each_setting_has_a_colour_and_a_name(count: int, inside: bool) -> None:
    steps, returns = np.array([0.0, 1.0]), np.array([[0.0, 1.0], [2.0, 3.0]])
    curves = [Curve(f"clip {i}", steps, returns + i) for i in range(count)]
    drawn = figure(curves, title="t", horizon=25)
    (axes,) = drawn.axes
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [c.label for c in curves]
    assert legend.get_title().get_text() == "mean of 2 seeds with 95 % interval"
    assert len({line.get_color() for line in axes.lines}) == len(axes.collections) == count
    assert (drawn.get_figwidth() == 7.2) == inside


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of two settings with two seeds, and what its command printed."""
    out = tmp_path_factory.mktemp("runs") / "sweep"
    small = "--steps 400 --num-envs 8 --unroll 25 --evaluations 1 --eval-episodes 4"
    small += " --algo.hidden 8 --algo.minibatches 2 --algo.epochs 1"
    words = f"{small} --algo.learning-rate 1e-9,1e-2 --seeds 2 --out {out}".split()
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *said, **_: lines.append(" ".join(map(str, said))))
        assert run(["train", *WORDS, *words]) == 0
    return out, "\n".join(lines)


def test_the_command_trains_every_setting_with_every_seed(swept: tuple[Path, str]) -> None:
    out, printed = swept
    members = json.loads((out / "eval.json").read_text())["members"]
    assert [(m["learning_rate"], m["seed"]) for m in members] == [
        *((1e-9, 0), (1e-9, 1)),
        *((1e-2, 0), (1e-2, 1)),
    ]
    means = [np.mean([m["return"] for m in members[i : i + 2]]) for i in (0, 2)]
    names = ("1e-09", "0.01")
    best, worst = np.argsort(means)[::-1]
    rows = [line.split() for line in printed.splitlines()]
    assert ["*", names[best], f"{2 * best}-{2 * best + 1}", f"{means[best]:.2f}"] in [
        row[:4] for row in rows
    ]
    assert [names[worst], f"{2 * worst}-{2 * worst + 1}", f"{means[worst]:.2f}"] in [
        row[:3] for row in rows
    ]
    assert f"best: learning_rate {names[best]}" in printed
    assert "replay.html (member 0: learning_rate 1e-09, seed 0)" in printed
    assert (out / "curve.png").stat().st_size > 10_000


def test_eval_gives_a_row_a_setting_or_one_member(
    swept: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = swept
    assert run(["eval", str(out), "--episodes", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [m["seed"] for m in report["members"]] == [0, 1, 0, 1]
    for setting in report["settings"]:
        scores = [report["members"][i]["return"] for i in setting["members"]]
        assert setting["return"]["mean"] == pytest.approx(np.mean(scores))
    assert run(["eval", str(out), "--episodes", "3", "--json", "--member", "2"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["members"] == [report["members"][2]] and "settings" not in one
    assert one["return"]["mean"] == pytest.approx(report["members"][2]["return"])
    assert run(["eval", str(out), "--episodes", "3"]) == 0
    assert "return per agent of 2 settings, mean of 2 seeds" in capsys.readouterr().out


def test_a_member_is_rendered_beside_the_first_and_checked(
    swept: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = swept
    before = (out / "replay.html").read_bytes()
    assert run(["render", str(out), "--episodes", "1", "--member", "3"]) == 0
    said = capsys.readouterr().out
    assert said == f"{out / 'replay_3.html'} (member 3: learning_rate 0.01, seed 1)\n"
    assert run(["render", str(out), "--episodes", "1", "--env.horizon", "5"]) == 0
    assert (out / "replay_horizon_5.html").is_file()
    assert (out / "replay.html").read_bytes() == before
    capsys.readouterr()
    assert run(["render", str(out), "--format", "heat-map", "--out", "map.gif"]) == 2
    said = capsys.readouterr().err
    assert said == "shoal: a heat map is written to map.gif, expected NAME.png\n"
    for verb in ("render", "eval", "export"):
        assert run([verb, str(out), "--member", "4"]) == 2
        assert capsys.readouterr().err == "shoal: --member is 4, expected 0 to 3\n"
