"""Chunks: the same answer as all at once, whatever is left over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.games.chunks import in_chunks


@pytest.mark.parametrize(("games", "size"), [(1, 4), (4, 4), (5, 4), (9, 2), (7, 100)])
def test_all_games_are_solved_once_and_in_order(games: int, size: int) -> None:
    x, y = jnp.arange(3.0 * games).reshape(games, 3), jnp.arange(float(games))
    total, scaled = jax.jit(lambda x, y: in_chunks(lambda a, b: (a.sum() + b, a * b), size, x, y))(
        x, y
    )
    assert np.array_equal(total, x.sum(1) + y)
    assert np.array_equal(scaled, x * y[:, None])
