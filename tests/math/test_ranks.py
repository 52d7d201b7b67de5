"""Ranks by hand, and against SciPy's ranks with ties."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shoal.math.ranks import centered_ranks, weights_by_rank


@pytest.mark.parametrize(
    ("fitness", "ranks"),
    [
        ([3.0, -1.0, 100.0], [0.0, -0.5, 0.5]),
        ([2.0, 1.0, 1.0, 0.0], [0.5, 0.0, 0.0, -0.5]),
        ([7.0, 7.0, 7.0, 7.0], [0.0, 0.0, 0.0, 0.0]),
        ([1.0, float("nan"), -1e30], [0.5, -0.5, 0.0]),
    ],
)
def test_by_hand(fitness, ranks):
    np.testing.assert_allclose(centered_ranks(jnp.array(fitness)), ranks, atol=1e-6)


def test_matches_scipy():
    fitness = np.random.default_rng(0).integers(0, 20, 50).astype(np.float32)
    expected = (scipy.stats.rankdata(fitness) - 1) / 49 - 0.5
    np.testing.assert_allclose(centered_ranks(jnp.asarray(fitness)), expected, atol=1e-6)


WEIGHTS = np.array([0.6, 0.3, 0.1, 0.0])


@pytest.mark.parametrize(
    ("fitness", "weights"),
    [
        ([3.0, -1.0, 100.0, 0.0], [0.3, 0.0, 0.6, 0.1]),
        ([2.0, 1.0, 1.0, 0.0], [0.6, 0.2, 0.2, 0.0]),
        ([7.0, 7.0, 7.0, 7.0], [0.25] * 4),
        ([1.0, float("nan"), -1e30, float("nan")], [0.6, 0.05, 0.3, 0.05]),
    ],
)
def test_weights_by_hand(fitness, weights):
    found = weights_by_rank(jnp.array(fitness), WEIGHTS)
    np.testing.assert_allclose(found, weights, atol=1e-6)


def test_weights_that_fall_evenly_are_centred_ranks():
    fitness = jnp.asarray(np.random.default_rng(0).integers(0, 20, 50), jnp.float32)
    found = weights_by_rank(fitness, np.linspace(0.5, -0.5, 50))
    np.testing.assert_allclose(found, centered_ranks(fitness), atol=1e-5)
