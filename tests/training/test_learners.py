"""Any learner is trained, saved, resumed, swept, evaluated and loaded alike."""

import json
import subprocess
import sys
import time
from pathlib import Path

import duel
import jax
import numpy as np
import pytest

import shoal
from shoal import registry
from shoal.core.errors import UserError
from shoal.training import run as runs
from shoal.training.learners import make_learner
from shoal.training.trainer import WALL_CLOCK

SETTINGS = dict(total_steps=400, num_envs=8, unroll=5, evaluations=2, eval_episodes=4)
WORLD = "mpe/simple_push"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ALGORITHMS, "duel", duel.ENTRY)


def rows(path: Path) -> list[dict]:
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k not in WALL_CLOCK} for x in lines]


def test_two_algorithms_are_swept_evaluated_and_loaded(tmp_path: Path) -> None:
    sweep = {"first.learning_rate": [1e-9, 1e-2]}
    run = shoal.train("duel", WORLD, out=tmp_path / "run", sweep=sweep, **SETTINGS)
    assert [r["first.learning_rate"] for r in run.metrics[:2]] == [1e-9, 1e-2]
    still, moved = (p.policies[0] for p in run.policies)
    rival, other = (p.policies[1] for p in run.policies)
    spec = shoal.make(WORLD).spec
    fresh = duel.duel().first.init(spec, jax.random.split(jax.random.key(0), 4)[1]).params["actor"]
    assert distance(still, fresh) < 1e-6 < 1e-3 < distance(moved, fresh)
    assert min(distance(rival, fresh), distance(other, fresh)) > 1e-3
    loaded = runs.load(run.directory)
    for a, b in zip(jax.tree.leaves(loaded.policies), jax.tree.leaves(run.policies), strict=True):
        np.testing.assert_array_equal(a, b)
    report = runs.evaluate_run(loaded, episodes=5)
    assert [m["first.learning_rate"] for m in report["members"]] == [1e-9, 1e-2]
    again = shoal.evaluate(loaded.policies[1], loaded.env, episodes=5, seed=1)
    assert again.mean == pytest.approx(report["members"][1]["return"])


def distance(a: object, b: object) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in pairs)


SCRIPT = f"""
import sys
from shoal.training.devices import prepare
prepare(deterministic=True)
sys.path.append({str(Path(__file__).parent)!r})
import duel, shoal
from shoal import registry
from shoal.training import run as runs
from shoal.training import train as training
registry.ALGORITHMS["duel"] = duel.ENTRY
out = sys.argv[1]
if sys.argv[2] == "resume":
    training.resume(out)
else:
    from pathlib import Path
    training.start("duel", duel.duel(), shoal.make("{WORLD}"), Path(out), quiet=True,
        total_steps=24_000, num_envs=8, unroll=5, evaluations=2, eval_episodes=4,
        deterministic=True, checkpoint_seconds=0.0, sweep={{"second.clip": [0.1, 0.2]}})
"""


def spawn(out: Path, mode: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(out), mode]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_killed_run_of_two_algorithms_resumes_to_the_same_rows(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = spawn(whole, "start")
    assert first.wait() == 0, first.stderr.read()
    process = spawn(killed, "start")
    while process.poll() is None and not saved(killed) > 0:
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0
    assert 0 < saved(killed) < 24_000  # neither from the start nor at the end
    again = spawn(killed, "resume")
    assert again.wait() == 0, again.stderr.read()
    assert rows(killed) == rows(whole) and len(rows(whole)) == 400
    assert (killed / "eval.json").read_bytes() == (whole / "eval.json").read_bytes()


def saved(run: Path) -> int:
    """The step of the newest checkpoint."""
    found = (run / "checkpoints").glob("step_*")
    return max((int(path.name.split("_")[1]) for path in found), default=-1)


def test_updates_are_counted_in_the_learners_own_steps(tmp_path: Path) -> None:
    """A learner that steps two environments for each one that it is asked for."""

    class Twice(duel.DuelLearner):
        @property
        def steps_per_update(self) -> int:
            return 2 * self.num_envs * self.unroll

    sys.modules["duel"].Twice = Twice  # type: ignore[attr-defined]
    learner = make_learner(duel.duel(), shoal.make(WORLD), 8, 5, 400, "duel:Twice")
    assert (learner.steps_per_update, learner.total_updates) == (80, 5.0)


def test_a_learner_of_its_own_is_not_run_by_worker_processes() -> None:
    from shoal.envs.host.world import HostWorld

    with pytest.raises(UserError, match="DuelLearner compiles whole updates"):
        make_learner(duel.duel(), HostWorld("gymnasium:x"), 8, 5, 400, "duel:DuelLearner")


def test_the_best_checkpoint_holds_no_more_than_the_policy(tmp_path: Path) -> None:
    settings = dict(hidden=(16,), capacity=1024, learning_starts=8, update_ratio=0.1)
    run = shoal.train("vdn", "mpe/simple_spread", out=tmp_path / "x", **settings, **SETTINGS)
    (best,) = (run.directory / "checkpoints" / "best").glob("step_*")
    parameters = sum(x.nbytes for x in jax.tree.leaves(run.policy))
    size = (best / "state.safetensors").stat().st_size
    assert parameters < size < 2 * parameters + 2_000  # the names of the tensors
    kept = runs.load(run.directory, best=True)
    scores = [row["eval_return"] for row in run.metrics if "eval_return" in row]
    step = int(best.name.split("_")[1])
    row = next(row for row in run.metrics if row["step"] == step)
    assert row["eval_return"] == max(scores)
    if step == 400:
        for a, b in zip(jax.tree.leaves(kept.policy), jax.tree.leaves(run.policy), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        assert distance(kept.policy, run.policy) > 0
