"""Vertices of best-response polytopes {x >= 0, M x <= 1}, of which equilibria are made.

A walk from vertex to vertex by pivots that keep integers whole, with pivot p and determinant D,

    row_i  <-  (row_i p - row_i[enter] row_leave) / D

and the lexicographic ratio test, which makes the polytope simple where it is degenerate. Floats
walk first; where they cannot tell a number from zero, integers do (Avis 2000, "lrs"; Edmonds 1967).
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

SAFE = 2**31
"""Below this, products of two integers and their differences fit in 64 bits."""


@dataclass(frozen=True)
class Vertices:
    """All vertices of a polytope, the origin among them."""

    points: Shaped[np.ndarray, "V d"]
    """Each vertex, up to a positive factor: float64 or Python's integers."""
    tight: Bool[np.ndarray, "V L"]
    """Which of the inequalities hold with equality: the d of x >= 0, then the k of M x <= 1."""


@dataclass(frozen=True)
class Bases:
    """Some bases of the equations M x + s = 1, as the rows of their simplex tableaus."""

    table: Shaped[np.ndarray, "F k C"]
    """The right-hand side, then a column for each variable, all times the determinant."""
    determinant: Shaped[np.ndarray, " F"]
    basis: Shaped[np.ndarray, "F k"]
    """The variable of each row."""
    key: Shaped[np.ndarray, "F W"]
    """The variables that are not in the basis, as bits."""


def vertices(matrix: Shaped[np.ndarray, "k d"]) -> Vertices | None:
    """The vertices of {x >= 0, matrix x <= 1}, each once; `matrix` must be positive.

    In floats, or in integers if the matrix holds integers (of NumPy or of Python). None if floats
    are not sure of the answer: some number is too near zero, as in all degenerate cases.
    """
    exact = matrix.dtype.kind != "f"
    level, bits = start(matrix), _bits(sum(matrix.shape))
    known, found = [], []
    while len(level.table):
        if not exact and _doubtful(level, matrix):
            return None
        found.append(_read(level))
        known = [*known[-1:], _comparable(level.key)]  # a step leads to the level before or after
        level = _neighbours(level, known, bits)
    values = np.concatenate(found)
    tight = np.asarray(values == 0)
    if exact:  # the lexicographic walk meets a degenerate vertex once for each of its bases
        _, once = np.unique(_comparable(_packed(tight, bits)), return_index=True)
        values, tight = values[once], tight[once]
    return Vertices(values[:, : matrix.shape[1]], tight)


def most_vertices(dimension: int, inequalities: int) -> int:
    """The most vertices that a polytope may have (McMullen 1970)."""
    half, rest = dimension // 2, inequalities - dimension
    other = dimension - half
    return math.comb(inequalities - other, rest) + math.comb(inequalities - half - 1, rest)


def start(matrix: Shaped[np.ndarray, "k d"]) -> Bases:
    """The basis of the origin: each row's slack."""
    k, d = matrix.shape
    one = np.ones((k, 1), matrix.dtype)
    table = np.concatenate([one, matrix, np.eye(k, dtype=matrix.dtype)], axis=1)
    table = _with_room(table)[None]
    bits = _bits(d + k)
    key = np.bitwise_or.reduce(bits[:d], axis=0)[None]
    return Bases(table, table[:, 0, 0], np.arange(d, d + k)[None], key)


def leaving(bases: Bases, enter: Shaped[np.ndarray, "F e"]) -> Shaped[np.ndarray, "F e"]:
    """The row that leaves the basis for each of some entering variables: the least ratio of the
    right-hand sides, and where they tie, of the columns of the slacks in their order.

    Floats that tie go to any row: a number near zero then tells them to be doubtful.
    """
    count, k, columns = bases.table.shape
    column = bases.table[np.arange(count)[:, None], :, 1 + enter]  # [F, e, k]
    if column.dtype.kind == "f":  # right-hand sides are positive: the most of the inverse ratios
        return (column / bases.table[:, None, :, 0]).argmax(axis=2)
    column = column.reshape(-1, k).T
    among = np.asarray(column > 0)
    which = np.repeat(np.arange(count), enter.shape[1])
    tied = np.arange(len(which))
    for c in (0, *range(columns - k, columns)):
        number = bases.table[which[tied], :, c].T
        among[:, tied] = _least(number, column[:, tied], among[:, tied])
        tied = tied[among[:, tied].sum(0) > 1]
        if not len(tied):
            break
    return among.argmax(0).reshape(enter.shape)


