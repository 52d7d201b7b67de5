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
    """The right-hand side, then a column for each variable outside, all times the determinant."""
    determinant: Shaped[np.ndarray, " F"]
    """What keeps integers whole; floats go without, and have 1."""
    variables: Shaped[np.ndarray, "F L"]
    """The variables of the k rows, which are the basis, then of the d columns, which are 0; they
    are numbered x first, then the slacks s."""


def vertices(matrix: Shaped[np.ndarray, "k d"]) -> Vertices | None:
    """The vertices of {x >= 0, matrix x <= 1}, each once. No number of `matrix` may be negative,
    and no column all zeros.

    In floats, or in integers if the matrix holds integers (of NumPy or of Python). None if floats
    are not sure of the answer: some number is too near zero, as in all degenerate cases.
    """
    exact = matrix.dtype.kind != "f"
    k, d = matrix.shape
    level, bits = start(matrix), _bits(k + d)
    equations = np.hstack([matrix, np.eye(k, dtype=matrix.dtype)])
    before, keys = bits[:0], np.bitwise_or.reduce(bits[:d], axis=0)[None]
    found = []
    while len(keys):
        found.append(_read(level))
        if not exact and _doubtful(level, found[-1], equations):
            return None
        # A step leads to the level before, to the same one or to the next.
        level, after = _neighbours(level, keys, np.concatenate([before, keys]), bits)
        before, keys = keys, after
    values = np.concatenate(found)
    tight = np.asarray(values == 0)
    if exact:  # the lexicographic walk meets a degenerate vertex once for each of its bases
        _, once = np.unique(_comparable(_packed(tight, bits)), return_index=True)
        values, tight = values[once], tight[once]
    return Vertices(values[:, :d], tight)


def most_vertices(dimension: int, inequalities: int) -> int:
    """The most vertices that a polytope may have (McMullen 1970)."""
    half, rest = dimension // 2, inequalities - dimension
    other = dimension - half
    return math.comb(inequalities - other, rest) + math.comb(inequalities - half - 1, rest)


def start(matrix: Shaped[np.ndarray, "k d"]) -> Bases:
    """The basis of the origin: each row's slack."""
    k, d = matrix.shape
    one = np.ones((k, 1), matrix.dtype)
    table = _with_room(np.hstack([one, matrix]))
    return Bases(table[None], one[0], np.r_[d : d + k, :d][None])


def leaving(bases: Bases) -> Shaped[np.ndarray, "F d"]:
    """The row that leaves the basis if the variable of a column enters: the least ratio of the
    right-hand sides, and where they tie, of the columns of the slacks in their order.

    Floats that tie go to any row: a number near zero then tells them to be doubtful.
    """
    right, columns = bases.table[:, :, :1], bases.table[:, :, 1:]
    if columns.dtype.kind == "f":  # right-hand sides are positive: the most of the inverse ratios
        return (columns / right).argmax(axis=1)
    count, k, d = columns.shape
    by = columns.transpose(1, 0, 2).reshape(k, -1)
    among = np.asarray(by > 0)
    which = np.repeat(np.arange(count), d)
    tied, numbers = np.arange(len(which)), right
    for c in range(k + 1):
        number = numbers[which[tied], :, max(0, c - 1)].T
        among[:, tied] = _least(number, by[:, tied], among[:, tied])
        tied = tied[among[:, tied].sum(0) > 1]
        if not len(tied):
            break
        numbers = numbers if c else _slacks(bases)
    return among.argmax(0).reshape(count, d)


def pivot(bases: Bases, parent: np.ndarray, row: np.ndarray, place: np.ndarray) -> Bases:
    """The bases made of some `parent`s, when in each the variable of column `place` takes over
    `row`, and the row's takes over the column."""
    each = np.arange(len(parent))
    table, variables = bases.table.take(parent, axis=0), bases.variables.take(parent, axis=0)
    determinant, k = bases.determinant.take(parent), table.shape[1]
    enter, left = variables[each, k + place], variables[each, row]
    variables[each, row], variables[each, k + place] = enter, left
    leave, column = table[each, row], table[each, :, 1 + place]
    number, corner = leave[each, 1 + place], determinant
    if table.dtype.kind == "f":
        leave /= number[:, None]
        table -= column[:, :, None] * leave[:, None]
        column, corner = column / number[:, None], 1 / number
    else:
        table *= number[:, None, None]
        table -= column[:, :, None] * leave[:, None]
        table //= determinant[:, None, None].astype(table.dtype)
        determinant = number
    table[each, row] = leave
    table[each, :, 1 + place] = -column
    table[each, row, 1 + place] = corner
    return Bases(_with_room(table), determinant, variables)


def _with_room(table: np.ndarray) -> np.ndarray:
    """The table in integers of Python's if its own may overflow at the next step."""
    if table.dtype == np.int64 and table.size and int(np.abs(table).max()) >= SAFE:
        return table.astype(object)
    return table


def _neighbours(
    level: Bases, keys: np.ndarray, known: np.ndarray, bits: np.ndarray
) -> tuple[Bases, np.ndarray]:
    """The bases one pivot away whose keys are not known, each once, and their keys."""
    count, k, columns = level.table.shape
    row = leaving(level)
    left = level.variables[np.arange(count)[:, None], row]
    others = keys[:, None, :] ^ bits[level.variables[:, k:]] ^ bits[left]
    others = others.reshape(row.size, -1)
    _, first = np.unique(_comparable(np.concatenate([known, others])), return_index=True)
    first = first[first >= len(known)] - len(known)
    parent, place = np.divmod(first, columns - 1)
    return pivot(level, parent, row.ravel()[first], place), others[first]


def _slacks(bases: Bases) -> np.ndarray:
    """The columns of all slacks, `[F, k, k]`; those in the basis have their determinant alone."""
    count, k, columns = bases.table.shape
    each = np.arange(count)[:, None]
    full = np.zeros((count, k, columns - 1 + k), bases.table.dtype)
    full[each, :, bases.variables[:, k:]] = bases.table[:, :, 1:].transpose(0, 2, 1)
    full[each, np.arange(k), bases.variables[:, :k]] = bases.determinant[:, None]
    return full[:, :, columns - 1 :]


def _least(number: np.ndarray, by: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which of the rows `among` have the least ratio `number / by`; no division, so exact."""
    top, bottom = np.ones_like(number[0]), np.zeros_like(number[0])  # 1 / 0: more than any
    for n, b, there in zip(number, by, among):
        less = there & np.asarray(n * bottom < top * b)
        top, bottom = np.where(less, n, top), np.where(less, b, bottom)
    return among & np.asarray(number * bottom == top * by)


def _read(level: Bases) -> np.ndarray:
    """All variables at each basis, times its determinant, `[F, L]`."""
    values = np.zeros(level.variables.shape, level.table.dtype)
    basis = level.variables[:, : level.table.shape[1]]
    values[np.arange(len(values))[:, None], basis] = level.table[:, :, 0]
    return values


def _doubtful(level: Bases, values: np.ndarray, equations: np.ndarray) -> bool:
    """Whether some basic variable is so near zero that rounding may have decided its sign.

    The error is at most the inverse of the basis times what the equations leave over. The inverse
    is made of the slacks' columns, and of ones. The matrix is near 1, and so are the variables.
    """
    least = level.table[:, :, 0].min(axis=1)
    left = np.abs(values @ equations.T - 1).max(axis=1)
    inverse = 1 + np.abs(level.table).sum(axis=2).max(axis=1)
    return not bool((least > 1e-11 + 10 * inverse * np.maximum(left, len(equations) * 1e-16)).all())


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
