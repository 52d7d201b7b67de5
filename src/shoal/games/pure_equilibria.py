"""Pure equilibria, of any number of players: action profiles in which each action is a best reply.

    u_i(a) = max_b u_i(b, a_-i)  for every player i

Nash, Non-cooperative games (1951).
"""

import numpy as np

from shoal.core.errors import require
from shoal.games.normal_form import NormalForm, pure
from shoal.games.solution import Equilibria, certified


def pure_equilibria(game: NormalForm, tolerance: float = 1e-12) -> Equilibria:
    """The equilibria in which every player takes one action with probability 1, in the order of the
    action profiles.

    `tolerance` is how far below the best reply a payoff may be, as a share of the range of that
    player's payoffs: payoffs that differ by rounding tie. There may be none, and there may be
    mixed ones besides, so that the list never claims to be complete.

    >>> game = NormalForm([[[3, 0], [5, 1]], [[3, 5], [0, 1]]], title="prisoner's dilemma")
    >>> [[x.tolist() for x in profile] for profile in pure_equilibria(game)]
    [[[0.0, 1.0], [0.0, 1.0]]]

    Raises:
        UserError: the tolerance is negative.
    """
    profiles = [pure(game, a) for a in pure_action_profiles(game, tolerance)]
    given = {"tolerance": tolerance}
    return certified(game, profiles, "pure enumeration", complete=False, parameters=given)


def pure_action_profiles(game: NormalForm, tolerance: float = 1e-12) -> list[tuple[int, ...]]:
    """The same equilibria as the numbers of the actions, without certificates.

    >>> pure_action_profiles(NormalForm.symmetric([[3, 0], [5, 1]]))
    [(1, 1)]

    Raises:
        UserError: the tolerance is negative.
    """
    require(tolerance >= 0, f"tolerance is {tolerance:g}, expected 0 or more")
    best = np.ones(game.num_actions, bool)
    for i, values in enumerate(np.asarray(game.payoffs, np.float64)):
        best &= values >= values.max(axis=i, keepdims=True) - tolerance * np.ptp(values)
    return [tuple(actions) for actions in np.argwhere(best).tolist()]
