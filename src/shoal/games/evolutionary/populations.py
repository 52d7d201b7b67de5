"""Games that one population plays with itself: who meets whom, and what they gain."""

from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.games.normal_form import TOLERANCE, NormalForm


def as_symmetric(game: Any) -> NormalForm:
    """A symmetric game: a `NormalForm` that is one, or the matrix `[mine, other's]` of gains.

    Raises:
        UserError: the game is not symmetric, or the matrix is not square.
    """
    if not isinstance(game, NormalForm):
        return NormalForm.symmetric(game)
    check_symmetric(game)
    return game


def check_symmetric(game: NormalForm) -> None:
    """A game is symmetric where a gain is one function of one's own and the others' actions.

    Raises:
        UserError: it is not.
    """
    require(len(set(game.num_actions)) == 1, "the players have different numbers of actions")
    first, n = np.asarray(game.payoffs[0]), game.num_players
    # The order of the others must not matter to the first player, nor who is the first.
    swaps = [np.swapaxes(first, 1, j) for j in range(2, n)]
    turns = [np.moveaxis(np.asarray(game.payoffs[i]), i, 0) for i in range(1, n)]
    slack = TOLERANCE * float(np.ptp(first))
    same = all(np.allclose(first, x, rtol=1e-15, atol=slack) for x in swaps + turns)
    require(same, "the game is not symmetric: the players' gains differ when they swap places")


def two_player_matrix(game: Any, asked: str) -> np.ndarray:
    """The gains `[mine, other's]` of a symmetric game of two players, float64.

    Raises:
        UserError: the game is not such a one; `asked` says what needs it.
    """
    game = as_symmetric(game)
    require(game.num_players == 2, f"{asked} needs 2 players, the game has {game.num_players}")
    return np.asarray(game.payoffs[0], np.float64)


def group_gains(game: NormalForm, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """What an `a`-player and a `b`-player gain where j = 0, ..., N-1 of the others play `a` and
    the rest `b`, `[N]` each."""
    others = game.num_players - 1
    rivals = [(a,) * j + (b,) * (others - j) for j in range(others + 1)]
    payoffs = np.asarray(game.payoffs[0], np.float64)
    return (
        np.array([payoffs[(a, *r)] for r in rivals]),
        np.array([payoffs[(b, *r)] for r in rivals]),
    )
