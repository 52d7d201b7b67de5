"""Tuning: ranges from declared types, studies that survive kills, presets that can be used."""

import csv
import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, Literal

import pytest

from shoal import registry
from shoal.cli import train as train_verb, tune
from shoal.cli.arguments import Arguments
from shoal.cli.declared import fields, leaves
from shoal.core.errors import UserError
from shoal.core.limits import Count, Fraction, Natural, NonNegative, Positive, Several
from shoal.runs.fields import fields_of, from_fields
from shoal.training import presets
from shoal.tuning.plan import Plan, keep_plan, read_plan
from shoal.tuning.space import Dimension, around, read_search, search_space

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="Optuna is an extra"
)
KINDS = fields(registry.ALGORITHMS["ippo"].target)


# Ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Positive, 7e-4, ("log", 7e-5, 7e-3)),
        (NonNegative, 0.5, ("log", 0.05, 5.0)),
        (NonNegative, 0.0, None),  # of no size
        (Fraction, 0.99, ("near one", 0.9, 0.999)),
        (Fraction, 0.9, ("near one", 0.5, 0.99)),  # never below a half
        (Fraction, 0.05, ("log", 0.005, 0.5)),
        (Fraction, 0.2, ("log", 0.02, 1.0)),  # never above 1
        (Fraction, 1.0, None),  # undiscounted is a statement
        (Fraction, 0.0, None),
        (Count, 4, ("power of two", 1, 16)),
        (Count, 1, ("power of two", 1, 4)),
        (Several, 4, ("log integer", 2, 16)),
        (Natural, 10_000, ("log integer", 2500, 40_000)),
        (Count, 5, ("log integer", 2, 20)),
        (Natural, 0, None),
        (float, -0.5, ("linear", -1.5, 0.5)),
    ],
)
def test_a_range_lies_around_the_value_and_within_the_limits(
    kind: Any, value: float, expected: tuple | None
) -> None:
    if kind is Several:  # whose lowest value is a power of two as well
        expected = ("power of two", 2, 16)
    found = around("x", kind, value)
    assert (found and (found.scale, found.low, found.high)) == expected


def test_truth_values_and_names_are_choices() -> None:
    found = around("x", Literal["a", "b"], "b"), around("x", bool, True)
    assert [d and d.choices for d in found] == [("a", "b"), (False, True)]
    assert around("hidden", None, (64, 64)) is None


@pytest.mark.parametrize("name", sorted(registry.ALGORITHMS))
def test_the_first_trial_has_the_values_as_they_are(name: str) -> None:
    """Through the study's transforms and back, to the last digit."""
    target = registry.ALGORITHMS[name].target
    values = fields_of(registry.make_algorithm(name))
    space = search_space({}, fields(target), values, leaves=leaves(target))
    plan = Plan(name, values | {"extra": 1}, "w", {}, {}, space)
    assert len(space) >= 2
    assert plan.values(plan.start()) == {d.field: values[d.field] for d in space}


def test_a_value_with_many_digits_stays_as_it_is_only_at_the_start() -> None:
    space = (Dimension("clip", "log", 0.01, 1.0),)
    plan = Plan("ippo", {"clip": 0.123456789}, "w", {}, {}, space)
    assert plan.values({"clip": 0.123456789}) == {"clip": 0.123456789}
    assert plan.values({"clip": 0.198765432}) == {"clip": 0.1988}


