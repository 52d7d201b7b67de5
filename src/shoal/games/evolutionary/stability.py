"""Evolutionarily stable strategies: no rare mutant can invade a population that plays one.

    x is stable where, for each best answer y to x other than x,  u(x, y) > u(y, y)

Decided in rational numbers by Haigh's criterion, in Abakuks' corrected form, as strict
copositivity (Bomze, Potscher, Game Theoretical Foundations of Evolutionary Stability, 1989).
Maynard Smith, Price 1973; Haigh 1975; Abakuks 1980; Bishop, Cannings 1976 for the enumeration.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.games.checks import finite
from shoal.games.evolutionary.populations import two_player_matrix
from shoal.games.normal_form import rational

LARGEST = 14
"""The most actions that `evolutionarily_stable` searches: 2 ** 14 supports."""


@dataclass(frozen=True)
class StableStrategies:
    """All evolutionarily stable strategies of a game, each proved in rational numbers."""

    strategies: list[np.ndarray]
    """Distributions `[A]`, float64."""
    exact: list[np.ndarray]
    """The same as `Fraction`s, of the game's payoffs."""
    supports: list[tuple[int, ...]]
    """The actions that each plays."""
    method: str
    searched: int
    """How many supports were solved; the others hold no stable strategy, by Bishop and Cannings."""

    def __len__(self) -> int:
        return len(self.strategies)


def evolutionarily_stable(game: Any) -> StableStrategies:
    """All evolutionarily stable strategies of a symmetric game of two players.

    >>> found = evolutionarily_stable([[-1, 4], [0, 2]])  # hawk and dove, V = 4, C = 6
    >>> [str(share) for share in found.exact[0]]
    ['2/3', '1/3']

    Args:
        game: a symmetric `NormalForm`, or the matrix `[mine, other's]` of gains.

    Raises:
        UserError: the game is not symmetric, not of two players, or of more than 14 actions.
    """
    gains = rational(two_player_matrix(game, "an evolutionarily stable strategy"))
    size = len(gains)
    require(
        size <= LARGEST,
        f"the game has {size} actions, the search takes at most {LARGEST}: follow `replicator` "
        "from many starts and try where it ends with `is_ess`",
    )
    found: list[tuple[tuple[int, ...], np.ndarray, set[int]]] = []
    searched = 0
    for support in _supports(size):
        # A stable strategy's best answers hold no other equilibrium's support.
        if any(set(r) <= set(support) or set(support) <= best for r, _, best in found):
            continue
        searched += 1
        x = _balanced(gains, support)
        if x is not None and _stable(gains, x):
            found.append((support, x, set(_best_answers(gains, x))))
    return StableStrategies(
        [x.astype(float) for _, x, _ in found],
        [x for _, x, _ in found],
        [support for support, _, _ in found],
        "Haigh's criterion on all supports",
        searched,
    )


def is_ess(game: Any, strategy: Any) -> bool:
    """Whether the strategy is evolutionarily stable.

    Exactly so for the given numbers: payoffs and shares that are the nearest floats to simple
    fractions are taken for those, and `Fraction`s as they are. A share that is off by 1e-12 makes
    a mixed strategy no equilibrium, so none that is stable.

    >>> is_ess([[-1, 4], [0, 2]], [2 / 3, 1 / 3])
    True

    Raises:
        UserError: as `evolutionarily_stable`, or the strategy is not a distribution.
    """
    gains = rational(two_player_matrix(game, "an evolutionarily stable strategy"))
    finite("shares", strategy, 1)
    x = rational(strategy)
    require(
        x.shape == (len(gains),), f"strategy has shape {list(x.shape)}, expected [{len(gains)}]"
    )
    require(
        all(share >= 0 for share in x) and abs(float(sum(x)) - 1) < 1e-9,
        f"the strategy is not a distribution: least entry {float(min(x)):g}, "
        f"sum {float(sum(x)):.12g}",
    )
    return _stable(gains, x / sum(x))


def _supports(size: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, size + 1):
        yield from combinations(range(size), count)


