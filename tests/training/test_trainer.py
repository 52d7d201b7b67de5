"""Whole runs: what is written, exact resume, kills, signals, divergence, members."""

import dataclasses
import json
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policy_gradient.ppo import PPO
from shoal.core.errors import UserError
from shoal.envs.particle.simple import Simple
from shoal.runs.checkpoint import Loaded, latest_step
from shoal.runs.run_directory import RunDirectory
from shoal.training import rebuild as rebuilding, run as runs, train as training
from shoal.training.on_device import OnDevice
from shoal.training.program import Program, stack
from shoal.training.trainer import WALL_CLOCK, Counters, Diverged, Trainer

SETTINGS = dict(total_steps=1_000, num_envs=8, unroll=5, evaluations=2, eval_episodes=8)
SMALL = dict(hidden=(8,), minibatches=2, epochs=1)


def start(out: Path, algorithm: PPO | None = None, **settings) -> runs.Run:
    """A run of 25 updates."""
    algorithm = algorithm or PPO(**SMALL)
    return training.start("ippo", algorithm, Simple(), out, quiet=True, **(SETTINGS | settings))


def rows(path: Path) -> list[dict]:
    """The metrics without their wall-clock fields."""
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k not in WALL_CLOCK} for x in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return start(tmp_path_factory.mktemp("runs") / "finished", seeds=2)


def test_a_run_leaves_what_it_promises(finished: runs.Run) -> None:
    config = json.loads((finished.directory / "config.json").read_text())
    assert config["algorithm"] == "ippo" and config["environment"] == "mpe/simple"
    assert {"versions", "hardware", "seed"} <= config.keys()
    assert (finished.directory / "tensorboard" / "seed_1").is_dir()
    report = finished.evaluation
    assert report is not None
    assert report["return"]["low"] <= report["return"]["mean"] <= report["return"]["high"]
    last = finished.metrics[-1]
    assert last["step"] == 1_000 and last["seed"] == 1


def test_the_final_evaluation_is_of_the_last_parameters(finished: runs.Run) -> None:
    """The row of the last update and `eval.json` saw the same parameters and the same episodes."""
    last = [row["eval_return"] for row in finished.metrics if row["step"] == 1_000]
    assert finished.evaluation is not None
    assert [m["return"] for m in finished.evaluation["members"]] == pytest.approx(last)


def test_a_member_is_what_it_would_be_alone() -> None:
    """On as many devices, that is: each draws random numbers of its own."""
    learner = OnDevice(jax.tree.map(jnp.asarray, PPO(**SMALL)), Simple(), 8, 5, 4.0)
    keys = jax.random.split(jax.random.key(0), 2)
    together, alone = Program(stack([learner] * 2)), Program(stack([learner]))
    _, both, _ = together.run(together.init(keys), 4)
    _, one, _ = alone.run(alone.init(keys[1:]), 4)
    for name, value in one.items():
        assert float(value[0]) == pytest.approx(float(both[name][1]), rel=1e-3, abs=1e-5)


class Coin(Simple):
    """Episodes end at a coin's toss."""

    def step(self, key, state, action):
        state, shown = super().step(key, state, action)
        ends = jax.random.bernoulli(key, 0.1, shown.terminated.shape)
        return state, eqx.tree_at(lambda t: t.terminated, shown, ends)


def test_rows_go_on_where_one_member_finished_no_episode(tmp_path: Path) -> None:
    """Progress is shown of whoever has something to show."""
    settings = dict(total_steps=60, num_envs=1, unroll=2, evaluations=1, eval_episodes=2, seeds=3)
    learner = PPO(hidden=(8,), minibatches=1, epochs=1)
    run = training.start("ippo", learner, Coin(), tmp_path / "coin", **settings)
    returns = np.array([row["return"] for row in run.metrics]).reshape(-1, 3)
    missing = np.equal(returns, None).sum(1)
    assert {1, 2} & set(missing.tolist()) and len(returns) == 30


def test_a_sweep_trains_every_value(tmp_path: Path) -> None:
    run = start(tmp_path / "sweep", sweep={"learning_rate": [1e-9, 1e-2]}, seeds=2)
    assert [(r["learning_rate"], r["seed"]) for r in run.metrics[:4]] == [
        (1e-9, 0),
        (1e-9, 1),
        (1e-2, 0),
        (1e-2, 1),
    ]
    fixed, learned = run.policies[0], run.policies[2]
    fresh = PPO(**SMALL).init(Simple().spec, jax.random.split(jax.random.key(0), 3)[0])
    still = np.asarray(fixed.network.stack.head.bias)
    np.testing.assert_allclose(still, fresh.params["actor"].network.stack.head.bias, atol=1e-6)
    assert np.abs(np.asarray(learned.network.stack.head.bias)).max() > 1e-4


