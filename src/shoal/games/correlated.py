"""Correlated equilibria: a mediator draws an action profile and tells each player its own
action; nobody gains by disobeying (Aumann 1974). Coarse: nobody gains by not listening (Moulin and
Vial 1978).

    sum_{a_-i} p(a, a_-i) (u_i(b, a_-i) - u_i(a, a_-i)) <= 0   for all i, a, b

Linear in p, so that the best of them by a linear objective is one linear program: for HiGHS, or in
whole numbers where payoffs span too many orders of magnitude for floats.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from shoal.core.errors import UserError, require, unknown
from shoal.games.exact_programs import MOST, best_worst
from shoal.games.normal_form import NormalForm, centred, rational
from shoal.games.rounding import is_wide
from shoal.games.scaling import normalised

LARGEST_PROGRAM = 10_000_000
"""The most coefficients of the linear program; some 1 GB with what the solver adds."""
OBJECTIVES = ("welfare", "fairness")


@dataclass(frozen=True)
class Correlated:
    """A correlated or coarse correlated equilibrium, the best by its objective."""

    distribution: np.ndarray
    """The probability of each action profile, `[A1, ..., AN]`."""
    payoffs: np.ndarray
    """What each player gains, `[N]`."""
    welfare: float
    """The sum of what the players gain."""
    value: float
    """The objective's value."""
    regret: float
    """The certificate: the most that a player gains by disobeying, computed after solving."""
    method: str
    parameters: dict[str, Any] = field(default_factory=dict)


def correlated_equilibrium(
    game: NormalForm, objective: Any = "welfare", coarse: bool = False
) -> Correlated:
    """The correlated equilibrium that maximises the objective.

    Args:
        game: any number of players.
        objective: "welfare", the sum of payoffs; "fairness", the least payoff; a player's number;
            or weights of the action profiles, `[A1, ..., AN]`.
        coarse: players choose whether to listen before they are told anything.

    >>> game = NormalForm.symmetric([[6, 2], [7, 0]])
    >>> round(correlated_equilibrium(game).welfare, 9)
    10.5

    Raises:
        UserError: an unknown objective, or a game too large for a linear program: much sooner
            where payoffs span so many orders of magnitude that only whole numbers tell them apart.
    """
    _check_size(game)
    payoffs = np.asarray(game.payoffs, np.float64)
    weights = _weights(payoffs, objective)
    wide = is_wide(*payoffs, *([] if weights is None else [weights]))
    if exact := wide and _dense(game, coarse) <= MOST:
        p = _in_whole_numbers(game, objective, coarse)
    elif weights is None:
        p = _fairest(game, _incentives(normalised(game), coarse))
    else:  # moved and scaled, which does not change where the best is
        aim = (weights - weights.min()) / (np.ptp(weights) or 1.0)
        p = _solve(-aim.ravel(), _incentives(normalised(game), coarse), aim.size)
    p = p.reshape(game.num_actions)
    gained = np.tensordot(payoffs, p, game.num_players)
    regret = correlated_regret(game, p, coarse)
    require(
        exact or not wide or regret <= 1e-12 * float((np.abs(payoffs) * p).sum()),
        "payoffs span too many orders of magnitude for floats, and the linear program is too "
        f"large for whole numbers: {_dense(game, coarse):,} coefficients, the limit is {MOST:,}",
    )
    kind = "simplex method in whole numbers" if exact else "linear programming"
    given = {"objective": objective, "coarse": coarse}
    return Correlated(
        distribution=p,
        payoffs=gained,
        welfare=float(gained.sum()),
        value=float(gained.min() if weights is None else (weights * p).sum()),
        regret=regret,
        method=f"{'coarse ' if coarse else ''}correlated equilibrium by {kind}",
        parameters=given,
    )


def correlated_regret(game: NormalForm, distribution: Any, coarse: bool = False) -> float:
    """The most that a player gains by the best rule for disobeying: an action in place of each
    that it is told, or with `coarse` one action in place of all. 0 in equilibrium.

    Args:
        distribution: the probability of each action profile, `[A1, ..., AN]`.

    Raises:
        UserError: it is not a distribution over the action profiles.
    """
    p = _check_distribution(game, distribution)
    worst = 0.0
    for i, u in enumerate(centred(game)):
        told = np.moveaxis(p, i, 0).reshape(p.shape[i], -1)
        gain = np.moveaxis(u, i, 0).reshape(p.shape[i], -1)
        switched = told @ gain.T  # what b gives where a is told, [A_i, A_i]
        obeyed = switched.trace()
        best = switched.sum(0).max() if coarse else switched.max(1).sum()
        worst = max(worst, float(best - obeyed))
    return worst


def _in_whole_numbers(game: NormalForm, objective: Any, coarse: bool) -> np.ndarray:
    exact = game.exact()
    weights = _weights(exact, objective)
    goals = exact if weights is None else rational(weights)
    (values, (rows, columns)), shape = _entries(exact, coarse)
    limits = np.zeros(shape, object)
    limits[rows, columns] = values
    p = best_worst(goals.reshape(-1, shape[1]), limits)
    assert p is not None, "every game has a correlated equilibrium"
    return p.astype(float)