def _balanced(gains: np.ndarray, support: Sequence[int]) -> np.ndarray | None:
    """The equilibrium of exactly this support against itself; None where there is none, or a whole
    face of them, which are not stable."""
    k = len(support)
    system = np.full((k + 1, k + 2), Fraction(0), object)  # gains x = value, the sum of x is 1
    system[:k, :k] = gains[np.ix_(support, support)]
    system[:k, k] = Fraction(-1)
    system[k, :k] = Fraction(1)
    system[k, k + 1] = Fraction(1)
    solution = solve(system)
    if solution is None or min(solution[:k]) <= 0:
        return None
    x = np.full(len(gains), Fraction(0), object)
    x[list(support)] = solution[:k]
    return x if (gains @ x).max() == solution[k] else None


def _best_answers(gains: np.ndarray, x: np.ndarray) -> list[int]:
    values = gains @ x
    return [i for i, v in enumerate(values) if v == values.max()]


def _stable(gains: np.ndarray, x: np.ndarray) -> bool:
    """Haigh's criterion: -z.A z > 0 for every z other than 0 that sums to 0, lies on the best
    answers and takes from none that x does not play."""
    best = _best_answers(gains, x)
    played = [i for i in best if x[i] > 0]
    if len(played) < sum(share > 0 for share in x):
        return False  # not an equilibrium
    first, free = played[0], played[1:]
    more = [i for i in best if x[i] == 0]
    rest = free + more
    if not rest:
        return True
    # Coordinates without `first`, which gives or takes whatever makes the sum 0.
    basis = np.full((len(gains), len(rest)), Fraction(0), object)
    for column, i in enumerate(rest):
        basis[i, column], basis[first, column] = Fraction(1), Fraction(-1)
    form = -(basis.T @ (gains + gains.T) @ basis)
    remains = _complement(form, len(free))
    return remains is not None and strictly_copositive(remains)


def _complement(form: np.ndarray, free: int) -> np.ndarray | None:
    """What remains of a quadratic form when its first `free` coordinates are chosen to make it
    least; None where it is not positive definite in them."""
    form = form.copy()
    for k in range(free):
        if form[k, k] <= 0:
            return None
        factors = form[k + 1 :, k] / form[k, k]
        form[k + 1 :, k + 1 :] -= np.outer(factors, form[k, k + 1 :])
    return form[free:, free:]


def strictly_copositive(matrix: np.ndarray) -> bool:
    """Whether z.M z > 0 for every z >= 0 other than 0, for a symmetric matrix of `Fraction`s.

    Where it is not, z.M z has its least value on the simplex, at most 0, inside some face; there
    M z is that value on the face's rows (Hadeler 1983).
    """
    size = len(matrix)
    if any(matrix[i, i] <= 0 for i in range(size)):
        return False
    return not any(_low_inside(matrix, face) for face in _supports(size) if len(face) > 1)


def _low_inside(matrix: np.ndarray, face: Sequence[int]) -> bool:
    """Whether z > 0 on the face has M z = value <= 0 there.

    Where the system is singular, a smaller face says the same or `value` is 0 for a line of z,
    whose end lies in a smaller face: so singular faces need no look, but for those with M z = 0.
    """
    k = len(face)
    block = matrix[np.ix_(face, face)]
    system = np.full((k, k + 1), Fraction(1), object)
    system[:, :k] = block
    z = solve(system)  # M z = 1: the value's sign is that of 1 / sum(z)
    if z is not None:
        return max(z) < 0
    kernel = _kernel(block)
    return kernel is not None and (min(kernel) > 0 or max(kernel) < 0)


def _kernel(block: np.ndarray) -> np.ndarray | None:
    """The z, up to scale, with M z = 0 and a last entry other than 0; None where there is not
    exactly one line of them."""
    k = len(block)
    system = np.full((k - 1, k), Fraction(0), object)
    system[:, : k - 1], system[:, k - 1] = block[: k - 1, : k - 1], -block[: k - 1, k - 1]
    head = solve(system)
    if head is None:
        return None
    z = np.array([*head, Fraction(1)], object)
    return z if all(v == 0 for v in block @ z) else None


def solve(system: np.ndarray) -> np.ndarray | None:
    """The solution of square equations `[k, k+1]` of `Fraction`s, right-hand side last; None where
    they are singular."""
    rows = system.copy()
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i, k] != 0), None)
        if pivot is None:
            return None
        rows[[k, pivot]] = rows[[pivot, k]]
        rows[k] = rows[k] / rows[k, k]
        for i in range(len(rows)):
            if i != k and rows[i, k] != 0:
                rows[i] = rows[i] - rows[i, k] * rows[k]
    return rows[:, -1]
