"""Worlds of several choices at once, and of boxes whose dimensions differ: played and learned."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from factored_world import Linear, Reinforce, Switchboard

from shoal.core.spaces import Box, Discrete
from shoal.training.evaluation import evaluate_policy, evaluate_random, random_action
from shoal.training.on_device import OnDevice
from shoal.training.speed import environment_work

UNEVEN = Box(((0.0, -3.0), (2.0,)), ((1.0, 3.0), (10.0,)), (2, 1))


class Dials(Switchboard):
    """Numbers in place of choices."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=UNEVEN)

    def reset(self, key):
        return Switchboard(masked=False).reset(key)

    def step(self, key, state, action):
        return Switchboard(masked=False).step(key, state, action.astype(jnp.int32))


@pytest.mark.parametrize("masked", [False, True])
def test_random_play_is_legal_and_hits_by_chance(masked):
    """One of three lines and of four words; with a wrong one of each ruled out, two and three."""
    found = evaluate_random(Switchboard(masked=masked), jax.random.key(0), 2_000)
    lines, words = (2, 3) if masked else (3, 4)
    expected = [(1 / lines + 1 / words) / 2, 1 / 2]
    np.testing.assert_allclose(found.per_agent.mean(0) / 4, expected, atol=0.02)
    assert found.metrics["illegal"].sum() == 0


def test_random_actions_fill_every_dimension_evenly():
    drawn = np.asarray(random_action(UNEVEN, (4_000, 2), None, jax.random.key(0)))
    for agent, k in np.argwhere(UNEVEN.mask):
        low, high = UNEVEN.lows[agent, k], UNEVEN.highs[agent, k]
        even = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(drawn[:, agent, k], even.cdf).pvalue > 1e-3


def test_random_actions_exist_where_nothing_masks_them():
    drawn = np.asarray(random_action(Discrete((2, 3)), (500, 2), None, jax.random.key(0)))
    assert set(drawn[:, 0].tolist()) == {0, 1} and set(drawn[:, 1].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("masked", [False, True])
def test_several_choices_are_learned(masked):
    env = Switchboard(masked=masked)
    learner = OnDevice(Reinforce(), env, num_envs=64, unroll=8, total_updates=60.0)
    update, state = eqx.filter_jit(learner.update), learner.init(jax.random.key(0))
    for _ in range(60):
        state, _ = update(state)
    found = evaluate_policy(learner.policy(state), env, jax.random.key(1), 200)
    assert (found.per_agent.mean(0) / 4 > 0.95).all() and found.metrics["illegal"].sum() == 0


def test_samples_of_a_policy_are_legal():
    env = Switchboard()
    policy = Linear.of(env.spec, jax.random.key(0), 0.3)
    found = evaluate_policy(policy, env, jax.random.key(1), 500, greedy=False)
    assert found.metrics["illegal"].sum() == 0 and found.per_agent.std() > 0


@pytest.mark.parametrize("env", [Switchboard(), Dials()])
def test_speed_is_measured_with_actions_of_the_space(env, monkeypatch):
    monkeypatch.setattr("shoal.training.speed.UNROLL", 4)
    space = env.spec.action
    least, most = (space.lows, space.highs) if env.spec.action == UNEVEN else (0, space.counts - 1)
    action = np.asarray(environment_work(env, 64).state[-1])
    assert action.shape == (64, 2, 2) and action.dtype == space.dtype
    assert (action >= least).all() and (action <= most).all()
    assert (action.std(0) > 0)[space.counts > 1 if space != UNEVEN else space.mask].all()
