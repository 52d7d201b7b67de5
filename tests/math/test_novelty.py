"""Novelty by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from shoal.math.novelty import novelty

ARCHIVE = jnp.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [99.0, 99.0]])


@pytest.mark.parametrize(
    "known, nearest, expected",
    [
        (3, 2, [(0 + 5) / 2, (5 + 0) / 2]),  # (3, 4) is 5 from either side
        (3, 1, [0, 0]),
        (3, 9, [(0 + 5 + 10) / 3, (5 + 0 + 5) / 3]),
        (1, 2, [0, 5]),
        (0, 2, [0, 0]),
    ],
)
def test_by_hand(known, nearest, expected):
    behaviours = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    found = novelty(behaviours, ARCHIVE, jnp.int32(known), nearest)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_not_a_number_is_not_called_new():
    found = novelty(jnp.array([[np.nan, 0.0], [3.0, 4.0]]), ARCHIVE, jnp.int32(3), 2)
    assert np.isnan(found[0]) and found[1] == 2.5
