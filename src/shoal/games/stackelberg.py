"""Commitment: the leader plays a mixed strategy that the follower sees and answers, ties broken in
the leader's favour (strong Stackelberg equilibrium). One linear program for each answer b:

    max_x sum_a x(a) A(a, b)   where   sum_a x(a) (B(a, b) - B(a, c)) >= 0  for all c

(Conitzer and Sandholm 2006, "Computing the optimal strategy to commit to"). Programs go to HiGHS,
or to whole numbers where payoffs span too many orders of magnitude for floats.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import linprog

from shoal.core.errors import require
from shoal.games.exact_programs import best_worst
from shoal.games.normal_form import NormalForm
from shoal.games.rounding import is_wide
from shoal.games.scaling import normalised

TIE = 1e-9
"""Answers within this share of the range of payoffs are equally good for the leader."""


@dataclass(frozen=True)
class Stackelberg:
    """The best commitment and the answer to it."""

    leader: np.ndarray
    """The strategy committed to, over the leader's actions."""
    follower: np.ndarray
    """The answer, one action surely, over the follower's actions."""
    response: int
    """The number of that action."""
    value: float
    """What the leader gains."""
    follower_value: float
    """What the follower gains."""
    regret: float
    """The certificate of the answer: how much the follower could gain by another."""
    gap: float
    """The certificate of the commitment: how much better another could be at most, by the dual
    programs (those of answers that no commitment calls for are taken as infeasible)."""
    values: np.ndarray
    """The best that the leader can do where the follower gives each answer; -inf where it never
    does, `[follower's actions]`."""
    method: str


def stackelberg(game: NormalForm, leader: int = 0) -> Stackelberg:
    """The strategy that `leader` does best to commit to.

    >>> game = NormalForm.bimatrix([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    >>> round(stackelberg(game).value, 9)
    3.5

    Raises:
        UserError: the game has not two players, or no player `leader`; or it is too large for
            whole numbers, where only these will do.
    """
    require(game.num_players == 2, f"commitment needs 2 players, the game has {game.num_players}")
    require(leader in (0, 1), f"player {leader} does not exist: the leader is 0 or 1")
    mine, theirs = _seats(np.asarray(game.payoffs, np.float64), leader)
    answers = range(mine.shape[1])
    exact = is_wide(mine, theirs)
    if exact:
        whole = _seats(game.exact(), leader)
        solved = [_in_whole_numbers(*whole, b) for b in answers]
        least, width, tie = 0.0, 1.0, 0.0
    else:
        unit = _seats(normalised(game), leader)
        solved = [_commitment(*unit, b) for b in answers]
        least, width, tie = float(mine.min()), float(np.ptp(mine)), TIE
    reached = np.array([value for _, value, _ in solved])
    # Equal to rounding: the first, so that the answer does not depend on the last bits.
    response = int(np.argmax(reached >= reached.max() - tie))
    x = solved[response][0]
    gained = x @ theirs
    return Stackelberg(
        leader=x,
        follower=np.eye(mine.shape[1])[response],
        response=response,
        value=float(x @ mine[:, response]),
        follower_value=float(gained[response]),
        regret=float(gained.max() - gained[response]),
        gap=width * max(0.0, max(bound for _, _, bound in solved) - float(reached[response])),
        values=np.where(reached > -np.inf, least + width * reached, -np.inf),
        method=f"one linear program an answer{', in whole numbers' if exact else ''}",
    )


def _seats(payoffs: Shaped[np.ndarray, "2 A B"], leader: int) -> tuple[np.ndarray, np.ndarray]:
    """The leader's payoffs and the follower's, `[leader's actions, follower's actions]`."""
    return (payoffs[0], payoffs[1]) if leader == 0 else (payoffs[1].T, payoffs[0].T)


def _in_whole_numbers(
    mine: np.ndarray, theirs: np.ndarray, answer: int
) -> tuple[np.ndarray, float, float]:
    """As `_commitment`, of `Fraction`s in the payoffs' own units."""
    x = best_worst(mine[:, answer][None], (theirs - theirs[:, [answer]]).T)
    if x is None:
        return np.full(len(mine), np.nan), -np.inf, -np.inf
    value = float(x @ mine[:, answer])
    return x.astype(float), value, value


def _commitment(
    mine: Float[np.ndarray, "A B"], theirs: Float[np.ndarray, "A B"], answer: int
) -> tuple[np.ndarray, float, float]:
    """The best commitment that makes `answer` best; what it gives; and a bound on what any gives.

    Payoffs are within [0, 1]. By duality: for multipliers q >= 0 nothing gives more than
    max_a A(a, b) + sum_c q(c) (B(a, b) - B(a, c)).
    """
    count = len(mine)
    worse = (theirs - theirs[:, [answer]]).T  # of each other answer, at most 0
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    solved = linprog(
        -mine[:, answer],
        worse,
        np.zeros(len(worse)),
        np.ones((1, count)),
        [1.0],
        (0.0, None),
        method="highs",
        options=tight,
    )
    if solved.x is None:
        return np.full(count, np.nan), -np.inf, -np.inf
    x = np.maximum(solved.x, 0.0)
    x /= x.sum()
    multipliers = np.maximum(-solved.ineqlin.marginals, 0.0)
    bound = float((mine[:, answer] - multipliers @ worse).max())
    return x, float(x @ mine[:, answer]), bound
