"""Zero-sum games: each player's best guarantee, by linear programming.

    value = max_x min_j (x'A)_j = min_y max_i (A y)_i            (von Neumann 1928)

One game goes to HiGHS; where payoffs span too many orders of magnitude for it, to whole numbers.
Many go to a compiled simplex method: with A scaled into [1, 2], max 1'z over A z <= 1, z >= 0
starts at z = 0; then y is z and x the prices, to sum to 1 each (Dantzig 1951).
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.optimize import linprog

from shoal.core.errors import require
from shoal.games.bimatrix import matrices
from shoal.games.chunks import in_chunks
from shoal.games.exact_programs import best_worst
from shoal.games.normal_form import NormalForm, regret
from shoal.games.rounding import BIT, DECIMALS, LOOSE, are_wide, is_equilibrium, is_wide

CHUNK = 64
WHOLE = 1_000
"""The most payoffs of a game that whole numbers solve, within a second or so."""
Solutions = tuple[
    Float[np.ndarray, " K"],
    Float[np.ndarray, "K m"],
    Float[np.ndarray, "K n"],
    Float[np.ndarray, " K"],
]


@dataclass(frozen=True)
class ZeroSum:
    """The value of a zero-sum game, and strategies that guarantee it."""

    value: float
    """What the row player gains."""
    row: Float[np.ndarray, " m"]
    """The row player's strategy: gains at least the value against all."""
    column: Float[np.ndarray, " n"]
    """The column player's strategy: yields at most the value to all."""
    regret: float
    """The certificate: the most that either could gain by another strategy. The value is off by
    no more than this."""
    method: str
    """The name of the method."""


def zero_sum(game: Any) -> ZeroSum:
    """The value and optimal strategies of a zero-sum game: a matrix of the row player's gains, or
    a `NormalForm` in which the players' gains sum to a constant.

    >>> solved = zero_sum([[2, 1, 5], [-3, -4, -2]])
    >>> solved.value, solved.row.tolist(), solved.column.tolist()
    (1.0, [1.0, 0.0], [0.0, 1.0, 0.0])

    Raises:
        UserError: the payoffs are not a full matrix of finite numbers; the game has not two
            players, or their gains do not sum to a constant; more than 1,000 payoffs that span
            too many orders of magnitude for floats.
    """
    whole = game if isinstance(game, NormalForm) else NormalForm.zero_sum(game)
    payoffs, theirs = matrices(whole)
    _check_constant(payoffs, theirs)
    wide, small = is_wide(payoffs), payoffs.size <= WHOLE
    if not (wide and small):
        value, x, y = _by_floats(payoffs)
        if is_equilibrium(whole, (x, y), wide):
            return ZeroSum(value, x, y, regret(whole, (x, y)), "HiGHS")
    require(
        small,
        "payoffs span too many orders of magnitude for floats, and whole numbers take games of "
        f"at most {WHOLE:,} payoffs: this has {payoffs.size:,}",
    )
    value, x, y = _by_whole_numbers(whole)
    return ZeroSum(value, x, y, regret(whole, (x, y)), "simplex method in whole numbers")