def test_load_gives_the_last_policy(finished: runs.Run) -> None:
    loaded = runs.load(finished.directory)
    for a, b in zip(jax.tree.leaves(loaded.policies), jax.tree.leaves(finished.policies)):
        np.testing.assert_array_equal(a, b)


def test_who_goes_on_from_an_older_checkpoint_says_which_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(tmp_path / "run", total_steps=80)
    state = tmp_path / "run" / "checkpoints" / "step_80" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"damaged .*: read an older one with --checkpoint 0"):
        runs.load(tmp_path / "run")
    policy = runs.load(tmp_path / "run", checkpoint=0).policy
    fresh = PPO(**SMALL).init(Simple().spec, jax.random.split(jax.random.key(0), 3)[0])
    jax.tree.map(np.testing.assert_array_equal, policy.network, fresh.params["actor"].network)
    capsys.readouterr()
    training.resume(tmp_path / "run")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"warning: skipped checkpoint {state.parent}: state.safetensors is damaged"
    )
    assert line.endswith("; step 0 is read instead")


def test_ten_updates_without_a_gradient_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="diverged"):
        start(tmp_path / "nan", PPO(**SMALL, value_weight=3e38))
    assert list((tmp_path / "nan" / "checkpoints" / "diverged").glob("step_*/state.safetensors"))


SCRIPT = """
import sys, time
from shoal.training.devices import prepare
prepare(deterministic=True)
from shoal.training import trainer
from shoal.training.program import Program
from shoal.agents.policy_gradient.ppo import PPO
from shoal.envs.particle.simple import Simple
from shoal.training import run as runs
from shoal.training import train as training
from shoal.training import rebuild as rebuilding
from shoal.training.trainer import Interrupted
out, resume = sys.argv[1], sys.argv[2] == "resume"
trainer.REPORTS, slow, run = int(sys.argv[4]), float(sys.argv[5]), Program.run

def slowly(self, state, updates, *rest):
    time.sleep(slow * updates)
    return run(self, state, updates, *rest)

Program.run = slowly
if sys.argv[2] == "hang":
    trainer.TensorBoard.close = lambda self: time.sleep(60)
try:
    if resume:
        training.resume(out)
    else:
        training.start("ippo", PPO(hidden=(8,), minibatches=2, epochs=1, recurrent=4), Simple(),
            __import__("pathlib").Path(out), quiet=True, total_steps=int(sys.argv[3]), num_envs=8,
            unroll=5, evaluations=2, eval_episodes=8, deterministic=True, checkpoint_seconds=0.05)
except Interrupted:
    sys.exit(1)
"""


