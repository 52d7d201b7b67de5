"""Scales of observations: their numbers, and that policies keep them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from probes import AnyProbe, SeenAction, collect

from shoal.agents.normalised import Moments, Normalised
from shoal.agents.policy_gradient.ippo import ippo
from shoal.registry import make_algorithm


def test_moments_of_two_batches_are_those_of_both_by_kind():
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, 3.0, (7, 4, 3, 2)).astype(np.float32)
    weight = rng.integers(0, 2, (7, 4, 3)).astype(np.float32)
    moments = Moments.of((0, 1, 0), 2)
    for part in (slice(0, 3), slice(3, 7)):
        moments = moments.update(jnp.asarray(x[part]), jnp.asarray(weight[part]))
    for kind, agents in ((0, [0, 2]), (1, [1])):
        seen = x[:, :, agents][weight[:, :, agents] > 0]
        np.testing.assert_allclose(moments.mean[kind], seen.mean(0), rtol=1e-5)
        deviation = np.sqrt(moments.squares[kind] / moments.count[kind])
        np.testing.assert_allclose(deviation, seen.std(0), rtol=1e-5)
    scaled = moments.normalise(jnp.asarray(x))
    both = np.asarray(scaled)[:, :, [0, 2]][weight[:, :, [0, 2]] > 0]
    np.testing.assert_allclose([both.mean(0), both.std(0)], [[0, 0], [1, 1]], atol=1e-4)


def test_nothing_seen_changes_nothing_and_a_broken_batch_neither():
    moments = Moments.of((0,), 2)
    x = jnp.array([[[[3.0, -4.0]]]])
    np.testing.assert_array_equal(moments.normalise(x), x)
    known = moments.update(x, jnp.ones((1, 1, 1)))
    kept = known.update(jnp.full_like(x, jnp.nan), jnp.ones((1, 1, 1)))
    assert eqx.tree_equal(kept, known)


def test_what_is_learned_from_is_what_was_acted_on():
    """The likelihood of an action that was kept is that of the scaled observation."""
    inner = ippo(hidden=(4,))
    algorithm = Normalised(inner)
    state, trajectory = collect(algorithm, AnyProbe.of(SeenAction), num_envs=4, unroll=6)
    moved, _ = algorithm.learn(state, trajectory, jax.random.key(0))
    steps = trajectory.transitions
    for _ in range(2):  # with scales of nothing, then with those of what was seen
        policy = algorithm.policy(state)
        before = steps.timestep.obs
        distribution, _ = policy(before, None, action_mask=None, key=jax.random.key(0))
        scaled = policy.scale.normalise(before)
        expected, _ = inner.policy(state.inner)(scaled, None, action_mask=None)
        np.testing.assert_allclose(distribution.log_probs, expected.log_probs, atol=1e-6)
        state = moved
    assert float(moved.scales.obs.count[0]) == 6 * 4 * 2


def test_learners_with_a_memory_of_their_own_can_be_scaled_too():
    algorithm = Normalised(make_algorithm("iql", hidden=(4,), learning_starts=8, capacity=64))
    state, trajectory = collect(algorithm, AnyProbe.of(SeenAction), num_envs=4, unroll=6)
    state, metrics = algorithm.learn(state, trajectory, jax.random.key(0))
    assert np.isfinite(float(metrics["loss"]))
