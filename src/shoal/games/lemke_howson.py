"""Lemke and Howson's path: one label goes missing, and pivots follow it until it is back.

    A y + r = 1,  B'x + s = 1,  x_i r_i = 0 = y_j s_j   but for the missing label's pair

The variable that leaves one side's basis makes its partner, of the same label, enter the other's.
Ratios that tie are told apart lexicographically, so that no degenerate game can cycle (Lemke and
Howson 1964; von Stengel 2002). Labels count from 0: the m actions of the row player, then the
column player's n.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shoal.core.errors import require
from shoal.games.bimatrix import integers, matrices, positive, strategy
from shoal.games.chunks import in_chunks
from shoal.games.normal_form import NormalForm
from shoal.games.polytopes import leaving, pivot, start
from shoal.games.solution import Equilibria, certified

CHUNK = 512
Solutions = tuple[Float[np.ndarray, "K m"], Float[np.ndarray, "K n"], Float[np.ndarray, " K"]]


def lemke_howson(game: NormalForm, label: int | None = 0) -> Equilibria:
    """The equilibrium at the end of the path on which `label` is missing; with None, the different
    ones at the ends of all m + n paths.

    Compiled floats follow the path; if the end they come to is not an equilibrium to 1e-9 of each
    player's range of payoffs, integers follow it again.

    >>> found = lemke_howson(NormalForm.zero_sum([[1, -1], [-1, 1]]))
    >>> [x.round(9).tolist() for x in found[0]], found.regrets[0] < 1e-12
    ([[0.5, 0.5], [0.5, 0.5]], True)

    Raises:
        UserError: the game has not two players, or no action has that label.
    """
    row, column = matrices(game)
    _check_labels(label, *row.shape)
    labels = np.arange(sum(row.shape)) if label is None else np.array([label])
    # Of one scale, so that a regret means as much to either player.
    shape = (len(labels), *row.shape)
    ours, theirs = (np.broadcast_to(positive(u), shape) for u in (row, column))
    xs, ys, regrets = lemke_howson_batch(ours, theirs, labels)
    profiles: list[Any] = []
    for k, x, y, off in zip(labels, xs, ys, regrets):
        end = (x, y) if off <= 1e-9 else exact_path(game, int(k))
        if not any(np.allclose(np.r_[end], np.r_[p], rtol=0, atol=1e-9) for p in profiles):
            profiles.append(end)
    return certified(game, profiles, "Lemke-Howson", complete=False, parameters={"label": label})


def lemke_howson_batch(rows: Any, columns: Any, label: Any = 0) -> Solutions:
    """The path's end for each of many games of one shape, and each end's regret.

    `rows` and `columns` are payoffs `[K, m, n]`; `label` is the missing label of all or of each,
    `[K]`. Compiled once for each shape. A path that is longer than 100 pivots for each label is
    given up: its regret is infinite, and `lemke_howson` would follow it to its end.

    Raises:
        UserError: the shapes differ or are not `[K, m, n]`, a payoff is not finite, or no action
            has that label.
    """
    rows, columns = np.asarray(rows, np.float64), np.asarray(columns, np.float64)
    require(
        rows.ndim == 3 and rows.shape == columns.shape and 0 not in rows.shape,
        f"payoffs have shapes {list(rows.shape)} and {list(columns.shape)}, "
        "expected two arrays [K, m, n] of one shape",
    )
    require(
        bool(np.isfinite(rows).all() and np.isfinite(columns).all()), "some payoff is not finite"
    )
    _check_labels(label, *rows.shape[1:])
    labels = np.asarray(label)
    require(
        labels.shape in ((), rows.shape[:1]),
        f"labels have shape {list(labels.shape)}, expected one label or [{len(rows)}]",
    )
    with jax.enable_x64(True):
        x, y, regrets = _batch(rows, columns, np.broadcast_to(labels, len(rows)).astype(np.int32))
        return np.asarray(x), np.asarray(y), np.asarray(regrets)


def lemke_howson_kernel(
    row: Float[Array, "m n"],
    column: Float[Array, "m n"],
    label: Int[Array, ""] | int,
    max_pivots: int | None = None,
) -> tuple[Float[Array, " m"], Float[Array, " n"], Bool[Array, ""]]:
    """The strategies at the path's end, and whether it came to one within `max_pivots`, which is
    100 for each label unless given. For use inside compiled code; float32 or float64."""
    m, n = row.shape
    limit = 100 * (m + n) if max_pivots is None else max_pivots
    size = m + n
    ours = jnp.arange(size) < m  # rows of A y + r = 1; the others are of B'x + s = 1
    label = jnp.asarray(label, jnp.int32)

    def going(state: tuple) -> Array:
        return ~state[4] & (state[5] < limit)

    def step(state: tuple) -> tuple:
        table, basis, enter, first, _, count = state
        side = ours == first
        r = _leaving(table, enter, side, jnp.where(first, 0, m))
        leave = table[r] / table[r, 1 + enter]
        factor = jnp.where(side, table[:, 1 + enter], 0)
        here = jnp.arange(size) == r
        table = jnp.where(here[:, None], leave[None], table - factor[:, None] * leave[None])
        left = basis[r]
        basis = jnp.where(here, enter, basis)
        return table, basis, left, ~first, left == label, count + 1

    basis = jnp.arange(size, dtype=jnp.int32)
    state = (_table(row, column), basis, label, label >= m, jnp.array(False), jnp.array(0))
    table, basis, _, _, done, _ = jax.lax.while_loop(going, step, state)
    value = jnp.maximum(table[:, 0], 0)
    labelled = jnp.where(basis[:, None] == jnp.arange(size), value[:, None], 0)
    x = jnp.where(ours[:, None], 0, labelled).sum(0)[:m]
    y = jnp.where(ours[:, None], labelled, 0).sum(0)[m:]
    done = done & (x.sum() > 0) & (y.sum() > 0)
    return _distribution(x, done), _distribution(y, done), done


def _table(row: Float[Array, "m n"], column: Float[Array, "m n"]) -> Float[Array, "L L+1"]:
    """Both systems, one column for each label: 1 = [[I, A], [B', I]] (r or x, s or y)."""
    m, n = row.shape
    dtype = jnp.result_type(row, column, jnp.float32)
    above = jnp.concatenate([jnp.eye(m, dtype=dtype), _positive(row.astype(dtype))], axis=1)
    below = jnp.concatenate([_positive(column.astype(dtype)).T, jnp.eye(n, dtype=dtype)], axis=1)
    body = jnp.concatenate([above, below])
    return jnp.concatenate([jnp.ones((m + n, 1), dtype), body], axis=1)


def _positive(payoffs: Float[Array, "m n"]) -> Float[Array, "m n"]:
    least, most = payoffs.min(), payoffs.max()
    return 1 + (payoffs - least) / jnp.where(most > least, most - least, 1)


def _leaving(
    table: Float[Array, "L L+1"], enter: Int[Array, ""], side: Bool[Array, " L"], slack: Array
) -> Int[Array, ""]:
    """The row of the side with the lexicographically least ratio: of the right-hand sides, and
    where they tie, of the columns from `slack` on, which began as the side's unit vectors."""
    size = table.shape[0]
    small = 1e-10 if table.dtype == jnp.float64 else 1e-5
    column = table[:, 1 + enter]
    among = side & (column > small)
    by = jnp.where(among, column, 1)

    def least(among: Array, values: Array) -> Array:
        ratio = jnp.where(among, values / by, jnp.inf)
        bound = ratio.min()
        return among & (ratio <= bound + small * jnp.maximum(1, jnp.abs(bound)))

    def tied(state: tuple) -> Array:
        among, c = state
        return (among.sum() > 1) & (c < size)

    def narrow(state: tuple) -> tuple:
        among, c = state
        return least(among, table[:, 1 + (slack + c) % size]), c + 1

    among, _ = jax.lax.while_loop(tied, narrow, (least(among, table[:, 0]), jnp.array(0)))
    return jnp.argmax(among)


def _distribution(x: Float[Array, " a"], done: Bool[Array, ""]) -> Float[Array, " a"]:
    """The vector scaled to sum to 1; uniform where there is no answer."""
    return jnp.where(done, x, 1) / jnp.where(done, x.sum(), x.shape[0])


@jax.jit
def _batch(
    rows: Float[Array, "K m n"], columns: Float[Array, "K m n"], labels: Int[Array, " K"]
) -> tuple[Float[Array, "K m"], Float[Array, "K n"], Float[Array, " K"]]:
    def one(row: Array, column: Array, label: Array) -> tuple[Array, Array, Array]:
        x, y, ok = lemke_howson_kernel(row, column, label)
        # Without what all payoffs have in common, which rounding would turn into regret.
        ours, theirs = (row - row.min()) @ y, x @ (column - column.min())
        off = jnp.maximum(ours.max() - x @ ours, theirs.max() - theirs @ y)
        return x, y, jnp.where(ok, jnp.maximum(off, 0), jnp.inf)

    return in_chunks(one, CHUNK, jnp.asarray(rows), jnp.asarray(columns), jnp.asarray(labels))


def exact_path(game: NormalForm, label: int) -> tuple[np.ndarray, ...]:
    """The strategies at the path's end, each pivot in whole numbers, however long it is."""
    row, column = integers(game)
    m, size = row.shape[0], sum(row.shape)
    sides = [start(row), start(column.T)]  # their variables: y and r, x and s
    shift = [m, 0]  # a variable's number, plus this, is its label
    at, enter = (1 if label < m else 0), label
    while True:
        side = sides[at]
        k = side.table.shape[1]
        place = np.flatnonzero(side.variables[0, k:] == (enter - shift[at]) % size)
        rows = leaving(side)[0, place]
        left = (int(side.variables[0, rows[0]]) + shift[at]) % size
        sides[at] = pivot(side, np.array([0]), rows, place)
        if left == label:
            break
        at, enter = 1 - at, left
    out = []
    for side, count in ((sides[1], m), (sides[0], size - m)):
        values = np.zeros(size, object)
        values[side.variables[0, : side.table.shape[1]]] = side.table[0, :, 0]
        out.append(strategy(values[:count]))
    return tuple(out)


def _check_labels(label: Any, m: int, n: int) -> None:
    labels = np.asarray(0 if label is None else label)
    require(labels.dtype.kind in "iu", f"label is {label!r}, expected a whole number")
    bad = labels[(labels < 0) | (labels >= m + n)]
    require(
        not bad.size,
        f"label {bad.ravel()[:1]} is not there: {m} x {n} actions have labels 0 to {m + n - 1}",
    )
