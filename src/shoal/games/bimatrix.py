"""All equilibria of two players: pairs of vertices that together carry every label.

    P = {x >= 0, B'x <= 1},  Q = {y >= 0, A y <= 1};  label i: x_i = 0 or (A y)_i = 1;
                                                      label m + j: y_j = 0 or (B'x)_j = 1

(Mangasarian 1964; von Stengel 2002, "Computing equilibria for two-person games"). The extreme
equilibria span the rest: maximal Nash subsets are products of the vertices that all fit together
(Winkels 1979), and those that share a vertex are connected (Avis et al. 2010).
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from shoal.core.errors import require
from shoal.games.exact_numbers import WHOLE
from shoal.games.normal_form import NormalForm
from shoal.games.polytopes import most_vertices, vertices
from shoal.games.solution import Equilibria

MOST_VERTICES = 400_000
"""Games whose polytopes may have more vertices are refused; 15 x 15 has at most 341,088."""
PART = 4096
"""How many systems of equations are in memory at once."""

Matrices = tuple[Shaped[np.ndarray, "m n"], Shaped[np.ndarray, "m n"]]


def equilibria(game: NormalForm, exact: bool = False) -> Equilibria:
    """Every extreme equilibrium of a game of two players, and how they hang together.

    In a game that is not degenerate these are all equilibria. In a degenerate one every other is
    a mixture of some of them; `components` of the result names the connected sets, and
    `nash_subsets` the convex ones. Floats find them where they are sure to; else, or with
    `exact`, integers do. With `exact` the strategies are `Fraction`s, and the regrets come of them.

    >>> game = NormalForm.bimatrix([[3, 0], [0, 2]], [[2, 0], [0, 3]])
    >>> [[x.round(3).tolist() for x in profile] for profile in equilibria(game)]
    [[[1.0, 0.0], [1.0, 0.0]], [[0.6, 0.4], [0.4, 0.6]], [[0.0, 1.0], [0.0, 1.0]]]

    Raises:
        UserError: the game has not two players, or too many actions for all to be found.
    """
    row, column = matrices(game)
    _check_size(*row.shape)
    profiles = None if exact else _of_floats(row, column)
    arithmetic = "floats" if profiles else "integers"
    profiles = profiles or _of_integers(game, exact)
    # Without what all payoffs have in common, which rounding would turn into regret.
    ours, theirs = game.exact() if exact else (row - row.min(), column - column.min())
    regrets = np.max(_gains(ours, theirs, profiles), axis=0).astype(float).clip(0)
    return _result(profiles, regrets.tolist(), arithmetic)


def nash_subsets(found: Equilibria) -> list[list[int]]:
    """The maximal Nash subsets, of extreme equilibria that were found of two players: each is a
    list of the numbers of the profiles that span it.

    All mixtures of a subset's strategies, for each player on its own, are equilibria too; every
    equilibrium is in at least one subset, and subsets may overlap.
    """
    rows, columns = _numbers(found.profiles)
    number = {pair: i for i, pair in enumerate(zip(rows.tolist(), columns.tolist()))}
    partners = {x: frozenset(columns[rows == x].tolist()) for x in set(rows.tolist())}
    closed: set[frozenset[int]] = set()
    for ys in partners.values():  # what is common to some rows' partners
        closed |= {ys & other for other in closed} | {ys}
    subsets = []
    for ys in closed - {frozenset()}:
        xs = [x for x, its in partners.items() if ys <= its]
        subsets.append(sorted(number[x, y] for x in xs for y in ys))
    return sorted(subsets)


def matrices(game: NormalForm) -> Matrices:
    """The payoffs of the row and of the column player, `[m, n]` each.

    Raises:
        UserError: the game has not two players.
    """
    require(
        game.num_players == 2, f"the game has {game.num_players} players, this method takes two"
    )
    row, column = np.asarray(game.payoffs, np.float64)
    return row, column


def integers(game: NormalForm) -> Matrices:
    """Integer games, positive and as small as they get, with the same equilibria: of 64 bits if
    they fit, else of Python."""
    floats = np.stack(matrices(game))
    if game.written.numbers is None and (np.abs(floats) < WHOLE).all() and (floats % 1 == 0).all():
        row, column = floats.astype(np.int64).astype(object)  # no fractions, which are slow
    else:
        row, column = game.exact()
    return _integers(row), _integers(column)


def positive(payoffs: Shaped[np.ndarray, "m n"]) -> Shaped[np.ndarray, "m n"]:
    """The payoffs scaled into [1, 2], with the same best replies."""
    least, most = payoffs.min(), payoffs.max()
    return 1 + (payoffs - least) / ((most - least) or 1.0)


def _of_floats(row: np.ndarray, column: np.ndarray) -> list[Any] | None:
    """The equilibria by floats, or None if they may be wrong."""
    ours, theirs = positive(row), positive(column)
    m, n = row.shape
    q = vertices(ours)
    if q is None:
        return None
    # Without degeneracy a vertex y has n labels, and the other m make up the system of its x.
    points, labels = q.points[1:], ~q.tight[1:, np.r_[n : n + m, :n]]
    profiles = []
    for part in np.array_split(np.arange(len(points)), 1 + len(points) // PART):
        found = _partners(labels[part], theirs.T)
        if found is None:
            return None
        x, fits = found
        profiles += [(strategy(x[i]), strategy(points[part[i]])) for i in np.flatnonzero(fits)]
    sure = bool(profiles) and np.max(_gains(ours, theirs, profiles)) <= 1e-10
    return profiles if sure else None


def _partners(
    labels: Bool[np.ndarray, "V L"], matrix: Shaped[np.ndarray, "k d"]
) -> tuple[Shaped[np.ndarray, "V d"], Bool[np.ndarray, " V"]] | None:
    """The point that carries the d labels of each row, and whether it is in the polytope
    {x >= 0, matrix x <= 1} and carries no others; None if floats are not sure of it."""
    d = matrix.shape[1]
    rows = np.nonzero(labels)[1].reshape(-1, d)
    sides = np.vstack([np.eye(d), matrix])
    systems, right = sides[rows], (rows >= d).astype(float)
    try:
        inverses = np.linalg.inv(systems)
    except np.linalg.LinAlgError:
        return None
    x, left = np.zeros_like(right), right
    for _ in range(2):  # again, for what an inverse leaves over
        x = x + np.einsum("vij,vj->vi", inverses, left)
        left = right - np.einsum("vij,vj->vi", systems, x)
    size = np.abs(sides @ inverses).sum(axis=2)  # of what the sides make of what is left over
    doubt = 1e-11 + 10 * size * np.maximum(np.abs(left).max(axis=1), d * 1e-16)[:, None]
    others = np.where(labels, np.inf, np.hstack([x, 1 - x @ matrix.T]))
    inside, outside = (others > doubt).all(axis=1), (others < -doubt).any(axis=1)
    return (np.where(labels[:, :d], 0, x), inside) if (inside | outside).all() else None


def _of_integers(game: NormalForm, exact: bool) -> list[Any]:
    row, column = integers(game)
    p, q = vertices(column.T), vertices(row)
    assert p and q, "integers are always sure"
    m, n = row.shape
    xs, ys = fitting(p.tight, q.tight[:, np.r_[n : n + m, :n]])  # the rows' labels first
    some = np.asarray((p.points[xs] != 0).any(axis=1))  # but for the origins
    pairs = zip(p.points[xs[some]], q.points[ys[some]])
    return [(strategy(x, exact), strategy(y, exact)) for x, y in pairs]


def _gains(
    row: np.ndarray, column: np.ndarray, profiles: list[Any]
) -> tuple[Shaped[np.ndarray, " E"], Shaped[np.ndarray, " E"]]:
    """What the row and the column player could gain by leaving each profile; floats or
    `Fraction`s."""
    x, y = (np.array(side) for side in zip(*profiles))
    ours, theirs = y @ row.T, x @ column
    return ours.max(1) - (ours * x).sum(1), theirs.max(1) - (theirs * y).sum(1)


def fitting(
    p: Bool[np.ndarray, "V L"], q: Bool[np.ndarray, "U L"]
) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """The pairs of rows that have every label between them. Any two must have L flags or more.

    Rows with as few labels as can be fit only their complement, which sorting finds; the others,
    which only degenerate games have, are compared with all.
    """
    few = p.sum(axis=1) + q.sum(axis=1).min() <= p.shape[1]
    xs, ys = np.nonzero(few)[0], np.arange(len(q))
    _, a, b = np.intersect1d(_text(p[few]), _text(~q), return_indices=True)
    found = [(xs[a], ys[b])]
    simple = q.sum(axis=1) + p.sum(axis=1).min() <= p.shape[1]
    for rows, columns in ((~few, np.ones_like(simple)), (few, ~simple)):
        xs, ys = np.nonzero(rows)[0], np.nonzero(columns)[0]
        if not (len(xs) and len(ys)):
            continue
        missing = (~q[ys]).T.astype(np.float32)
        for part in np.array_split(xs, 1 + len(xs) * len(ys) // 10**7):
            a, b = np.nonzero((~p[part]).astype(np.float32) @ missing == 0)
            found.append((part[a], ys[b]))
    return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])


def _text(flags: np.ndarray) -> np.ndarray:
    packed = np.packbits(flags, axis=1)
    return np.ascontiguousarray(packed).view(f"S{packed.shape[1]}")[:, 0]


def strategy(point: np.ndarray, exact: bool = False) -> np.ndarray:
    """A point of a polytope as a distribution: of floats, or with `exact` of `Fraction`s."""
    if point.dtype.kind == "f":
        return point / point.sum()
    whole = [int(v) for v in point]
    parts = [Fraction(v, sum(whole)) for v in whole]
    return np.array(parts, object) if exact else np.array([float(v) for v in parts])


def _result(profiles: list[Any], regrets: list[float], arithmetic: str) -> Equilibria:
    # Rounded, so that floats and integers put them in one order.
    keys = -np.array([np.concatenate(p) for p in profiles], float).round(9)
    order = sorted(range(len(profiles)), key=keys.tolist().__getitem__)
    profiles = [profiles[i] for i in order]
    return Equilibria(
        profiles=profiles,
        regrets=[regrets[i] for i in order],
        method="vertex enumeration",
        complete=True,
        parameters={"arithmetic": arithmetic},
        components=_connected(profiles),
    )


def _connected(profiles: list[Any]) -> list[list[int]]:
    """The numbers of the profiles, in groups that shared strategies connect."""
    rows, columns = _numbers(profiles)
    group = np.arange(len(rows))
    while True:  # all that share a strategy take the least group among them, until none changes
        least = group.copy()
        for side in (rows, columns):
            best = np.full(len(rows), len(rows))
            np.minimum.at(best, side, least)
            least = best[side]
        if (least == group).all():
            return [np.nonzero(group == g)[0].tolist() for g in np.unique(group)]
        group = least


def _numbers(profiles: list[Any]) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """The number of each profile's first strategy, and of its second: equal ones share one."""
    out = []
    for player in (0, 1):
        seen: dict[tuple[Any, ...], int] = {}
        keys = [tuple(profile[player].tolist()) for profile in profiles]
        out.append(np.array([seen.setdefault(key, len(seen)) for key in keys]))
    return out[0], out[1]


def _integers(payoffs: np.ndarray) -> np.ndarray:
    scale = math.lcm(*(v.denominator for v in payoffs.flat))
    whole = [int(v * scale) for v in payoffs.flat]
    least = min(whole)
    unit = math.gcd(*(v - least for v in whole)) or 1
    small = [1 + (v - least) // unit for v in whole]
    kind = np.int64 if max(small) < 2**62 else object
    return np.array(small, kind).reshape(payoffs.shape)


def _check_size(m: int, n: int) -> None:
    worst = max(most_vertices(m, m + n), most_vertices(n, m + n))
    require(
        worst <= MOST_VERTICES,
        f"a game of {m} x {n} actions may have {worst:,} vertices, the limit for all equilibria "
        f"is {MOST_VERTICES:,}; lemke_howson finds one, or some",
    )
