"""Nash equilibria support by support: given which actions are used, a system of equations.

    u_i(a, x_-i) = v_i for a in S_i,  sum_{a in S_i} x_i(a) = 1

Two players: the systems are linear. More: multilinear, by Newton's method from many starts
(`polynomial.py` of the same folder). Small and balanced supports first, none with an action
that is dominated given the others' supports: Porter, Nudelman and Shoham 2008.
"""

import itertools
from collections.abc import Iterator
from math import comb, prod

import numpy as np

from shoal.core.errors import require
from shoal.games.bimatrix import equilibria
from shoal.games.homotopy import n_player_equilibrium
from shoal.games.normal_form import NormalForm
from shoal.games.polynomial import indifference_solutions
from shoal.games.rounding import is_equilibrium, is_wide
from shoal.games.scaling import normalised
from shoal.games.solution import Equilibria, certified

SAME = 1e-9
"""Payoffs, of games scaled to [0, 1], and probabilities this close are the same."""
UNSURE = (1e-12, 1e-6)
"""Between these, floats do not tell what is 0 from what is not."""

Support = tuple[int, ...]


def support_enumeration(
    game: NormalForm,
    max_equilibria: int | None = None,
    starts: int = 32,
    seed: int = 0,
    max_supports: int = 3_000_000,
) -> Equilibria:
    """Nash equilibria, by the supports that they may have.

    With two players all of them: in a degenerate game every extreme one, of which the others are
    mixtures, with supports of unequal sizes too. Where floats cannot tell some number from 0, they
    come from the vertices of `equilibria`.

    With more players there is at least one, and `complete` is false. Each support's equations are
    solved from many starts, where the supports are of sizes that isolated equilibria can have:
    these are found with high probability, also where two or three of them meet in one, to half or
    a third of the digits then; closer than 1e-5 they are given as one. Of equilibria that form a
    continuum one on each such support is given; those on other supports may be left out. If nothing
    is found, one comes from `n_player_equilibrium`, or else from those other supports.

    Args:
        game: at least two players.
        max_equilibria: stop when so many are found; the smallest supports come first.
        starts: with three players or more, how many starts for each support.
        seed: of those starts.
        max_supports: the largest number of combinations of supports to go through.

    Raises:
        UserError: the game has more combinations of supports than `max_supports`.
    """
    counts = game.num_actions
    require(game.num_players >= 2, "support enumeration needs two players or more")
    size = _combinations(counts)
    require(
        size <= max_supports,
        f"a game of {' x '.join(map(str, counts))} has {size:.3g} combinations of supports, the "
        f"limit is {max_supports}: n_player_equilibrium finds one equilibrium of a game this large",
    )
    two = game.num_players == 2
    given = {"max_equilibria": max_equilibria, "max_supports": max_supports}
    if two:
        profiles = _extreme(game, max_equilibria)
    else:
        given |= {"starts": starts, "seed": seed}
        rng = np.random.default_rng(seed)
        profiles = list(itertools.islice(_some(game, starts, rng, True), max_equilibria))
        profiles = profiles or n_player_equilibrium(game).profiles
        profiles = profiles or list(itertools.islice(_some(game, starts, rng, False), 1))
    complete = two and (max_equilibria is None or len(profiles) < max_equilibria)
    return certified(game, profiles, "support enumeration", complete, parameters=given)


def _combinations(counts: tuple[int, ...]) -> float:
    """How many combinations are gone through: for two players those of equal sizes."""
    if len(counts) == 2:
        return float(comb(sum(counts), counts[0]) - 1)
    return prod(2.0**n - 1 for n in counts)


# Two players ---------------------------------------------------------------------------------


class _Unsure(Exception):
    """Floats do not tell some number from 0."""


def _extreme(game: NormalForm, limit: int | None) -> list[tuple[np.ndarray, ...]]:
    """The extreme equilibria, at most `limit`, smallest supports first."""
    if not is_wide(*game.payoffs):
        try:
            return list(itertools.islice(_bimatrix(normalised(game)), limit))
        except _Unsure:
            pass
    found = sorted(equilibria(game), key=lambda p: sum(np.count_nonzero(x) for x in p))
    return found[:limit]


def _sure(numbers: np.ndarray) -> np.ndarray:
    """The numbers, if each is clearly 0 or clearly not."""
    sizes = np.abs(numbers)
    if ((sizes > UNSURE[0]) & (sizes < UNSURE[1])).any():
        raise _Unsure
    return numbers