def pivot(bases: Bases, parent: np.ndarray, row: np.ndarray, enter: np.ndarray) -> Bases:
    """The bases made of some `parent`s, when in each the variable `enter` takes over `row`."""
    each = np.arange(len(parent))
    table, basis = bases.table[parent], bases.basis[parent]
    leave = table[each, row]
    number = leave[each, 1 + enter]
    column = table[each, :, 1 + enter]
    divide = np.true_divide if table.dtype.kind == "f" else np.floor_divide
    new = table * number[:, None, None] - column[:, :, None] * leave[:, None, :]
    new = divide(new, bases.determinant[parent][:, None, None].astype(table.dtype))
    new[each, row] = leave
    new = _with_room(new)
    bits = _bits(table.shape[2] - 1)
    key = bases.key[parent] ^ bits[enter] ^ bits[basis[each, row]]
    basis[each, row] = enter
    return Bases(new, number, basis, key)


def _with_room(table: np.ndarray) -> np.ndarray:
    """The table in integers of Python's if its own may overflow at the next step."""
    if table.dtype == np.int64 and table.size and int(np.abs(table).max()) >= SAFE:
        return table.astype(object)
    return table


def _neighbours(level: Bases, known: list[np.ndarray], bits: np.ndarray) -> Bases:
    """The bases one pivot away that are not known, each once, in the order of their keys."""
    table, basis = level.table, level.basis
    count, _, columns = table.shape
    each = np.arange(count)[:, None]
    outside = np.ones((count, columns - 1), bool)
    outside[each, basis] = False
    enter = np.nonzero(outside)[1].reshape(count, -1)
    row = leaving(level, enter)
    keys = level.key[:, None, :] ^ bits[enter] ^ bits[basis[each, row]]
    keys, first = np.unique(_comparable(keys.reshape(-1, bits.shape[1])), return_index=True)
    for some in known:
        found = some[np.minimum(np.searchsorted(some, keys), len(some) - 1)] == keys
        keys, first = keys[~found], first[~found]
    return pivot(level, first // enter.shape[1], row.ravel()[first], enter.ravel()[first])


def _least(number: np.ndarray, by: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which of the rows `among` have the least ratio `number / by`; no division, so exact."""
    top, bottom = np.ones_like(number[0]), np.zeros_like(number[0])  # 1 / 0: more than any
    for n, b, there in zip(number, by, among):
        less = there & np.asarray(n * bottom < top * b)
        top, bottom = np.where(less, n, top), np.where(less, b, bottom)
    return among & np.asarray(number * bottom == top * by)


def _read(level: Bases) -> np.ndarray:
    """The variables at each basis, times its determinant, `[F, d + k]`."""
    count, _, columns = level.table.shape
    values = np.zeros((count, columns - 1), level.table.dtype)
    values[np.arange(count)[:, None], level.basis] = level.table[:, :, 0]
    return values


def _doubtful(level: Bases, matrix: np.ndarray) -> bool:
    """Whether some basic variable is so near zero that rounding may have decided its sign.

    The error is at most the inverse of the basis, which the slacks' columns hold, times what the
    equations leave over. The matrix is near 1, and so are the variables.
    """
    k, d = matrix.shape
    values = _read(level) / level.determinant[:, None]
    left = np.abs(values[:, :d] @ matrix.T + values[:, d:] - 1).max(axis=1)
    inverse = level.table[:, :, 1 + d :] / level.determinant[:, None, None]
    error = np.abs(inverse).sum(axis=2).max(axis=1) * np.maximum(left, k * 1e-16)
    least = level.table[:, :, 0].min(axis=1) / level.determinant
    return not bool((least > 1e-11 + 10 * error).all())


@functools.cache
def _bits(count: int) -> np.ndarray:
    """One bit for each of `count` variables, in as many words as they need, `[count, W]`."""
    bits = np.zeros((count, (count + 63) // 64), "u8")
    each = np.arange(count)
    bits[each, each // 64] = np.left_shift(np.uint64(1), (each % 64).astype("u8"))
    return bits


def _packed(flags: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The bits of the variables that are flagged, `[V, W]`."""
    return np.where(flags[:, :, None], bits, np.uint64(0)).sum(axis=1, dtype="u8")


def _comparable(words: np.ndarray) -> np.ndarray:
    """Rows of words as one value each, so that NumPy can sort and find them."""
    if words.shape[1] == 1:
        return words[:, 0]
    return np.ascontiguousarray(words).view(f"S{8 * words.shape[1]}")[:, 0]
