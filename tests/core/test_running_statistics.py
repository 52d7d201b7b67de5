"""Means and deviations, group by group, against those of all samples at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec as P

from shoal.core.parallel import AXIS
from shoal.core.running_statistics import RunningStatistics

GROUPS = ((0, [0, 2]), (1, [1]))  # three agents, the first and the last in one group


@pytest.fixture(scope="module")
def samples():
    """Seven steps of four environments, of which some weigh nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, 3.0, (7, 4, 3, 2)).astype(np.float32)
    return x, rng.integers(0, 2, (7, 4, 3)).astype(np.float32)


def empty(**settings) -> RunningStatistics:
    return RunningStatistics.empty((0, 1, 0), 2, **settings)


def seen_by(samples, agents):
    x, weight = samples
    return x[:, :, agents][weight[:, :, agents] > 0]


def check(found: RunningStatistics, samples) -> None:
    for group, agents in GROUPS:
        seen = seen_by(samples, agents)
        np.testing.assert_allclose(found.weight[group], len(seen))
        np.testing.assert_allclose(found.mean[group], seen.mean(0), rtol=1e-5)
        np.testing.assert_allclose(found.variance[group], seen.var(0), rtol=1e-5)


def test_those_of_two_batches_are_those_of_both(samples):
    x, weight = samples
    found = empty()
    for part in (slice(0, 3), slice(3, 7)):
        found = found.update(jnp.asarray(x[part]), jnp.asarray(weight[part]))
    check(found, samples)
    scaled = np.asarray(found.normalise(jnp.asarray(x)))
    both = seen_by((scaled, weight), [0, 2])
    np.testing.assert_allclose([both.mean(0), both.std(0)], [[0, 0], [1, 1]], atol=1e-4)
    np.testing.assert_allclose(found.restore(jnp.asarray(scaled)), x, rtol=1e-4)


def test_two_devices_see_what_one_does(samples):
    x, weight = samples
    mesh = jax.make_mesh((2,), (AXIS,), axis_types=(AxisType.Auto,))
    half = P(None, AXIS)
    run = jax.shard_map(
        lambda x, w: empty().update(x, w),
        mesh=mesh,
        in_specs=(half, half),
        out_specs=P(),
        check_vma=False,
    )
    check_scaled = jax.jit(run)(jnp.asarray(x), jnp.asarray(weight))
    one = empty().update(jnp.asarray(x), jnp.asarray(weight))
    for ours, expected in ((check_scaled.mean, one.mean), (check_scaled.variance, one.variance)):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(check_scaled.weight * 2, one.weight)  # a share of samples a device


def test_before_the_first_sample_nothing_is_scaled():
    x = jnp.array([[[[3.0, -4.0]] * 3]])
    np.testing.assert_array_equal(empty().normalise(x), x)
    np.testing.assert_array_equal(empty(rate=0.1, least=1e-4).restore(x), x)


def test_a_group_with_a_broken_sample_or_with_none_stays_as_it_was():
    ones = jnp.ones((2, 1, 3))
    x = jnp.arange(12.0).reshape(2, 1, 3, 2)
    known = empty().update(x, ones)
    broken = known.update(x.at[0, 0, 1, 0].set(jnp.nan), ones)
    for name in ("weight", "mean", "variance"):
        before, after = getattr(known, name), getattr(broken, name)
        np.testing.assert_array_equal(after[1], before[1])
    assert broken.weight[0] == 2 * known.weight[0]
    assert eqx.tree_equal(known.update(x + 7, 0 * ones), known)


def test_a_broken_sample_that_weighs_nothing_is_not_seen():
    x = jnp.array([[[[1.0], [jnp.nan]], [[3.0], [5.0]]]])
    weight = jnp.array([[[1.0, 0.0], [1.0, 1.0]]])
    found = RunningStatistics.empty((0, 0), 1).update(x, weight)
    np.testing.assert_allclose(found.mean, [[3.0]])
    np.testing.assert_allclose(found.variance, [[8 / 3]], rtol=1e-6)


def test_with_a_rate_the_first_batch_counts_whole_and_later_ones_by_their_age():
    """Means of 10, 20 and 40 without a deviation of their own: weights 1/4, 1/2 and 1, over 7/4."""
    found = RunningStatistics.empty((0,), 1, rate=0.5)
    for k, x in enumerate((10.0, 20.0, 40.0)):
        found = found.update(jnp.full((1, 2, 1, 1), x), jnp.ones((1, 2, 1)))
        weights = 0.5 ** np.arange(k, -1, -1)
        seen, total = np.array([10.0, 20.0, 40.0])[: k + 1], weights.sum()
        mean = (weights * seen).sum() / total
        np.testing.assert_allclose(found.mean[0, 0], mean, rtol=1e-6)
        variance = (weights * (seen - mean) ** 2).sum() / total
        np.testing.assert_allclose(found.variance[0, 0], variance, rtol=1e-5, atol=1e-4)


def test_with_a_rate_two_agents_by_hand():
    """Weights pick which returns count; the second agent has one alone, of no deviation."""
    x = jnp.array([[[[1.0], [10.0]], [[3.0], [30.0]]]])  # [T = 1, B = 2, N = 2, D = 1]
    weight = jnp.array([[[1.0, 1.0], [1.0, 0.0]]])
    found = RunningStatistics.empty((0, 1), 1, rate=0.01, least=1e-4).update(x, weight)
    np.testing.assert_allclose(found.normalise(x)[0, :, 0, 0], [-1.0, 1.0], rtol=1e-4)
    np.testing.assert_allclose(found.restore(jnp.zeros((2, 1)))[:, 0], [2.0, 10.0], rtol=1e-5)
    np.testing.assert_allclose(found.normalise(x)[0, 1, 1, 0], (30 - 10) / 0.01, rtol=1e-4)


def test_large_means_leave_small_deviations_exact():
    """Sums of squares in 32 bits would lose them."""
    rng = np.random.default_rng(1)
    x = (1e4 + rng.normal(0, 1, (50, 20, 1, 1))).astype(np.float32)
    found = RunningStatistics.empty((0,), 1)
    for part in np.split(x, 5):
        found = found.update(jnp.asarray(part), jnp.ones(part.shape[:3]))
    np.testing.assert_allclose(found.variance[0, 0], x.astype(np.float64).var(), rtol=0.01)