def _bimatrix(payoffs: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Extreme equilibria are pairs of vertices of the two best-response polytopes, each action
    unused or a best response. A vertex solves a square system of as many best responses as
    actions used, so that pairs of supports of one size give all, degenerate or not."""
    rows, columns = payoffs[0], payoffs[1].T
    m, n = rows.shape
    mine: list[tuple[np.ndarray, np.ndarray]] = []  # strategies x and the best responses to them
    other: list[tuple[np.ndarray, np.ndarray]] = []
    for size in range(1, min(m, n) + 1):
        new_y = list(_vertices(rows, size))
        new_x = list(_vertices(columns, size))
        yield from _matches(new_x, other + new_y)
        yield from _matches(mine, new_y)
        mine, other = mine + new_x, other + new_y


def _vertices(values: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Strategies of the columns, using `size` actions, that make as many rows best responses.

    Gives each with the mask of its best responses.
    """
    n = values.shape[1]
    seen: set[tuple[int, ...]] = set()
    for used in itertools.combinations(range(n), size):
        block = values[:, used]
        rows = np.flatnonzero(~_dominated_rows(block))
        if len(rows) < size:
            continue
        tight = np.array(list(itertools.combinations(rows, size)))
        for mix, level in _equalising(block[tight]):
            gained = block @ mix
            if gained.max() > level + UNSURE[1]:
                continue
            _sure(gained - level)
            strategy = np.zeros(n)
            strategy[list(used)] = mix
            # Degenerate vertices solve several systems: they are given once.
            key = tuple(np.round(strategy / (10 * SAME)).astype(int).tolist())
            if key not in seen:
                seen.add(key)
                yield strategy, gained >= level - SAME


def _equalising(blocks: np.ndarray, chunk: int = 4096) -> Iterator[tuple[np.ndarray, float]]:
    """For each matrix `[k, k]` the distribution, all of it positive, that makes its rows equal,
    and what they then are."""
    size = blocks.shape[-1]
    probe = np.cos(np.arange(size) + 1.0)
    right = np.stack([np.ones(size), probe], 1)
    for at in range(0, len(blocks), chunk):
        part = 1.0 + blocks[at : at + chunk]  # positive, so that the common value is not 0
        part = part[np.linalg.slogdet(part)[0] != 0]
        solved = np.linalg.solve(part, np.broadcast_to(right, (len(part), size, 2)))
        # A solution that answers a probe by 1e9 is one of many: it is not a vertex.
        largest = np.abs(solved).max((1, 2))
        _sure(1 / largest)
        sound = largest < 1e9
        total = np.where(sound, solved[..., 0].sum(1), 1.0)
        total = np.where(total > 0, total, -1.0)
        mixes = solved[..., 0] / total[:, None]
        sound &= (mixes > -UNSURE[1]).all(1)
        _sure(mixes[sound])
        for number in np.flatnonzero(sound & (mixes > SAME).all(1)):
            yield mixes[number], float(1 / total[number] - 1)


def _dominated_rows(block: np.ndarray) -> np.ndarray:
    """Rows that another row beats in every column: never best responses to these columns."""
    everywhere = np.all(block[None] > block[:, None] + SAME, axis=2)
    return everywhere.any(axis=1)


def _matches(left: list, right: list) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs in which each uses only best responses to the other."""
    if not left or not right:
        return
    y, best_rows = (np.array(part) for part in zip(*right))
    for x, best_columns in left:
        wrong = (~best_rows[:, x > 0]).any(1) | (y[:, ~best_columns] > 0).any(1)
        yield from ((x, z) for z in y[~wrong])


# Three players and more ----------------------------------------------------------------------


def _some(
    game: NormalForm, starts: int, rng: np.random.Generator, square: bool
) -> Iterator[tuple[np.ndarray, ...]]:
    """The equilibria of each combination of supports, those of one size together."""
    wide, unit = is_wide(*game.payoffs), normalised(game)
    continua: set[tuple[bool, ...]] = set()
    for sizes in _size_order(game.num_actions, square):
        supports = list(_candidates(unit, sizes))
        if not supports:
            continue
        for profile, isolated in (
            _own_scales(game, supports, starts, rng)
            if wide
            else indifference_solutions(unit, supports, starts, rng)
        ):
            used = tuple((np.concatenate(profile) > 0).tolist())
            if (isolated or used not in continua) and is_equilibrium(game, profile, wide):
                if not isolated:
                    continua.add(used)
                yield profile


def _own_scales(
    game: NormalForm, supports: list[tuple[Support, ...]], starts: int, rng: np.random.Generator
) -> Iterator[tuple[tuple[np.ndarray, ...], bool]]:
    """`indifference_solutions` support by support, in units of the payoffs that meet there: a
    great loss elsewhere does not matter."""
    everyone = range(game.num_players)
    for support in supports:
        block = normalised(NormalForm(np.asarray(game.payoffs)[np.ix_(everyone, *support)]))
        whole = tuple(tuple(range(len(own))) for own in support)
        for parts, isolated in indifference_solutions(block, [whole], starts, rng):
            profile = [np.zeros(n) for n in game.num_actions]
            for x, own, part in zip(profile, support, parts):
                x[list(own)] = part
            yield tuple(profile), isolated


def _size_order(counts: tuple[int, ...], square: bool) -> list[tuple[int, ...]]:
    """Sizes of the supports, small and balanced first: with `square` those that isolated equilibria
    can have, where no player has more indifferences than the others have probabilities to meet them
    with; else the rest."""
    every = itertools.product(*(range(1, n + 1) for n in counts))
    kept = [s for s in every if (2 * (max(s) - 1) <= sum(s) - len(s)) == square]
    return sorted(kept, key=lambda s: (sum(s), max(s) - min(s)))


def _candidates(payoffs: np.ndarray, sizes: tuple[int, ...]) -> Iterator[tuple[Support, ...]]:
    """Combinations of supports in which no action is dominated given the others' supports."""
    counts = payoffs.shape[1:]
    pools = [list(itertools.combinations(range(n), k)) for n, k in zip(counts, sizes)]
    for supports in itertools.product(*pools):
        if not any(_conditionally_dominated(payoffs, supports, i) for i in range(len(sizes))):
            yield supports


def _conditionally_dominated(
    payoffs: np.ndarray, supports: tuple[Support, ...], player: int
) -> bool:
    """Whether some action in the player's support is beaten everywhere on the others'."""
    axes = [list(s) for s in supports]
    axes[player] = list(range(payoffs.shape[1 + player]))
    block = np.moveaxis(payoffs[player][np.ix_(*axes)], player, 0)
    block = block.reshape(len(block), -1)
    mine = block[list(supports[player])]
    return bool((block[None] > mine[:, None] + SAME).all(2).any())