@needs_optuna
@pytest.mark.parametrize(
    "dimension",
    [
        Dimension("x", "log", 0.000333333, 0.00777777),
        Dimension("x", "near one", 0.55555, 0.99999),
        Dimension("x", "linear", -1.23456, 4.56789),
        Dimension("x", "power of two", 2, 16),
        Dimension("x", "log integer", 3, 17),
    ],
)
def test_what_is_drawn_at_the_ends_stays_in_the_range(dimension: Dimension) -> None:
    distribution = dimension.distribution()
    ends: list[Any] = [dimension.value(x) for x in (distribution.low, distribution.high)]
    found = sorted(ends)
    assert found == pytest.approx([dimension.low, dimension.high], rel=1e-3)
    assert found[0] >= dimension.low and found[1] <= dimension.high
    for value in found:
        drawn = dimension.drawn(value)
        assert dimension.value(drawn) == value
        assert distribution.low <= drawn <= distribution.high


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("clip=0.1:0.4", Dimension("clip", "linear", 0.1, 0.4)),
        ("learning-rate=1e-4:1e-2", Dimension("learning_rate", "log", 1e-4, 1e-2)),
        ("discount=0.9:0.999", Dimension("discount", "near one", 0.9, 0.999)),
        ("discount=0.5:1", Dimension("discount", "linear", 0.5, 1.0)),
        ("epochs=1:8", Dimension("epochs", "integer", 1, 8)),
        ("minibatches=1,2,8", Dimension("minibatches", "choice", choices=(1, 2, 8))),
        ("activation=tanh,relu", Dimension("activation", "choice", choices=("tanh", "relu"))),
        ("clip_values=True,False", Dimension("clip_values", "choice", choices=(True, False))),
    ],
)
def test_a_given_range_is_read(word: str, expected: Dimension) -> None:
    assert read_search([word], KINDS) == {expected.field: expected}


def test_fields_can_be_listed_and_set_ones_are_left_alone() -> None:
    values = fields_of(registry.make_algorithm("ippo"))
    numbers = leaves(registry.ALGORITHMS["ippo"].target)
    named = search_space(read_search(["clip,discount", "epochs"], KINDS), KINDS, values)
    assert [d.field for d in named] == ["clip", "discount", "epochs"]
    rest = search_space({}, KINDS, values, fixed=["clip"], leaves=numbers)
    fields_searched = [d.field for d in rest]
    assert "clip" not in fields_searched and "learning_rate" in fields_searched
    assert "init_log_std" not in fields_searched  # its type says nothing of a scale
    assert "epochs" not in fields_searched  # which shapes the program


# Mistakes -------------------------------------------------------------------------------------

