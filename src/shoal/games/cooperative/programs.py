r"""Linear programs over all coalitions, by their dual, with answers in rational numbers.

    min epsilon:  x(S) + epsilon >= v(S)          max sum_S lambda_S v(S):  lambda balanced

The dual has only N + 1 rows. The coalitions that it gives weight are tight in every solution
(Maschler, Peleg, Shapley 1979), and their equations, solved in fractions, make epsilon exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linprog

from shoal.core.errors import require
from shoal.games.cooperative.characteristic import subset_sums, whole_numbers

MAX_LP_PLAYERS = 16
"""The most players for a linear program over all coalitions."""

TINY = 1e-9
"""Below this a weight, or a residual, of a linear program counts as 0."""


@dataclass(frozen=True)
class Program:
    """The solution of one linear program over coalitions."""

    epsilon: Fraction
    """The least largest excess of the coalitions that are open."""
    weights: dict[int, Fraction]
    """The coalitions with positive weight: their excess is epsilon in every solution."""
    floors: list[int]
    """The players whose floor has positive weight: they get no more in any solution."""
    shares: Float[np.ndarray, "N"]
    """An allocation."""
    exact: bool
    """Whether epsilon and weights solve their equations in rational numbers."""


def solve_level(
    exact: np.ndarray, coalitions: Any, fixed: Mapping[int, Fraction], floors: Sequence[int]
) -> Program:
    r"""$\min \epsilon$ where $x(S) + \epsilon \ge v(S)$, by the dual.

    $$\max \sum_S \lambda_S v(S) + \sum_T f_T x_T + \sum_i \mu_i v_i, \quad
    \sum_S \lambda_S 1_S + \sum_T f_T 1_T + \sum_i \mu_i 1_i = 0, \quad \sum_S \lambda_S = 1$$

    Args:
        exact: gains of all coalitions, `Fraction`s.
        coalitions: those S that are open.
        fixed: what coalitions T have in all, linearly independent.
        floors: players i who must have their own worth.
    """
    masks = [*map(int, coalitions), *fixed, *(1 << i for i in floors)]
    num_players, num_open = len(exact).bit_length() - 1, len(coalitions)
    reward = [*exact[coalitions], *fixed.values(), *(exact[1 << i] for i in floors)]
    scale = max(max(abs(r) for r in reward), Fraction(1, 10**6))
    columns = indicators(masks, num_players).T
    rows = np.vstack([columns, np.arange(len(masks)) < num_open]).astype(float)
    right = np.eye(num_players + 1)[-1]
    free = [num_open <= k < num_open + len(fixed) for k in range(len(masks))]
    found = linprog(
        [-float(r / scale) for r in reward],
        A_eq=rows,
        b_eq=right,
        bounds=[(None, None) if f else (0, None) for f in free],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.status != 0:
        raise RuntimeError(f"the linear program was not solved: {found.message}")
    basic = np.flatnonzero(np.abs(found.x) > TINY)
    solved = solve_rational(rows[:, basic], right.astype(int).tolist())
    sound = solved is not None and all(
        free[k] or weight > 0 for k, weight in zip(basic, solved, strict=True)
    )
    values = solved if solved is not None and sound else [Fraction(w) for w in found.x[basic]]
    positive = dict(zip(basic.tolist(), values))
    return Program(
        epsilon=sum((w * reward[k] for k, w in positive.items()), Fraction(0)),
        weights={masks[k]: w for k, w in positive.items() if k < num_open},
        floors=[floors[k - num_open - len(fixed)] for k in positive if k >= num_open + len(fixed)],
        shares=-found.eqlin.marginals[:num_players] * float(scale),
        exact=sound,
    )


def solve_rational(matrix: Any, right: Sequence[Any]) -> list[Fraction] | None:
    """The unique x with `matrix` x = `right`, in rational numbers; None where there is none, or
    more than one."""
    # Python's integers, since NumPy's would overflow inside a Fraction.
    rows = [[Fraction(int(a)) for a in row] + [Fraction(b)] for row, b in zip(matrix, right)]
    unknowns = len(rows[0]) - 1
    for k in range(unknowns):
        pivot = next((r for r in range(k, len(rows)) if rows[r][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for r in range(len(rows)):
            if r != k and rows[r][k]:
                rows[r] = [a - rows[r][k] * b for a, b in zip(rows[r], rows[k])]
    if any(row[-1] for row in rows[unknowns:]):
        return None
    return [row[-1] for row in rows[:unknowns]]


def exact_excesses(exact: np.ndarray, shares: Sequence[Fraction]) -> list[Fraction]:
    """The excess of every coalition, in rational numbers."""
    whole, scale = whole_numbers(np.array([*exact, *shares], object))
    over = whole[: len(exact)] - subset_sums(whole[len(exact) :])
    return [Fraction(int(e), scale) for e in over]


def indicators(masks: Any, num_players: int) -> Int[np.ndarray, "K N"]:
    """Who is in each of these coalitions, as 0 and 1."""
    return np.array(masks, np.int64)[:, None] >> np.arange(num_players) & 1


def in_span(masks: Any, basis: Any, num_players: int) -> Bool[np.ndarray, "K"]:
    """Which coalitions' indicators depend on those of `basis`, which then fix what they get."""
    rows = indicators(masks, num_players).astype(float)
    orthonormal = np.linalg.svd(indicators(basis, num_players).astype(float), full_matrices=False)
    kept = orthonormal.Vh[orthonormal.S > TINY]
    return np.abs(rows - rows @ kept.T @ kept).max(1) < 1e-6


def check_lp_size(num_players: int) -> None:
    """Refuses games too large for `solve_level`."""
    require(
        num_players <= MAX_LP_PLAYERS,
        f"there are {num_players} players, expected at most {MAX_LP_PLAYERS} for linear programs "
        "over all coalitions; `shapley` and `banzhaf` take more",
    )
