"""Nash averaging: strategies rated against the equilibrium of greatest entropy.

    p = argmax H(p)  over the optimal strategies of a zero-sum game,   ratings = A p

Unlike a mean score, it does not change when a strategy is entered twice. Balduzzi, Tuyls, Perolat,
Graepel 2018, arXiv:1806.02643.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog, minimize

from shoal.core.errors import require
from shoal.games.checks import finite
from shoal.games.normal_form import TOLERANCE

ROUNDING = 1e-9


@dataclass(frozen=True)
class NashAverage:
    """The rating of S strategies."""

    ratings: Float[np.ndarray, "S"]
    """What each gains against the strategy: 0 where it is played or as good."""
    strategy: Float[np.ndarray, "S"]
    """The optimal strategy of greatest entropy."""
    entropy: float
    """Of the strategy, in nats."""
    regret: float
    """The certificate: the most that any strategy gains against this one."""
    entropy_gap: float
    """The certificate of the entropy: no optimal strategy has more, but for this."""
    method: str


def nash_averaging(payoffs: Any) -> NashAverage:
    """Rates strategies by what they gain from each other.

    >>> rated = nash_averaging([[0, -1, -1], [1, 0, -1], [1, 1, 0]])
    >>> rated.strategy.tolist(), rated.ratings.tolist()
    ([0.0, 0.0, 1.0], [-1.0, -1.0, 0.0])

    Args:
        payoffs: `[S, S]`, row's gain and column's loss; antisymmetric, such as log probs of winning
            or win rates less 1/2.

    Raises:
        UserError: the payoffs are no such matrix.
    """
    gains = finite("payoffs", payoffs, 2)
    require(
        gains.shape[0] == gains.shape[1],
        f"payoffs have shape {list(gains.shape)}, expected a square matrix",
    )
    scale = float(np.abs(gains).max()) or 1.0
    off = float(np.abs(gains + gains.T).max())
    require(
        off <= TOLERANCE * scale,
        f"payoffs are not antisymmetric: gains of two strategies from each other sum to {off:g}",
    )
    unit = (gains - gains.T) / (2 * scale)
    played = _played(unit)
    inside, outside = unit[np.ix_(played, played)], unit[np.ix_(~played, played)]
    weights, gap = greatest_entropy(inside, outside)
    strategy = np.zeros(len(gains))
    strategy[played] = weights
    ratings = gains @ strategy + 0.0
    return NashAverage(
        ratings,
        strategy,
        float(-weights @ np.log(np.maximum(weights, 1e-300))) + 0.0,
        max(0.0, float(ratings.max())),
        gap,
        "linear program for the support, Newton for the entropy",
    )


def _played(unit: np.ndarray) -> np.ndarray:
    """The strategies that some optimal strategy plays.

    Some optimum x either plays strategy i or loses by it, -(A x)_i > 0, for every i (Goldman and
    Tucker 1956): the program finds the one where the least of x_i - (A x)_i is largest.
    """
    size = len(unit)
    both = np.hstack([unit - np.eye(size), np.ones((size, 1))])  # t <= x_i - (A x)_i
    optimal = np.hstack([unit, np.zeros((size, 1))])
    found = linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.vstack([both, optimal]),
        b_ub=np.zeros(2 * size),
        A_eq=np.append(np.ones(size), 0.0)[None],
        b_eq=[1.0],
        bounds=(0, None),
        method="highs",
    )
    x = found.x[:size]
    return x > -unit @ x


def greatest_entropy(
    equal: Float[np.ndarray, "M S"], below: Float[np.ndarray, "K S"]
) -> tuple[Float[np.ndarray, "S"], float]:
    """The distribution x of greatest entropy with equal.x = 0 and below.x <= 0, and by how much
    its entropy may be short.

    Its dual is smooth: least log sum exp(-rows.multipliers), multipliers of `below` at least 0.
    A first solution tells which of those hold exactly; Newton's method then finishes.
    """
    rows = np.vstack([equal, below])
    first = len(equal)

    def dual(multipliers: np.ndarray) -> tuple[float, np.ndarray]:
        z = -multipliers @ rows
        top = z.max()
        total = np.exp(z - top).sum()
        return float(top + np.log(total)), -rows @ (np.exp(z - top) / total)

    bounds = [(None, None)] * first + [(0, None)] * len(below)
    begin = np.zeros(len(rows))
    options = {"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(dual, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    tight = np.append(np.ones(first, bool), found.x[first:] > ROUNDING)
    multipliers = np.zeros(len(rows))
    multipliers[tight] = _newton(rows[tight], found.x[tight])
    z = -multipliers @ rows
    x = np.exp(z - z.max())
    x /= x.sum()
    # Weak duality: the dual's value bounds the entropy of every x allowed.
    entropy = float(-x @ np.log(np.maximum(x, 1e-300)))
    multipliers[first:] = np.maximum(multipliers[first:], 0)
    return x, max(0.0, dual(multipliers)[0] - entropy)


def _newton(rows: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    """Multipliers that make rows.x = 0; rows may say the same thing twice."""
    for _ in range(50):
        z = -multipliers @ rows
        x = np.exp(z - z.max())
        x /= x.sum()
        slope = rows @ x
        if len(rows) == 0 or np.abs(slope).max() < 1e-15:
            break
        curve = (rows * x) @ rows.T - np.outer(slope, slope)
        multipliers = multipliers + np.linalg.lstsq(curve, slope, rcond=1e-13)[0]
    return multipliers