def spawn(
    out: Path, mode: str, steps: int, reports: int = 200, slow: float = 0.0
) -> subprocess.Popen[bytes]:
    """A run in a process of its own, whose updates each take `slow` seconds longer."""
    command = [sys.executable, "-c", SCRIPT, str(out), mode, *map(str, (steps, reports, slow))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_rows(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    """Until the run has written that many rows (or has ended)."""
    path = out / "metrics.jsonl"
    while process.poll() is None and not (path.is_file() and len(rows(out)) >= count):
        time.sleep(0.01)


STEPS = 24_000  # 200 rows


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert spawn(out, "start", STEPS).wait() == 0
    return out


def test_killed_runs_resume_to_the_same_bytes(uninterrupted: Path, tmp_path: Path) -> None:
    out, chance = tmp_path / "killed", random.Random(0)
    process, done = spawn(out, "start", STEPS), 0
    for _ in range(3):
        wait_for_rows(process, out, done + 30)
        time.sleep(chance.random() * 0.1)  # anywhere, inside a save too
        process.kill()
        process.wait()
        done = len(rows(out))
        process = spawn(out, "resume", STEPS)
    assert process.wait() == 0, process.stderr
    assert rows(out) == rows(uninterrupted)
    assert (out / "eval.json").read_bytes() == (uninterrupted / "eval.json").read_bytes()


def test_a_finished_run_trains_longer_as_if_it_had_been_longer(tmp_path: Path) -> None:
    steady = PPO(**SMALL, anneal_learning_rate=False)
    whole = start(tmp_path / "whole", steady, total_steps=2_000)
    short = start(tmp_path / "short", steady)
    before = rows(short.directory)
    with pytest.raises(UserError, match="steps is 1000, expected more than the run's 1,000"):
        training.resume(short.directory, total_steps=1_000)
    longer = training.resume(short.directory, total_steps=2_000)
    assert rows(short.directory)[: len(before)] == before
    assert longer.metrics[-1]["step"] == longer.config.total_steps == 2_000
    for ours, expected in zip(*(jax.tree.leaves(run.policies) for run in (longer, whole))):
        np.testing.assert_array_equal(ours, expected)
    assert longer.evaluation["return"] == whole.evaluation["return"]
    loaded = runs.load(short.directory)  # what is on the disk agrees
    assert loaded.config == longer.config and loaded.evaluation == longer.evaluation


def test_a_refused_resume_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    run = start(tmp_path / "gang", PPO(**SMALL), total_steps=1_000)
    config = run.directory / "config.json"
    written = config.read_text().replace('"processes": 1', '"processes": 2')
    config.write_text(written)
    with pytest.raises(UserError, match="of another kind of state"):
        training.resume(run.directory, env="mpe/simple_tag", total_steps=2_000)
    assert config.read_text() == written and (run.directory / "eval.json").exists()
    training.resume(run.directory, total_steps=2_000)
    now = json.loads(config.read_text())
    assert (now["processes"], now["total_steps"]) == (1, 2_000)


def test_sigterm_saves_and_leaves_within_ten_seconds(uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = spawn(out, "start", STEPS)
    wait_for_rows(process, out, 20)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1
    assert time.monotonic() - begin < 10
    assert spawn(out, "resume", STEPS).wait() == 0
    assert rows(out) == rows(uninterrupted)


def test_what_hangs_after_the_save_does_not_keep_the_process(tmp_path: Path) -> None:
    """Such as workers that close slowly and a tracker that does not answer."""
    out = tmp_path / "hung"
    process = spawn(out, "hang", STEPS)
    wait_for_rows(process, out, 20)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 1 and time.monotonic() - begin < 10
    assert f"with all saved; continue with: shoal resume {out}" in said.decode()


def test_slow_updates_are_saved_by_the_clock_and_by_a_signal(tmp_path: Path) -> None:
    """Rows are 15 s apart, looks at the clock and at signals about one second."""
    whole, out = tmp_path / "whole", tmp_path / "slow"
    assert spawn(whole, "start", STEPS, reports=4).wait() == 0
    process = spawn(out, "start", STEPS, reports=4, slow=0.1)
    while process.poll() is None and (latest_step(out / "checkpoints") or 0) == 0:
        time.sleep(0.01)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1
    assert time.monotonic() - begin < 6
    assert 0 < (latest_step(out / "checkpoints") or 0) < STEPS / 4
    assert rows(out) == []
    assert spawn(out, "resume", STEPS, reports=4).wait() == 0
    assert rows(out) == rows(whole)
    assert len(rows(out)) == 4


STUCK = """
import os, signal, sys, time
from shoal.training import stopping
stopping.GRACE_SECONDS = 0.5
with stopping.Stopper() as stopper:
    stopper.saved, stopper.begun = sys.argv[2], len(sys.argv) == 3
    for _ in range(int(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
    time.sleep(60)
"""


@pytest.mark.parametrize("saved", ["", "continue with: shoal resume a"])
@pytest.mark.parametrize(
    ("signals", "why"), [(1, "0.5 s after SIGTERM"), (2, "by a second signal")]
)
def test_a_process_that_leaves_says_what_was_saved(signals: int, why: str, saved: str) -> None:
    command = [sys.executable, "-c", STUCK, str(signals), saved]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    lost = "without saving: what was learned since the last checkpoint is lost"
    assert ended.stderr == f"shoal: ended {why}, {f'with all saved; {saved}' if saved else lost}\n"
    if not saved:
        ended = subprocess.run([*command, "not begun"], capture_output=True, text=True, timeout=30)
        early = "before training began: nothing was saved"
        assert (ended.returncode, ended.stderr) == (1, f"shoal: ended {why}, {early}\n")


BUSY = """
import re, sys
from shoal.training.stopping import ended_in_a_line
with ended_in_a_line():
    print(flush=True)
    sys.modules["time"].sleep(60)
"""


def test_before_a_training_a_signal_ends_the_command_with_a_line() -> None:
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", BUSY], **pipes) as process:
        process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "shoal: ended by SIGTERM: no training was under way\n")


@pytest.mark.parametrize("seed", range(60))
def test_counters_of_a_signed_checkpoint_are_those_or_refused(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    good = dataclasses.asdict(Counters(3, 1.5, 20, -2.0, 1, 0.5, {"a": [1.0]}))
    values = [None, True, "x", [], {}, -1, 2**70, 10**400, 1.5, math.nan, {"a": [None]}, {"a": 1}]
    name = rng.choice([*good, "more"])
    value = rng.choice(values)
    changed = {**good, name: -1.0 if value == -1 and type(good.get(name)) is float else value}
    if rng.random() < 0.2:
        del changed[name]
    loaded = Loaded({}, 0, changed, tmp_path, ())
    try:
        counters = Counters.of(loaded)
        assert counters.updates >= 0 and counters.log_bytes < 2**60 and counters.seconds >= 0
        assert counters.best is None or counters.best < 1e300 or math.isnan(counters.best)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000


def test_resuming_knows_the_best_that_a_killed_run_kept(tmp_path: Path) -> None:
    run = start(tmp_path / "run", evaluations=3)
    best = max(row["eval_return"] for row in run.metrics if "eval_return" in row)
    trainer = Trainer(run.config, *rebuilding.rebuild(run.config), RunDirectory.open(run.directory))
    assert trainer._best(None) == trainer._best(best - 1) == best
    assert trainer._best(best + 1) == best + 1


def test_schedules_do_not_depend_on_chunks() -> None:
    """A learner is told its progress by updates, whoever cuts them into chunks."""
    learner = OnDevice(jax.tree.map(jnp.asarray, PPO(**SMALL)), Simple(), 8, 5, 4.0)
    program = Program(stack([learner]))
    keys = jax.random.split(jax.random.key(0), 1)
    at_once, *_ = program.run(program.init(keys), 4)
    in_parts = program.init(keys)
    for updates in (1, 3):
        in_parts, *_ = program.run(in_parts, updates)
    for a, b in zip(jax.tree.leaves(at_once.algorithm), jax.tree.leaves(in_parts.algorithm)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_sums_go_on_where_they_are_told_to() -> None:
    learner = OnDevice(jax.tree.map(jnp.asarray, PPO(**SMALL)), Simple(), 8, 5, 4.0)
    program = Program(stack([learner] * 2), 2)
    keys = jax.random.split(jax.random.key(0), 2)
    _, whole, _ = program.run(program.init(keys), 3)
    state, first, _ = program.run(program.init(keys), 1)
    _, whole_again, _ = program.run(state, 2, {name: x.tolist() for name, x in first.items()})
    assert whole.keys() == whole_again.keys()
    for name, x in whole.items():
        np.testing.assert_array_equal(x, whole_again[name])


def test_two_devices_hold_the_same_parameters() -> None:
    if jax.local_device_count() < 2:
        pytest.skip("needs two devices")
    learner = OnDevice(jax.tree.map(jnp.asarray, PPO(**SMALL)), Simple(), 8, 5, 4.0)
    program = Program(stack([learner]), 2)
    state, total, last = program.run(program.init(jax.random.split(jax.random.key(0), 1)), 5)
    for leaf in jax.tree.leaves(state.algorithm):
        np.testing.assert_array_equal(leaf[0], leaf[1])
    assert float(total["episodes"][0]) * 2 == 8  # 25 steps: each environment ended once
    # Fetched: nothing may queue up behind a program whose devices wait for each other.
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves((total, last)))


def test_members_on_two_devices_learn_what_they_learn_on_one() -> None:
    if jax.local_device_count() < 2:
        pytest.skip("needs two devices")
    learner = OnDevice(jax.tree.map(jnp.asarray, PPO(**SMALL)), Simple(), 8, 5, 4.0)
    keys = jax.random.split(jax.random.key(0), 4)
    results = []
    for groups in (1, 2):
        program = Program(stack([learner] * 4), member_devices=groups)
        state, total, _ = program.run(program.init(keys), 5)
        assert jax.tree.leaves(state)[0].sharding.num_devices == groups
        assert program.place(jax.tree.map(np.asarray, state.algorithm)) is not None
        results.append((state.algorithm, total))
    for one, two in zip(*map(jax.tree.leaves, results)):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_resuming_what_is_no_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        training.resume(tmp_path)
