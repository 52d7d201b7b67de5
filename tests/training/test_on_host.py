"""Worlds that processes step: what `learn` is handed, whole trainings, and the end of workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from host_worlds import Clock, Failing, Far, Guests, Lamp
from probes import Watcher

import shoal
from shoal.agents.cooperative.iql import iql
from shoal.core.errors import UserError
from shoal.envs.host.vector import WorldFailed
from shoal.recording.host_recording import record_host
from shoal.training import host_evaluation, train as training
from shoal.training.backend import record
from shoal.training.host_evaluation import HostStage
from shoal.training.on_host import OnHost

FAST = {"learning_rate": 5e-3, "hidden": (32,), "minibatches": 1, "entropy_weight": 0.0}


@pytest.fixture(scope="module")
def history():
    """Reports of three updates of four steps, in two environments."""
    learner = OnHost(Watcher(), shoal.from_pettingzoo(Clock), 2, 4, total_updates=4.0)
    state = learner.init(jax.random.key(0))
    reports = []
    for _ in range(3):
        state, report = learner.update(state)
        reports.append(report)
    learner.close()
    return reports


def joined(history, name):
    return np.concatenate([np.asarray(report[name]) for report in history])


TIME = np.arange(12) % 3  # of the state that is acted on, in episodes of three steps


def test_successors_are_what_truly_followed_and_steps_go_on_after_a_reset(history):
    for b in range(2):
        np.testing.assert_array_equal(joined(history, "acted_on")[:, b, 0], TIME)
        np.testing.assert_array_equal(joined(history, "successor")[:, b, 0], TIME + 1)
        for flags in joined(history, "truncated")[:, b].T:
            np.testing.assert_array_equal(flags, TIME == 2)
    following = [report["last"][:, 0] for report in history]
    np.testing.assert_array_equal(following, [[1, 1], [2, 2], [0, 0]])


def test_an_episode_keeps_its_draw_to_the_end_and_the_next_has_another(history):
    before, after = joined(history, "acted_on")[..., 1], joined(history, "successor")[..., 1]
    np.testing.assert_array_equal(before, after)
    episodes = before.reshape(4, 3, 2)
    assert (episodes == episodes[:, :1]).all()
    assert len(np.unique(episodes[:, 0])) == 8  # 4 episodes in each of 2 environments


def test_carries_restart_with_episodes_and_go_on_between_updates(history):
    np.testing.assert_array_equal(joined(history, "carry_before"), np.stack([TIME, TIME], 1))
    np.testing.assert_array_equal([r["first_carry"] for r in history], [[0, 0], [1, 1], [2, 2]])
    np.testing.assert_array_equal([r["last_carry"] for r in history], [[1, 1], [2, 2], [0, 0]])


def test_episodes_and_progress_are_counted(history):
    ended = np.array([2, 2, 4])  # 1 + 1 + 1 and 0 + 2 + 4: 4.5 a head
    np.testing.assert_array_equal([r["episodes"] for r in history], ended)
    np.testing.assert_allclose([r["return_sum"] for r in history], 4.5 * ended)
    np.testing.assert_array_equal([r["episode_length_sum"] for r in history], 3 * ended)
    np.testing.assert_allclose([r["progress"] for r in history], [0, 0.25, 0.5])


def test_every_environment_plays_its_share_of_an_evaluation():
    with HostStage(shoal.from_pettingzoo(Clock), episodes=19) as stage:
        returns = stage.play_random(jax.random.key(0))
    np.testing.assert_array_equal(returns.per_agent, np.tile([3.0, 6.0], (19, 1)))


def test_an_evaluation_without_an_end_is_warned_of(monkeypatch, capsys):
    monkeypatch.setattr(host_evaluation, "PATIENCE", 30)

    class Endless(Far):
        def step(self, action):
            return *super().step(action)[:2], False, False, {}

    for far in (Far, lambda: gymnasium.wrappers.TimeLimit(Endless(), 100), Endless):
        with HostStage(shoal.from_gymnasium(far, "far", in_process=True), episodes=2) as stage:
            stage.play_random(jax.random.key(0))
    assert capsys.readouterr().err == (
        "warning: no episode of far has ended in 30 steps of an evaluation, and it names no time "
        "limit: they are cut after 10,000; --env.horizon cuts them sooner\n"
    )


def test_who_is_cut_alone_comes_later_or_has_ended_is_shown_and_paid_as_that():
    world = shoal.from_pettingzoo(Guests, in_process=True)
    learner = OnHost(Watcher(), world, 2, 6)
    _, report = learner.update(learner.init(jax.random.key(0)))
    learner.close()
    per_step = {name: np.asarray(report[name])[:, 0] for name in report if name in FLAGS}
    truth = {
        "terminated": [[0, 0, 1], [0, 0, 0], [1, 0, 0]],
        "truncated": [[0, 1, 0], [0, 1, 0], [0, 1, 1]],
        "reward": [[1, 1, 0], [1, 0, 0], [1, 0, 1]],  # what came before `c` acted was not earned
        "acted_on": [[1, 1, 0], [2, 0, 0], [3, 0, 3]],
        "successor": [[2, 2, 0], [3, 0, 3], [0, 0, 4]],  # each sees its own last observation
    }
    for name, steps in truth.items():
        np.testing.assert_array_equal(per_step[name], np.tile(steps, (2, 1)), name)
    assert (report["episodes"], report["return_sum"]) == (4, 4 * 5 / 3)
    with HostStage(world, episodes=5) as stage:
        returns = stage.play_random(jax.random.key(0))
    np.testing.assert_array_equal(returns.per_agent, np.tile([3.0, 1.0, 1.0], (5, 1)))
    act = lambda state, timestep, carry, key: (np.zeros(3, np.int32), carry)  # noqa: E731
    recording = record_host(act, world, jax.random.key(0), 1)
    np.testing.assert_array_equal(recording.episodes[0].rewards, truth["reward"])


FLAGS = ("terminated", "truncated", "reward", "acted_on", "successor")


def train(world, out, steps=4096, **settings):
    return shoal.train(
        "ippo",
        world,
        total_steps=steps,
        num_envs=8,
        unroll=32,
        evaluations=2,
        eval_episodes=64,
        preset="none",
        out=out,
        **FAST,
        **settings,
    )


@pytest.fixture(scope="module")
def lamp(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "lamp"
    return train(shoal.from_gymnasium(Lamp, name="lamp"), out, seeds=2)


def test_a_policy_learns_to_see(lamp):
    assert lamp.evaluation["return"]["mean"] > 0.95
    assert [m["return"] > 0.95 for m in lamp.evaluation["members"]] == [True, True]


def test_a_run_is_loaded_and_evaluated_again(lamp):
    world = shoal.from_gymnasium(Lamp, name="lamp")
    loaded = shoal.load(lamp.directory, env=world)
    assert shoal.evaluate(loaded.policy, world, episodes=40).mean > 0.95
    assert 0.2 < shoal.evaluate("random", world, episodes=200).mean < 0.8
    with pytest.raises(UserError, match="no scripted controller"):
        shoal.evaluate("scripted", world)


def test_a_replay_shows_the_worlds_own_pictures(lamp):
    recording = record(lamp.policy, lamp.env, jax.random.key(0), episodes=2)
    assert [len(episode.pictures) for episode in recording.episodes] == [2, 2]
    (bitmap,) = recording.episodes[0].pictures[0].shapes
    assert bitmap.source.startswith("data:image/webp;base64,")


def test_without_the_scale_a_policy_is_blind_and_the_scale_is_saved(tmp_path):
    world = shoal.from_gymnasium(Far, name="far")
    run = train(world, tmp_path / "scaled", normalise_observations=True)
    assert run.evaluation["return"]["mean"] > 0.9
    again = shoal.load(run.directory, env=world).policy
    assert shoal.evaluate(again, world, episodes=100).mean > 0.9
    assert shoal.evaluate(again.inner, world, episodes=100).mean < 0.8
    np.testing.assert_allclose(again.scales.obs.mean[0], [1000.0, 7.0], atol=0.1)


def test_a_world_that_fails_for_good_stops_the_run_and_is_named(tmp_path):
    world = shoal.from_gymnasium(Failing, name="failing", workers=1, on_failure="stop")
    with pytest.raises(WorldFailed, match="raised ValueError: the bulb is broken"):
        train(world, tmp_path / "failing")


TRAINING = """
import sys
sys.path.insert(0, {tests!r})
import shoal
from shoal.agents.cooperative.iql import iql
from host_worlds import Lamp
world = shoal.from_gymnasium(Lamp, name="lamp")
sizes = dict(total_steps=8_000, num_envs=4, unroll=8, evaluations=1, eval_episodes=8)
shoal.train("ippo", world, out={out!r}, preset="none", minibatches=1, **sizes)
"""


def test_workers_end_with_a_killed_training_and_its_run_resumes(tmp_path):
    out, tests = tmp_path / "killed", str(Path(__file__).parents[1])
    code = TRAINING.format(tests=tests, out=str(out))
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    until = time.monotonic() + 120
    rows = out / "metrics.jsonl"
    while not rows.is_file() or not rows.stat().st_size:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    workers = children(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until, "a worker outlives its parent"
        time.sleep(0.1)
    run = shoal.resume(out, env=shoal.from_gymnasium(Lamp, name="lamp"))
    assert run.evaluation is not None
    assert run.metrics[-1]["step"] == 8_000


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


# Off-policy learners, whose state is learned in place.

REPLAYED = dict(hidden=(8,), learning_starts=64, capacity=512, batch_size=16, update_ratio=0.125)


def test_an_update_reuses_the_memory_of_a_replay():
    algorithm = iql(**REPLAYED)
    learner = OnHost(algorithm, shoal.from_gymnasium(Lamp, name="lamp", in_process=True), 2, 8)
    state = learner.init(jax.random.key(0))
    learner.compile(state)
    old = state.algorithm.replay.data.obs
    place = old.unsafe_buffer_pointer()
    for _ in range(3):
        state, _ = learner.update(state)
    learner.close()
    assert old.is_deleted()
    assert state.algorithm.replay.data.obs.unsafe_buffer_pointer() == place


def test_a_killed_off_policy_run_resumes_from_what_it_saved(tmp_path):
    """Saved after every update, evaluated three times, and stopped in the midst: nothing reads a
    state that an update has taken over."""
    world = shoal.from_gymnasium(Lamp, name="lamp", in_process=True)
    sizes = dict(total_steps=1_600, num_envs=4, unroll=8, evaluations=4, eval_episodes=8, seeds=2)

    def start(out, watchers=(), **fields):
        settings = dict(quiet=True, watchers=watchers, checkpoint_seconds=0.0, **sizes)
        return training.start("iql", iql(**{**REPLAYED, **fields}), world, out, **settings)

    class Stop(Exception):
        pass

    def stop(rows):
        if rows[0]["step"] >= 900:
            raise Stop

    with pytest.raises(Stop):
        start(tmp_path / "run", [stop])
    run = shoal.resume(tmp_path / "run", env=world)
    assert run.metrics[-1]["step"] == 1_600
    assert sum(row.get("eval_return") is not None for row in run.metrics) == 2 * 4
    assert np.isfinite(run.evaluation["return"]["mean"])
    with pytest.raises(UserError, match=r"run takes [0-9,.]+ GB of memory and there is"):
        start(tmp_path / "big", capacity=2 * 10**9)
    assert not (tmp_path / "big").exists()
