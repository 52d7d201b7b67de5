"""What acts is exactly so many updates behind what learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policy_gradient.impala import impala
from shoal.agents.stale import Stale
from shoal.core.algorithm import Algorithm
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.training.on_device import OnDevice

KEY = jax.random.key(0)


class Counting(Algorithm):
    """Its state is the number of updates; each reports how far behind its rollout was."""

    def init(self, spec, key):
        return jnp.float32(0)

    def acting(self, state):
        return state

    def initial_carry(self, acting):
        return None

    def act(self, acting, timestep, carry, key):
        envs, agents = timestep.reward.shape
        return jnp.zeros((envs, agents), jnp.int32), carry, jnp.full(envs, acting)

    def learn(self, state, trajectory, key):
        return state + 1, {"behind": state - trajectory.transitions.extras.mean()}

    def policy(self, state):
        return state


def run(algorithm, updates):
    learner = OnDevice(algorithm, SimpleSpread(), num_envs=4, unroll=5, total_updates=8.0)
    state, update, seen = learner.init(KEY), jax.jit(learner.update), []
    for _ in range(updates):
        state, metrics = update(state)
        seen.append(metrics)
    return state.algorithm, seen


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_it_acts_as_it_did_so_many_updates_ago(lag):
    _, seen = run(Stale(Counting(), lag), 6)
    np.testing.assert_array_equal([m["behind"] for m in seen], np.minimum(np.arange(6), lag))


def test_without_lag_it_is_the_algorithm_itself():
    small = impala(hidden=(8,))
    (stale, _), (plain, _) = run(Stale(small, 0), 3), run(small, 3)
    for ours, expected in zip(jax.tree.leaves(stale.learned), jax.tree.leaves(plain)):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_what_learns_is_further_from_what_acted_the_longer_the_lag():
    fast = impala(hidden=(8,), learning_rate=1e-2)
    apart = [float(run(Stale(fast, lag), 8)[1][-1]["kl"]) for lag in (0, 1, 4)]
    assert apart[0] < 1e-6 < apart[1] < apart[2]
