"""What the default learner hands to `learn`: true successors, carries, progress, episodes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import AnyProbe, DyingAgent, Probe, ProbeState, Watcher, collect

from shoal.agents.policy_gradient.ppo import ippo
from shoal.core.errors import UserError
from shoal.training.on_device import OnDevice


class Clock(Probe):
    """Three steps, cut by a time limit. Agent 0 sees the time, agent 1 a number drawn at reset;
    they are paid 1 a step and twice the time."""

    length = 3
    limit = True

    def reset(self, key):
        state, timestep = super().reset(key)
        state = ProbeState(state.time, jax.random.randint(key, (2,), 0, 10**6), state.told)
        return state, eqx.tree_at(lambda t: t.obs, timestep, self.obs(state))

    def obs(self, state):
        shown = jnp.stack([state.time, state.cue[1]]).astype(jnp.float32)
        return jnp.broadcast_to(shown[:, None], (2, 3))

    def reward(self, state, action):
        return jnp.stack([jnp.ones(()), 2.0 * state.time])


@pytest.fixture(scope="module")
def history():
    """Reports of three updates of four steps, in two environments."""
    learner = OnDevice(Watcher(), Clock(), num_envs=2, unroll=4, total_updates=4.0)
    state, update = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.update)
    reports = []
    for _ in range(3):
        state, report = update(state)
        reports.append(report)
    assert update._cache_size() == 1
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


def test_episodes_are_counted_when_they_end(history):
    # One episode pays 1 + 1 + 1 and 0 + 2 + 4: 4.5 a head. They end at steps 3, 6, 9 and 12.
    ended = np.array([2, 2, 4])
    np.testing.assert_array_equal([r["episodes"] for r in history], ended)
    np.testing.assert_allclose([r["return_sum"] for r in history], 4.5 * ended)
    np.testing.assert_array_equal([r["episode_length_sum"] for r in history], 3 * ended)


def test_progress_is_the_share_of_updates_that_are_done(history):
    np.testing.assert_allclose([r["progress"] for r in history], [0, 0.25, 0.5])


def test_an_agents_end_is_not_the_episodes():
    _, trajectory = collect(ippo(hidden=(4,)), AnyProbe.of(DyingAgent), num_envs=2, unroll=8)
    steps = trajectory.transitions
    time = np.arange(8) % 4
    np.testing.assert_array_equal(steps.successor.done[:, 0], time == 3)
    np.testing.assert_array_equal(steps.timestep.terminated[:, 0, 0], time > 0)
    np.testing.assert_array_equal(steps.successor.terminated[:, 0, 1], time == 3)


@pytest.fixture(scope="module")
def learner():
    """A real learner, with a program that makes two updates from a key."""
    learner = OnDevice(ippo(hidden=(4,), recurrent=3), AnyProbe.of(DyingAgent), 4, 5, 10.0)

    def run(key):
        return jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), None, 2)[0]

    return learner, jax.jit(run)


def test_one_key_gives_one_result_and_another_key_another(learner):
    run = learner[1]
    first, again, other = run(jax.random.key(0)), run(jax.random.key(0)), run(jax.random.key(1))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again)):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(a, b)
    weights = [x.algorithm.params["actor"].network.stack.head.weight for x in (first, other)]
    assert not np.allclose(*weights)


def test_no_key_is_consumed_twice(learner):
    with jax.debug_key_reuse(True):
        state = eqx.filter_jit(learner[0].init)(jax.random.key(0))
        eqx.filter_jit(learner[0].update)(state)


def test_the_state_keeps_its_structure(learner):
    state = jax.eval_shape(learner[0].init, jax.random.key(0))
    after, _ = jax.eval_shape(learner[0].update, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    shapes = [[(x.shape, x.dtype) for x in jax.tree.leaves(s)] for s in (state, after)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("settings", [{"num_envs": 0, "unroll": 5}, {"num_envs": 5, "unroll": 0}])
def test_sizes_must_be_positive(settings):
    with pytest.raises(UserError, match="is 0, expected at least 1"):
        OnDevice(Watcher(), Clock(), **settings)