TUNE = ("ippo", "mpe/simple")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--search", "learning_rat"), "unknown field to search 'learning_rat': did you mean"),
        (("--search", "clip=0.4:0.1"), "--search clip is the empty range 0.4:0.1"),
        (("--search", "clip=0.1:0.1"), "empty range"),
        (("--search", "clip=-1:0.1"), "--search clip is -1.0, expected a positive number"),
        (("--search", "discount=0.9:1.1"), "--search discount is 1.1, expected a number in [0, 1]"),
        (("--search", "clip=0.1:"), "expected LOW:HIGH"),
        (("--search", "clip=0.1"), "--algo.clip 0.1 sets it"),
        (("--search=clip=0.1,0.1"), "has a value twice"),
        (("--search", "clip=nan:1"), "--search clip is nan"),
        (("--search", "activation=tanh:relu"), "it has no range"),
        (("--search", "activation=tanh,rely"), "did you mean 'relu'?"),
        (("--search", "clip,epochs=1:2"), "several fields one range"),
        (("--search", "clip", "--search", "clip=0.1:0.2"), "names clip twice"),
        (("--search", "--trials", "3"), "--search names no field"),
        (("--search", "hidden"), "neither a number nor a choice"),
        (("--trials", "0"), "--trials is 0, expected at least 1"),
        (("--trails", "4"), "did you mean '--trials'?"),
        (("--goal", "maxi"), "did you mean 'max'?"),
        (("--timeout", "-1"), "--timeout is -1.0, expected 0 or more"),
        (("--algo.minibatches", "7"), "expected a multiple of minibatches, which is 7"),
        (("--preset", "no/such.toml"), "cannot read preset no/such.toml: No such file"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [arguments] if isinstance(arguments, str) else list(arguments)
    with pytest.raises(UserError) as error:
        tune.run(Arguments.of([*TUNE, *words]))
    assert said in str(error.value) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@needs_optuna
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--metric", "succes"), "unknown metric 'succes': did you mean 'success'?"),
        (("--search", "recurrent"), "recurrent is 0, which gives no range around it"),
    ],
)
def test_mistakes_that_only_built_things_show(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        tune.run(Arguments.of([*TUNE, *arguments]))
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_the_line_says_how_to_install_it(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['optuna'] = None\n"
        "from shoal.cli import tune\nfrom shoal.cli.arguments import Arguments\n"
        "try: tune.run(Arguments.of(['ippo', 'mpe/simple']))\n"
        "except ValueError as error: print(error)\n"
        "assert 'jax' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "Optuna is not installed: pip install 'shoal[tune]'\n"
    assert list(tmp_path.iterdir()) == []


# Studies, with a training that is a formula ---------------------------------------------------


def plan_of(**changes: Any) -> Plan:
    """A study of two numbers; its formula is at its best at learning_rate 1e-3, clip 0.3."""
    space = (
        Dimension("learning_rate", "log", 1e-5, 1e-1),
        Dimension("clip", "linear", 0.1, 1.0),
    )
    values = fields_of(registry.make_algorithm("ippo", learning_rate=5e-2, clip=0.9))
    run = {"total_steps": 1000, "num_envs": 10, "unroll": 10, "evaluations": 4}
    return Plan("ippo", values, "mpe/simple", {}, run, space, **changes)


class Formula:
    """Stands for a training: four evaluations that grow to the final value."""

    def __init__(self, stop_in: int = -1):
        self.tried: list[dict[str, Any]] = []
        self.stop_in = stop_in

    def __call__(self, out: Path, plan: Plan, trial: Any, values: dict, env: Any) -> float:
        from shoal.tuning.worker import _Pruned

        self.tried.append(values)
        if len(self.tried) == self.stop_in:
            raise KeyboardInterrupt
        import math

        value = -((math.log10(values["learning_rate"]) + 3) ** 2) - (values["clip"] - 0.3) ** 2
        for quarter in range(1, 5):
            trial.report(value * (5 - quarter), 250 * quarter)
            if quarter < 4 and trial.should_prune():
                raise _Pruned
        return value


def search(directory: Path, plan: Plan, formula: Any, trials: int) -> Any:
    """A study run in this process; the study itself."""
    from shoal.tuning import study as studies, worker

    directory.mkdir(exist_ok=True)
    study = studies.open_study(directory, plan)
    studies.release_all(study)
    studies.begin(study, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "_train", formula)
        worker.work(directory, plan, study, None, trials)
    return study


def history(study: Any) -> list[tuple]:
    """What became of each trial that was not lost."""
    from shoal.tuning.study import was_lost

    kept = [t for t in study.get_trials() if not was_lost(t)]
    return [(t.state.name, t.params, t.value) for t in kept]


@needs_optuna
def test_the_same_seed_finds_the_same_study(tmp_path: Path) -> None:
    first = history(search(tmp_path / "a", plan_of(), Formula(), 16))
    again = history(search(tmp_path / "b", plan_of(), Formula(), 16))
    other = history(search(tmp_path / "c", plan_of(seed=1), Formula(), 16))
    assert first == again and len(first) == 16
    assert first[0] == other[0] and first[1][1] != other[1][1]  # the start is everybody's
    assert first[0][1] == {"learning_rate": 5e-2, "clip": 0.9}
    assert len({str(params) for _, params, _ in first}) == 16


@needs_optuna
def test_a_study_that_was_stopped_is_the_study_that_never_was(tmp_path: Path) -> None:
    """Stopped in its 4th trial and in its 13th, among random and among learned ones."""
    whole = history(search(tmp_path / "whole", plan_of(), Formula(), 18))
    for stop_in in (4, 10):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "parts", plan_of(), Formula(stop_in), 18)
    study = search(tmp_path / "parts", plan_of(), Formula(), 18)
    assert history(study) == whole
    assert len(study.get_trials()) == 20  # two were lost, and tried again


@needs_optuna
def test_the_search_finds_the_top_and_prunes_the_bottom(tmp_path: Path) -> None:
    study = search(tmp_path / "s", plan_of(), Formula(), 40)
    assert study.best_value > -0.1  # the start has -3.2; one random trial in forty is as good
    states = [state for state, _, _ in history(study)]
    assert "PRUNED" in states and "PRUNED" not in states[:5]
    pruned = [t for t in study.get_trials() if t.state.name == "PRUNED"]
    assert all(t.last_step in (250, 500, 750) for t in pruned)


@needs_optuna
def test_less_can_be_better(tmp_path: Path) -> None:
    study = search(tmp_path / "s", plan_of(goal="min"), Formula(), 6)
    values = [value for state, _, value in history(study) if state == "COMPLETE"]
    assert study.best_value == min(values) < max(values)


@needs_optuna
def test_a_failed_trial_says_why_and_is_not_the_end(tmp_path: Path) -> None:
    from shoal.training.trainer import Diverged
    from shoal.tuning.result import save_results

    def fails(out: Path, plan: Plan, trial: Any, values: dict, env: Any) -> float:
        if trial.number in (0, 2):
            raise Diverged("no finite gradient\nin 10 updates")
        return float("nan") if trial.number == 1 else 1.0

    study = search(tmp_path / "s", plan_of(), fails, 3)
    assert [state for state, _, _ in history(study)] == ["FAIL"] * 3
    with pytest.raises(UserError, match=r"no trial of .* has finished; .*: no finite gradient in"):
        save_results(tmp_path / "s", plan_of(), study)
    study = search(tmp_path / "s", plan_of(), fails, 5)
    assert [state for state, _, _ in history(study)] == ["FAIL"] * 3 + ["COMPLETE"] * 2
    best = save_results(tmp_path / "s", plan_of(), study)
    assert best["trials"] == {"finished": 2, "pruned": 0, "failed": 3, "running": 0}


@needs_optuna
def test_killed_in_a_trial_and_in_a_write(tmp_path: Path) -> None:
    """kill -9 leaves a trial that seems to run, and may leave half a line."""
    plan = plan_of()
    keep_plan(tmp_path, plan)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from shoal.tuning import study as s, worker, plan as p\n"
        "path = Path(sys.argv[1]); plan = p.read_plan(path); study = s.open_study(path, plan)\n"
        "s.begin(study, plan)\n"
        "def train(out, plan, trial, values, env):\n"
        "    if trial.number == 2: print('now', flush=True); time.sleep(600)\n"
        "    return float(trial.number)\n"
        "worker._train = train; worker.work(path, plan, study, None, 9)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "now\n"
    process.kill()
    process.wait()
    with (tmp_path / "study.journal").open("ab") as file:
        file.write(b'{"op_code":5,"worker')
    assert read_plan(tmp_path) == plan
    study = search(tmp_path, plan, lambda *_: 7.0, 6)
    trials = study.get_trials()
    assert [t.state.name for t in trials] == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 4
    assert trials[3].params == trials[2].params and trials[3].value == 7.0
    assert [t.value for t in trials[:2]] == [0.0, 1.0]


@needs_optuna
def test_a_trial_is_queued_again_once(tmp_path: Path) -> None:
    """Even if the process that does so is killed between its two steps."""
    from shoal.tuning import study as studies

    plan = plan_of()
    study = studies.open_study(tmp_path, plan)
    studies.begin(study, plan)
    trial = studies.next_trial(study, plan, tmp_path, 9)
    assert trial is not None
    study.enqueue_trial(trial.params, user_attrs={"again": 0})  # the first step
    assert studies.release_all(study) == [0]
    assert studies.release_all(study) == []
    assert [t.state.name for t in study.get_trials()] == ["FAIL", "WAITING"]


@needs_optuna
def test_the_same_study_is_known_again_in_nested_fields(tmp_path: Path) -> None:
    """Also where fields of the environment hold tuples of tuples: JSON has lists."""
    for i, name in enumerate(["game/matching_pennies", "coop/qtran"]):
        fields = fields_of(registry.make(name))
        plan = dataclasses.replace(plan_of(), environment=name, environment_fields=fields)
        (tmp_path / str(i)).mkdir()
        keep_plan(tmp_path / str(i), plan)
        keep_plan(tmp_path / str(i), plan)


@needs_optuna
def test_another_study_is_not_mixed_in(tmp_path: Path) -> None:
    keep_plan(tmp_path, plan_of())
    keep_plan(tmp_path, plan_of())
    narrow = (Dimension("learning_rate", "log", 1e-5, 1e-1), Dimension("clip", "linear", 0.1, 0.2))
    others = {
        r"with algorithm ippo, not mappo": dataclasses.replace(plan_of(), algorithm="mappo"),
        r"with seeds 2, not 3": plan_of(seeds=3),
        r"with search of clip in 0.1 to 1, not in 0.1 to 0.2": dataclasses.replace(
            plan_of(), space=narrow
        ),
        r"with search of clip in 0.1 to 1, not none": dataclasses.replace(
            plan_of(), space=narrow[:1]
        ),
    }
    for said, plan in others.items():
        with pytest.raises(UserError, match=said):
            keep_plan(tmp_path, plan)


# Real studies ---------------------------------------------------------------------------------

SMALL = [
    *("--steps", "800", "--num-envs", "8", "--unroll", "25", "--evaluations", "2"),
    *("--eval-episodes", "4", "--algo.hidden", "8", "--algo.epochs", "1", "--seeds", "2"),
    *("--algo.minibatches", "2", "--search", "learning-rate,discount"),
]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "first"
    assert tune.run(Arguments.of([*TUNE, *SMALL, "--trials", "2", "--out", str(out)])) == 0
    return out


def table(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@needs_optuna
def test_a_study_leaves_what_it_promises(tuned: Path) -> None:
    rows = table(tuned)
    assert [row["state"] for row in rows] == ["finished"] * 2
    best = json.loads((tuned / "best.json").read_text())
    assert best["value"] == max(float(row["return"]) for row in rows)
    assert (tuned / "history.png").read_bytes().startswith(b"\x89PNG")
    for row in rows:
        run = tuned / "trials" / f"{int(row['trial']):04d}"
        found = json.loads((run / "eval.json").read_text())["return"]["mean"]
        assert found == pytest.approx(float(row["return"]))
        config = json.loads((run / "config.json").read_text())
        assert config["algorithm_fields"]["learning_rate"] == float(row["learning_rate"])
        assert config["seeds"] == 2 and config["algorithm_fields"]["hidden"] == [8]
        kept = int(row["trial"]) == best["trial"]
        assert (run / "checkpoints").is_dir() == kept


@needs_optuna
def test_the_same_command_goes_on(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table(tuned)
    assert tune.run(Arguments.of([*TUNE, *SMALL, "--trials", "3", "--out", str(tuned)])) == 0
    after = table(tuned)
    assert after[:2] == before and len(after) == 3
    err = capsys.readouterr().err
    assert "trial 2 · return" in err and "trial 1 ·" not in err
    with pytest.raises(UserError, match="with total_steps 800, not 801"):
        tune.run(Arguments.of([*TUNE, *SMALL, "--steps", "801", "--out", str(tuned)]))


@needs_optuna
def test_the_best_settings_train_again(tuned: Path, tmp_path: Path) -> None:
    """`best.toml` alone gives the run that the best trial was."""
    best = json.loads((tuned / "best.json").read_text())
    out = tmp_path / "again"
    words = ["--preset", str(tuned / "best.toml"), "--out", str(out), "--pictures", "False"]
    short = ["--evaluations", "2", "--eval-episodes", "4", "--seeds", "2"]
    assert train_verb.run(Arguments.of([*TUNE, *words, *short])) == 0
    config = json.loads((out / "config.json").read_text())
    trial = json.loads((tuned / best["directory"] / "config.json").read_text())
    ours = ("algorithm_fields", "total_steps", "num_envs", "unroll", "environment_fields")
    assert {k: config[k] for k in ours} == {k: trial[k] for k in ours}
    found = json.loads((out / "eval.json").read_text())["return"]["mean"]
    assert found == pytest.approx(best["value"], rel=1e-3)


@needs_optuna
def test_two_workers_share_a_study(tmp_path: Path) -> None:
    out = tmp_path / "crew"
    words = [*TUNE, *SMALL, "--metric", "success", "--workers", "2", "--out", str(out)]
    assert tune.run(Arguments.of([*words, "--trials", "3"])) == 0
    rows = table(out)
    assert [row["state"] for row in rows] == ["finished"] * 3  # and not one more
    assert len({row["learning_rate"] for row in rows}) == 3
    for row in rows:
        path = out / "trials" / f"{int(row['trial']):04d}" / "eval.json"
        metrics = json.loads(path.read_text())["metrics"]
        assert metrics["success"]["mean"] == pytest.approx(float(row["success"]))


@needs_optuna
def test_workers_end_with_who_started_them(tmp_path: Path) -> None:
    out = tmp_path / "crew"
    words = [*TUNE, *SMALL, "--steps", "100_000_000", "--workers", "2", "--out", str(out)]
    script = f"import sys; from shoal.cli.main import run; sys.exit(run({['tune', *words]!r}))"
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        pids = _wait(lambda: _workers(parent.pid), 2)
        _wait(lambda: list(out.glob("trials/*/config.json")), 2)  # both train
    finally:
        parent.kill()
        parent.wait()
    _wait(lambda: [pid for pid in pids if not _alive(pid)], 2)
    from shoal.tuning import study as studies

    study = studies.open_study(out, read_plan(out))
    assert studies.release_all(study) == [0, 1]


def _workers(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may still wait to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait(look: Any, count: int, seconds: float = 300.0) -> list:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(found := look()) >= count:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not there after {seconds:.0f} s: {look()}")


@needs_optuna
def test_ctrl_c_keeps_the_study(tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    words = [*TUNE, *SMALL, "--steps", "100_000_000", "--out", str(out)]
    script = f"import sys; from shoal.cli.main import run; sys.exit(run({['tune', *words]!r}))"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    _wait(lambda: [p for p in out.glob("trials/*/metrics.jsonl") if p.stat().st_size], 1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in err
    assert "goes on" in err.splitlines()[-1]
    assert [row["state"] for row in table(out)] == ["lost"]
    assert list(out.glob("trials/*")) == []


# Presets of the user's own --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["mpe/simple_tag"]\nnum_envs = 8', "has no table for mpe/simple: it has mpe/simple_tag"),
        ('["mpe/*"]\nnum_env = 8', "did you mean 'num_envs'?"),
        ('["mpe/*"]\nnum_envs = 8.5', "num_envs of 'mpe/*' is 8.5, expected a whole number"),
        ('["mpe/*"]\nnum_envs = 0', "expected at least 1"),
        ('["mpe/*"]\nnum_envs = true', "expected a whole number"),
        ("num_envs = 8", "'num_envs' stands outside of a world's table"),
        ('["mpe/*".algo]\nlearning_rat = 1e-3', "did you mean 'learning_rate'?"),
        ('["mpe/*".algo]\nlearning_rate = -1.0', "expected a positive number"),
        ('["mpe/*".algo]\nlearning_rate = "fast"', "is 'fast', expected a number"),
        ('["mpe/*"', "cannot read preset"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        train_verb.run(Arguments.of([*TUNE, "--preset", str(path), "--out", str(tmp_path / "run")]))
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_file_has_the_form_of_our_own_presets(tmp_path: Path) -> None:
    """The library's files, read as a user's, give what they give by name."""
    import shoal.training

    folder = Path(shoal.training.__path__[0]) / "presets"
    for path in sorted(folder.glob("*.toml")):
        for continuous in (False, True):
            ours = presets.resolve(path.stem, "mpe/simple_tag", continuous)
            assert presets.resolve(path.stem, "mpe/simple_tag", continuous, str(path)) == ours
    tables = tomllib.loads((folder / "ippo.toml").read_text())
    fields_there = tables["mpe/*"]["algo"]
    table = presets.resolve("ippo", "mpe/simple", False, str(folder / "ippo.toml"))
    assert from_fields(table["algo"]) == fields_there
