"""Centred ranks by hand, and against SciPy's ranks with ties."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shoal.math.ranks import centered_ranks


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
