"""A2C in two halves: the gradient of a rollout, and a step down it, wherever each is made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policy_gradient.a2c import a2c, maa2c
from shoal.agents.policy_gradient.impala import impala
from shoal.core.algorithm import Trajectory
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.training.on_device import OnDevice

KEY = jax.random.key(0)


def rollouts(algorithm, count, num_envs=8):
    """A state, and what it does in rollouts that follow each other."""
    learner = OnDevice(algorithm, SimpleSpread(), num_envs, unroll=10, total_updates=8.0)
    state = algorithm.init(learner.env.spec, KEY)
    acting, found = algorithm.acting(state), []
    loop, collect = learner.start(acting, KEY), jax.jit(learner.collect)
    for k in range(count):
        loop, trajectory, _ = collect(acting, loop, jnp.float32(k / 8), jax.random.key(k))
        found.append(trajectory)
    return state, found


def part_of(trajectory, envs):
    """What some of the environments showed."""
    rows = (trajectory.carry, trajectory.last, trajectory.last_carry)
    carry, last, last_carry = jax.tree.map(lambda x: x[envs], rows)
    steps = jax.tree.map(lambda x: x[:, envs], trajectory.transitions)
    return Trajectory(steps, carry, last, last_carry, trajectory.progress)


@pytest.mark.parametrize("make", [a2c, maa2c, impala])
def test_to_learn_is_to_apply_the_gradient(make):
    """Scales, rates that fall and counts of what was skipped included."""
    algorithm = make(hidden=(8,), normalise_observations=True)
    whole, found = rollouts(algorithm, 3)
    parts = whole
    for trajectory in found:
        whole, metrics = jax.jit(algorithm.learn)(whole, trajectory, KEY)
        gradient, of_loss = jax.jit(algorithm.gradient)(parts, trajectory)
        parts, norms = jax.jit(algorithm.apply)(parts, gradient, trajectory.progress)
        assert (of_loss | norms).keys() == metrics.keys()
        for name, value in metrics.items():
            np.testing.assert_allclose((of_loss | norms)[name], value, rtol=1e-4, atol=1e-6)
    for ours, expected in zip(jax.tree.leaves(parts), jax.tree.leaves(whole)):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_the_mean_of_two_workers_gradients_is_that_of_both_their_rollouts():
    """Where nothing is scaled by what each has seen alone."""
    plain = dict(normalise_advantages=False, normalise_values=False)
    algorithm = a2c(hidden=(8,), **plain)
    state, (both,) = rollouts(algorithm, 1)
    halves = [part_of(both, slice(0, 4)), part_of(both, slice(4, 8))]
    whole, *parts = (algorithm.gradient(state, t)[0].params for t in (both, *halves))
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *parts)
    for ours, expected in zip(jax.tree.leaves(mean), jax.tree.leaves(whole)):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-7)
