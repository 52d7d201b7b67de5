"""Payoffs without their units: moved and scaled, player by player, so that one tolerance fits all.

u_i -> (u_i - least u_i) / (most u_i - least u_i)  leaves every Nash equilibrium where it is.
"""

import numpy as np

from shoal.games.normal_form import NormalForm, from_least


def normalised(game: NormalForm) -> np.ndarray:
    """Payoffs of each player moved and scaled into [0, 1], `[N, A1, ..., AN]` float64; all 0 for
    a player to whom nothing matters."""
    payoffs = from_least(game)
    width = payoffs.max(axis=tuple(range(1, payoffs.ndim)), keepdims=True)
    return payoffs / np.where(width > 0, width, 1.0)


def payoff_range(game: NormalForm) -> float:
    """The widest range of a player's payoffs; 1 where nothing matters."""
    return float(from_least(game).max()) or 1.0
