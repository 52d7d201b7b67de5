"""Pure equilibria, of any number of players: action profiles in which each action is a best reply.

    u_i(a) = max_b u_i(b, a_-i)  for every player i

Nash, Non-cooperative games (1951).
"""

import numpy as np

from shoal.core.errors import require
from shoal.games.normal_form import NormalForm, pure
from shoal.games.rounding import BIT, tied
from shoal.games.solution import Equilibria, certified


def pure_equilibria(game: NormalForm, tolerance: float | None = None) -> Equilibria:
    """The equilibria in which every player takes one action with probability 1, in the order of the
    action profiles.

    Payoffs that differ in their last bits tie, whole numbers only where they are equal; with a
    `tolerance` those that are below the best by no more than this share of the player's range of
    payoffs. There may be no equilibrium, and there may be mixed ones besides, so that the list
    never claims to be complete.

    >>> game = NormalForm([[[3, 0], [5, 1]], [[3, 5], [0, 1]]], title="prisoner's dilemma")
    >>> [[x.tolist() for x in profile] for profile in pure_equilibria(game)]
    [[[0.0, 1.0], [0.0, 1.0]]]

    Raises:
        UserError: the tolerance is negative.
    """
    profiles = [pure(game, a) for a in pure_action_profiles(game, tolerance)]
    given = {"tolerance": tolerance}
    return certified(game, profiles, "pure enumeration", complete=False, parameters=given)


def pure_action_profiles(game: NormalForm, tolerance: float | None = None) -> list[tuple[int, ...]]:
    """The same equilibria as the numbers of the actions, without certificates.

    >>> pure_action_profiles(NormalForm.symmetric([[3, 0], [5, 1]]))
    [(1, 1)]

    Raises:
        UserError: the tolerance is negative.
    """
    require(
        tolerance is None or tolerance >= 0, f"tolerance is {tolerance or 0:g}, expected 0 or more"
    )
    best = np.ones(game.num_actions, bool)
    for i, values in enumerate(np.asarray(game.payoffs, np.float64)):
        most = values.max(axis=i, keepdims=True)
        if tolerance is None:  # asked of few: most are far below the best
            near = values >= most - 8 * BIT * np.abs(values).max()
            near[near] = tied(values[near], np.broadcast_to(most, values.shape)[near])
            best &= near
        else:
            best &= values >= most - tolerance * np.ptp(values)
    return [tuple(actions) for actions in np.argwhere(best).tolist()]