def _by_floats(payoffs: Float[np.ndarray, "m n"]) -> tuple[float, np.ndarray, np.ndarray]:
    m, n = payoffs.shape
    scaled, least, unit = _scaled(payoffs)
    # Variables x and v: the most v with v <= (x'A)_j for all j, and x a distribution.
    found = linprog(
        np.r_[np.zeros(m), -1.0],
        A_ub=np.c_[-scaled.T, np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(m), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * m + [(None, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0, found.message  # every matrix game has a value
    x, y = _clean(found.x[:m]), _clean(-found.ineqlin.marginals)
    # The middle of the two guarantees: the value lies between them.
    value = (float((scaled @ y).max()) + float((x @ scaled).min())) / 2
    return float(least + unit * (value - 1)), x, y


def _by_whole_numbers(game: NormalForm) -> tuple[float, np.ndarray, np.ndarray]:
    exact = game.exact()[0]
    x, y = best_worst(exact.T), best_worst(-exact)
    assert x is not None and y is not None, "every matrix game has a value"
    return float((x @ exact).min()), x.astype(float), y.astype(float)


def zero_sum_batch(payoffs: Any) -> Solutions:
    """Many games of one shape: values `[K]`, strategies of the row and of the column players,
    `[K, m]` and `[K, n]`, and gaps `[K]` between what these guarantee. Values are off by no more
    than their gaps.

    `payoffs[k]` are the gains of the row player, `[m, n]`. Compiled once for each shape.

    Raises:
        UserError: the payoffs are not of shape `[K, m, n]`, or not finite; or as `zero_sum`.
    """
    payoffs = np.asarray(payoffs, np.float64)
    require(
        payoffs.ndim == 3 and 0 not in payoffs.shape,
        f"payoffs have shape {list(payoffs.shape)}, expected [K, m, n]",
    )
    require(bool(np.isfinite(payoffs).all()), "some payoff is not finite")
    with jax.enable_x64(True):
        value, x, y, gap, rounding = map(np.array, _batch(jnp.asarray(payoffs)))
    tables = payoffs.reshape(len(payoffs), -1)
    width = np.ptp(tables, axis=1)
    again = (gap > rounding) | (width > DECIMALS)
    again[again] = are_wide(tables[again]) | (gap > LOOSE * width)[again]
    for k in np.flatnonzero(again):
        one = zero_sum(payoffs[k])
        value[k], x[k], y[k], gap[k] = one.value, one.row, one.column, one.regret
    return value, x, y, gap


def zero_sum_kernel(
    payoffs: Float[Array, "m n"], max_pivots: int | None = None
) -> tuple[Float[Array, ""], Float[Array, " m"], Float[Array, " n"], Bool[Array, ""]]:
    """The value, both strategies, and whether the simplex method came to its end within
    `max_pivots`, which is 20 for each action unless given. For use inside compiled code."""
    m, n = payoffs.shape
    limit = 20 * (m + n) if max_pivots is None else max_pivots
    scaled, least, unit = _scaled(payoffs)
    dtype = scaled.dtype
    small = 1e-11 if dtype == jnp.float64 else 1e-5
    right = jnp.concatenate([jnp.ones((m, 1), dtype), jnp.zeros((1, 1), dtype)])
    table = jnp.concatenate([scaled, -jnp.ones((1, n), dtype)])
    table = jnp.concatenate([table, right], axis=1)

    def going(state: tuple) -> Array:
        table, _, _, _, count = state
        return (table[m, :n].min() < -small) & (count < limit)

    def step(state: tuple) -> tuple:
        table, basis, outside, stalls, count = state
        # The steepest cost; but the first variable (Bland) while steps lead nowhere: no cycles.
        cost = table[m, :n]
        first = jnp.argmin(jnp.where(cost < -small, outside, m + n))
        c = jnp.where(stalls > m, first, jnp.argmin(cost))
        column = table[:m, c]
        ratio = jnp.where(column > small, table[:m, n], jnp.inf) / jnp.where(
            column > small, column, 1
        )
        tied = ratio <= ratio.min() + small
        r = jnp.argmin(jnp.where(tied, basis, m + n))
        stalls = jnp.where(ratio.min() <= small, stalls + 1, 0)
        here, there = jnp.arange(m) == r, jnp.arange(n) == c
        basis, outside = jnp.where(here, outside[c], basis), jnp.where(there, basis[r], outside)
        return _swap(table, r, c), basis, outside, stalls, count + 1

    state = (table, n + jnp.arange(m), jnp.arange(n), jnp.array(0), jnp.array(0))
    table, basis, outside, _, _ = jax.lax.while_loop(going, step, state)
    done = table[m, :n].min() >= -small
    each = jnp.arange(m + n)
    z = jnp.where(basis[:, None] == each, table[:m, n:], 0).sum(0)[:n]
    prices = jnp.where(outside[:, None] == each, table[m, :n, None], 0).sum(0)[n:]
    x, y = _normal(prices), _normal(z)
    value = ((scaled @ y).max() + (x @ scaled).min()) / 2
    return least + unit * (value - 1), x, y, done


def _swap(table: Float[Array, "M N"], r: Array, c: Array) -> Float[Array, "M N"]:
    """The dictionary after the variables of row r and column c change places."""
    here = jnp.arange(table.shape[0])[:, None] == r
    there = jnp.arange(table.shape[1]) == c
    leave = jnp.where(there, 1, table[r]) / table[r, c]
    column = table[:, c]
    rest = jnp.where(there, 0, table) - column[:, None] * leave
    return jnp.where(here, leave, rest)


def _normal(x: Float[Array, " a"]) -> Float[Array, " a"]:
    x = jnp.maximum(x, 0)
    total = x.sum()
    return jnp.where(total > 0, x, 1) / jnp.where(total > 0, total, x.shape[0])


def _scaled(payoffs: Any) -> tuple[Any, Any, Any]:
    """The payoffs in [1, 2], the least of them before, and the unit; NumPy's or JAX's."""
    least, most = payoffs.min(), payoffs.max()
    unit = most - least
    unit = unit + (unit == 0)
    return 1 + (payoffs - least) / unit, least, unit


def _clean(x: np.ndarray) -> np.ndarray:
    x = np.maximum(x, 0.0)
    return x / x.sum()


def _check_constant(ours: np.ndarray, theirs: np.ndarray) -> None:
    total = ours + theirs
    spread, scale = float(np.ptp(total)), max(float(np.ptp(ours)), float(np.ptp(theirs)))
    rounding = 1e-15 * float(np.abs(ours).max() + np.abs(theirs).max())
    require(
        spread <= 1e-9 * scale + rounding,
        f"the players' gains sum to between {total.min():g} and {total.max():g}, expected a "
        "constant; equilibria and lemke_howson take other games",
    )


@jax.jit
def _batch(payoffs: Float[Array, "K m n"]) -> tuple[Array, Array, Array, Array, Array]:
    def one(matrix: Array) -> tuple[Array, Array, Array, Array, Array]:
        value, x, y, _ = zero_sum_kernel(matrix)
        gap = jnp.maximum((matrix @ y).max() - (x @ matrix).min(), 0)
        sizes = jnp.abs(matrix)
        rounding = BIT * sum(matrix.shape) * ((sizes @ y).max() + (x @ sizes).max())
        return value, x, y, gap, rounding

    return in_chunks(one, CHUNK, payoffs)