def _dense(game: NormalForm, coarse: bool) -> int:
    """How many coefficients the program has, zeros too."""
    deviations = sum(n if coarse else n * (n - 1) for n in game.num_actions)
    return int(np.prod(game.num_actions)) * (deviations + game.num_players)


def _incentives(payoffs: np.ndarray, coarse: bool) -> Any:
    """What each deviation gains in each action profile, `[deviations, profiles]`, sparse."""
    entries, shape = _entries(payoffs, coarse)
    matrix = sp.coo_array(entries, shape=shape).tocsr()
    matrix.eliminate_zeros()
    return matrix


def _entries(payoffs: np.ndarray, coarse: bool) -> tuple[Any, tuple[int, int]]:
    """The values, and the rows and columns, of what each deviation gains, and the shape."""
    counts = payoffs.shape[1:]
    profiles = int(np.prod(counts))
    number = np.arange(profiles).reshape(counts)
    rows, columns, values, height = [], [], [], 0
    for i, u in enumerate(payoffs):
        own = np.moveaxis(u, i, 0).reshape(counts[i], -1)
        where = np.moveaxis(number, i, 0).reshape(counts[i], -1)
        for a in range(counts[i]):
            gain = np.delete(own - own[a], a, 0)  # of each other action b where a is told
            b = np.delete(np.arange(counts[i]), a)
            row = height + (b if coarse else a * (counts[i] - 1) + np.arange(len(b)))
            rows.append(np.broadcast_to(row[:, None], gain.shape).ravel())
            columns.append(np.broadcast_to(where[a], gain.shape).ravel())
            values.append(gain.ravel())
        height += counts[i] if coarse else counts[i] * (counts[i] - 1)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return entries, (height, profiles)


def _fairest(game: NormalForm, incentives: Any) -> np.ndarray:
    """The distribution of the largest t that no player's payoff is below."""
    payoffs = np.asarray(game.payoffs, np.float64).reshape(game.num_players, -1)
    widths = np.ptp(payoffs, axis=1)
    unit = (payoffs - payoffs.min()) / widths.min(initial=np.inf, where=widths > 0)
    rows = sp.vstack(
        [
            sp.hstack([incentives, sp.csr_array((incentives.shape[0], 1))]),
            sp.hstack([sp.csr_array(-unit), sp.csr_array(np.ones((len(unit), 1)))]),
        ]
    )
    return _solve(np.append(np.zeros(payoffs.shape[1]), -1.0), rows.tocsr(), payoffs.shape[1])


def _solve(aim: np.ndarray, rows: Any, profiles: int) -> np.ndarray:
    """The distribution of least aim where rows.x <= 0: the first `profiles` of x, the rest free."""
    found = linprog(
        aim,
        rows,
        np.zeros(rows.shape[0]),
        (np.arange(len(aim)) < profiles).astype(float)[None],
        [1.0],
        [(0.0, None)] * profiles + [(None, None)] * (len(aim) - profiles),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.x is None:
        raise UserError(f"the linear program was not solved: {found.message}")
    p = np.maximum(found.x[:profiles], 0.0)
    return p / p.sum()


def _weights(payoffs: np.ndarray, objective: Any) -> np.ndarray | None:
    """What each action profile counts, `[A1, ..., AN]`; None of fairness, which is not linear."""
    if isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise unknown("objective", objective, OBJECTIVES)
        return payoffs.sum(0) if objective == "welfare" else None
    if np.ndim(objective) == 0:
        count = len(payoffs)
        require(
            isinstance(objective, int | np.integer) and bool(0 <= objective < count),
            f"player {objective} does not exist: there are {count}, from 0",
        )
        return payoffs[int(objective)]
    weights = np.asarray(objective, np.float64)
    require(
        bool(weights.shape == payoffs.shape[1:] and np.isfinite(weights).all()),
        f"weights of action profiles have shape {list(weights.shape)}, "
        f"expected finite {list(payoffs.shape[1:])}",
    )
    return weights


def _check_distribution(game: NormalForm, distribution: Any) -> np.ndarray:
    p = np.asarray(distribution, np.float64)
    require(
        p.shape == game.num_actions,
        f"the distribution has shape {list(p.shape)}, expected {list(game.num_actions)}",
    )
    require(
        bool((p >= -1e-9).all()) and abs(float(p.sum()) - 1) <= 1e-9 * max(1, p.size),
        f"not a distribution: least entry {float(p.min()):g}, sum {float(p.sum()):.12g}",
    )
    return p


def _check_size(game: NormalForm) -> None:
    profiles = int(np.prod(game.num_actions))
    size = profiles * sum(n - 1 for n in game.num_actions)
    require(
        size <= LARGEST_PROGRAM,
        f"a game of {' x '.join(map(str, game.num_actions))} needs a linear program of {size:.3g} "
        f"coefficients, the limit is {LARGEST_PROGRAM}: regret matching approaches the set",
    )
