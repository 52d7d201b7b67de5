"""What pictures of two players show, as points: best responses, payoffs, the edges of sets.

A set of payoffs u is traced by its support,  h(n) = max n . u : between two points of its edge, the
furthest along their normal is a new corner, or there is none (Lassez and Lassez 1992).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from shoal.core.errors import require
from shoal.games.bimatrix import equilibria, nash_subsets
from shoal.games.correlated import correlated_equilibrium
from shoal.games.normal_form import NormalForm
from shoal.games.polytopes import most_vertices
from shoal.games.pure_equilibria import pure_equilibria

SAME = 1e-9
"""Payoffs this close, as a share of their range, are the same."""
MOST_TRACED = 400
"""Of larger games correlated equilibria are not traced: some 100 programs of 0.1 s."""
MOST_VERTICES = 5_000
"""Larger polytopes are not searched for equilibria while a picture waits; 10 x 10 is below."""

NashSet = tuple[Float[np.ndarray, "_ m"], Float[np.ndarray, "_ n"]]
"""Any mixture of the first strategies with any of the second is an equilibrium."""


def responses(game: NormalForm, player: int) -> Float[np.ndarray, "own other"]:
    """What each of a player's actions gains against each of the other's, in [0, 1] of its range.

    Raises:
        UserError: the game has not two players.
    """
    values = payoffs(game)[player]
    least, width = values.min(), np.ptp(values) or 1.0
    values = (values - least) / width
    return values if player == 0 else values.T


def payoffs(game: NormalForm) -> Float[np.ndarray, "2 m n"]:
    """The payoffs as floats of NumPy.

    Raises:
        UserError: the game has not two players.
    """
    require(game.num_players == 2, f"the game has {game.num_players} players, pictures take 2")
    return np.asarray(game.payoffs, np.float64)


def steps(values: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "K 2"] | None:
    """The best responses of a player with two actions to another with two, as a line.

    Args:
        values: `[own, other]`, what the player's actions gain.

    Returns:
        The corners of the line: the chance of the other's first action, from 0 to 1, and of one's
        own. None where every response is a best one.
    """
    at_0, at_1 = values[0, 1] - values[1, 1], values[0, 0] - values[1, 0]  # the first's advantage
    at_0, at_1 = (0.0 if abs(v) <= SAME else float(v) for v in (at_0, at_1))
    if at_0 == at_1 == 0:
        return None
    if min(at_0, at_1) > 0 or max(at_0, at_1) < 0:
        own = float(at_0 > 0)
        return np.array([[0.0, own], [1.0, own]])
    before, after = float(at_1 < 0 or at_0 > 0), float(at_1 > 0 or at_0 < 0)
    turn = at_0 / (at_0 - at_1)
    return np.array([[0.0, before], [turn, before], [turn, after], [1.0, after]])


def envelope(values: Float[np.ndarray, "A 2"]) -> tuple[Float[np.ndarray, " K"], list[list[int]]]:
    """The best responses to another with two actions, as pieces of the upper envelope of lines.

    Args:
        values: `[own, other]`, what the player's actions gain.

    Returns:
        The chances of the other's first action at which pieces begin and end, from 0 to 1; and
        the best actions on each of the K - 1 pieces, more than one where they gain the same.
    """
    slope, start = values[:, 0] - values[:, 1], values[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = (start[None] - start[:, None]) / (slope[:, None] - slope[None])
    cuts = np.unique(np.concatenate([[0.0, 1.0], cuts[(cuts > SAME) & (cuts < 1 - SAME)]]))
    ends, best = [0.0], []
    for a, b in itertools.pairwise(cuts):
        middle = start + slope * (a + b) / 2
        same = np.flatnonzero(middle >= middle.max() - SAME * (b - a)).tolist()
        if best and best[-1] == same:
            ends[-1] = float(b)
        elif b - a > SAME:
            best.append(same)
            ends.append(float(b))
    ends[-1] = 1.0
    return np.array(ends), best


def regions(
    values: Float[np.ndarray, "A 3"],
) -> list[tuple[list[int], Float[np.ndarray, "_ 3"]]]:
    """Where each response to another with three actions is best.

    Args:
        values: `[own, other]`, what the player's actions gain.

    Returns:
        Actions that gain the same, and the corners of the mixtures they are best against: three
        or more of a polygon in order, two of an edge, or one. Actions never best are left out.
    """
    out: list[tuple[list[int], Float[np.ndarray, "_ 3"]]] = []
    _, first, which = np.unique(
        np.round(values / SAME), axis=0, return_index=True, return_inverse=True
    )
    for kind in np.argsort(first):
        better = values[first[kind]] - values
        corners = np.eye(3)
        for row in better:
            corners = _cut(corners, row)
        if len(corners):
            out.append((np.flatnonzero(which.ravel() == kind).tolist(), _distinct(corners)))
    return out


def nash_sets(game: NormalForm) -> tuple[list[NashSet], bool]:
    """The equilibria as maximal convex sets, given by their extreme points; and whether all are
    there. Of a game too large for that, the pure ones, each a set of one."""
    m, n = payoffs(game).shape[1:]
    if max(most_vertices(m, m + n), most_vertices(n, m + n)) > MOST_VERTICES:
        found = pure_equilibria(game)
        return [(x[None], y[None]) for x, y in found], False
    found = equilibria(game)
    sets = []
    for subset in nash_subsets(found):
        xs, ys = (np.array([found[k][i] for k in subset]) for i in (0, 1))
        sets.append((_distinct(xs), _distinct(ys)))
    return sorted(sets, key=lambda s: (-s[0][0]).tolist() + (-s[1][0]).tolist()), True


def nash_payoffs(game: NormalForm, nash: NashSet) -> Float[np.ndarray, "2 2"]:
    """The least and the most that each player gains in a convex set of equilibria, `[player, 2]`.

    The payoffs fill this box: all one's own strategies in the set are best responses to each of
    the other's, so that each player's payoff depends on the other's strategy alone.
    """
    values = [nash[0] @ u @ nash[1].T for u in payoffs(game)]
    return np.array([[v.min(), v.max()] for v in values])


def correlated_payoffs(
    game: NormalForm, coarse: bool = False, tolerance: float = 1e-7
) -> Float[np.ndarray, "V 2"]:
    """The corners of what correlated equilibria can give the two players, anticlockwise; one or
    two where the set is a point or a segment.

    Each corner is the optimum of a linear program. The set reaches beyond the polygon nowhere by
    more than `tolerance`, of the payoffs' ranges; sets of large games have hundreds of corners.

    >>> from shoal.games.classic import matching_pennies
    >>> abs(correlated_payoffs(matching_pennies()).round(6)).tolist()
    [[0.0, 0.0]]

    Raises:
        UserError: the game has not two players, or too many action profiles for so many programs.
    """
    values = payoffs(game)
    require(
        values[0].size <= MOST_TRACED,
        f"the game has {values[0].size} action profiles, the limit for a picture of its correlated "
        f"equilibria is {MOST_TRACED}",
    )
    width = np.ptp(values, axis=(1, 2))
    width = np.where(width > 0, width, 1.0)

    def furthest(normal: np.ndarray) -> np.ndarray:
        aim = np.tensordot(normal / width, values, 1)
        return correlated_equilibrium(game, aim, coarse).payoffs / width

    found = [furthest(np.array(n)) for n in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))]
    waiting = [(p, found[(k + 1) % 4]) for k, p in enumerate(found)]
    while waiting:
        p, q = waiting.pop()
        length = float(np.linalg.norm(q - p))
        if length <= 1e-7:
            continue
        normal = np.array([q[1] - p[1], p[0] - q[0]]) / length
        beyond = furthest(normal)
        if normal @ (beyond - p) > tolerance:
            found.append(beyond)
            waiting += [(p, beyond), (beyond, q)]
    return hull(np.array(found), 1e-7) * width


def hull(points: Any, tolerance: float = SAME) -> Float[np.ndarray, "V 2"]:
    """The corners of the convex hull, anticlockwise from the leftmost; corners that stand out by
    less than `tolerance` are dropped."""
    points = np.asarray(points, np.float64)
    keep: list[int] = []
    for k in np.lexsort((points[:, 1], points[:, 0])):
        if not any(np.abs(points[k] - points[j]).max() <= tolerance for j in keep):
            keep.append(int(k))
    if len(keep) <= 2:
        return points[keep]
    lower, upper = _chain(points, keep, tolerance), _chain(points, keep[::-1], tolerance)
    return points[lower[:-1] + upper[:-1]]


def upper_right(corners: Float[np.ndarray, "V 2"]) -> Float[np.ndarray, "F 2"]:
    """The Pareto front of a convex polygon, whose corners go round anticlockwise: those from the
    most of the second payoff to the most of the first."""
    first = int(np.lexsort((corners[:, 1], corners[:, 0]))[-1])
    last = int(np.lexsort((corners[:, 0], corners[:, 1]))[-1])
    count = (last - first) % len(corners) + 1
    return corners[(first + np.arange(count)) % len(corners)][::-1]


def _chain(points: np.ndarray, order: Sequence[int], tolerance: float) -> list[int]:
    """Half of a hull: the points at which a walk in this order turns left."""
    chain: list[int] = []
    for k in order:
        while len(chain) > 1 and _turn(*points[[chain[-2], chain[-1], k]]) <= tolerance:
            chain.pop()
        chain.append(k)
    return chain


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """How far `b` lies to the right of the way from `a` to `c`."""
    way, there = c - a, b - a
    return float(way[1] * there[0] - way[0] * there[1]) / float(np.linalg.norm(way))


def _cut(corners: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The part of a polygon on which `row @ corner >= 0`."""
    height = corners @ row
    height = np.where(np.abs(height) <= SAME, 0.0, height)
    out = []
    for k, corner in enumerate(corners):
        if height[k] >= 0:
            out.append(corner)
        last = (k + 1) % len(corners)
        if height[k] * height[last] < 0:
            share = height[k] / (height[k] - height[last])
            out.append(corner + share * (corners[last] - corner))
    return np.array(out).reshape(-1, corners.shape[1])


def _distinct(points: np.ndarray) -> np.ndarray:
    """Each point once, in the order given."""
    keep: list[int] = []
    for k, point in enumerate(points):
        if not any(np.abs(point - points[j]).max() <= SAME for j in keep):
            keep.append(k)
    return points[keep]
