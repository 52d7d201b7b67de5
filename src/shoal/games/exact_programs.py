"""Linear programs over distributions in whole numbers, for payoffs that floats cannot tell apart.

    max_x min_k (goals x)_k   where   limits x <= 0,  x >= 0,  sum_a x(a) = 1

With goals made positive, x / t solves  min 1'z over goals z >= 1, limits z <= 0, z >= 0.  Its dual,
max 1'q over goals'q - limits'y <= 1, starts at 0, and the pivots of `polytopes` cannot cycle
(Dantzig 1951; Edmonds 1967).
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.games.polytopes import leaving, pivot, start

MOST = 20_000
"""The most coefficients; programs as large take some seconds."""


def best_worst(goals: np.ndarray, limits: np.ndarray | None = None) -> np.ndarray | None:
    """The distribution x, `[A]`, for which the least of `goals @ x` is largest while no entry of
    `limits @ x` is positive; None where there is none.

    `goals` `[K, A]` and `limits` `[G, A]` are of `Fraction`s, and so is x.

    Raises:
        UserError: there are more than 20,000 coefficients.
    """
    limits = np.empty((0, goals.shape[1]), object) if limits is None else limits
    size = goals.size + limits.size
    require(
        size <= MOST,
        "payoffs span so many orders of magnitude that only whole numbers tell them apart: the "
        f"linear program would have {size:,} coefficients, the limit is {MOST:,}",
    )
    (aims,) = _whole(goals.reshape(1, -1))
    aims = (aims - aims.min() + 1).reshape(goals.shape)
    matrix = np.concatenate([aims, -_whole(limits)]).T
    if all(-(2**62) < v < 2**62 for v in matrix.flat):
        matrix = matrix.astype(np.int64)
    return _prices(matrix, len(goals))


def _prices(matrix: np.ndarray, count: int) -> np.ndarray | None:
    """The prices of the rows of max 1'q over matrix (q, y) <= 1, as shares of their sum; q are the
    first `count` columns. None if q has no bound."""
    rows, columns = matrix.shape
    bases, first = start(matrix), np.zeros(1, np.int64)
    while True:
        table, variables = bases.table[0], bases.variables[0]
        counted = (variables < count).astype(table.dtype)
        gain = counted[rows:] * bases.determinant[0] - counted[:rows] @ table[:, 1:]
        place = int(gain.argmax())
        if gain[place] <= 0:
            break
        if not (table[:, 1 + place] > 0).any():
            return None
        row = leaving(bases)[0, [place]]
        bases = pivot(bases, first, row, first + place)
    prices = np.zeros(rows, object)
    outside = variables[rows:]
    slack = outside >= columns
    prices[outside[slack] - columns] = [-int(g) for g in gain[slack]]
    return prices * Fraction(1, sum(prices))


def _whole(rows: np.ndarray) -> Any:
    """Each row of `Fraction`s as whole numbers in the same proportions, as small as can be."""
    out = np.empty(rows.shape, object)
    for at, row in enumerate(rows):
        scale = math.lcm(*(v.denominator for v in row))
        whole = [v.numerator * (scale // v.denominator) for v in row]
        unit = math.gcd(*whole) or 1
        out[at] = [v // unit for v in whole]
    return out
