"""The nucleolus: the allocation whose largest excess is least, then the next largest, and so on.

    theta(x) = the excesses v(S) - x(S) from the largest down,   min theta(x) lexicographically

By linear programs, each of which fixes the coalitions with a positive dual weight (Schmeidler 1969;
Kopelowitz 1967), and proved by Kohlberg's criterion: at each level, the coalitions with at least
that excess are balanced (Kohlberg 1971; for the prenucleolus Sobolev 1975).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from shoal.core.errors import require
from shoal.games.checks import finite
from shoal.games.cooperative.characteristic import CharacteristicFunction
from shoal.games.cooperative.programs import (
    check_lp_size,
    exact_excesses,
    in_span,
    indicators,
    solve_level,
    solve_rational,
)
from shoal.games.normal_form import rational


@dataclass(frozen=True)
class Level:
    """One step of Kohlberg's proof."""

    excess: float
    """The least excess of the coalitions weighed; the next level's is lower."""
    weights: dict[int, Fraction]
    """Positive weights of all coalitions with at least this excess, by number, that cover each
    player once in all, or less in the nucleolus where `floors` fill up."""
    floors: dict[int, Fraction]
    """The weights of players, by number, who have no more than alone."""


@dataclass(frozen=True)
class Nucleolus:
    """The nucleolus or prenucleolus of a game, with the proof."""

    allocation: Float[np.ndarray, "N"]
    """What each player has."""
    exact: tuple[Fraction, ...]
    """The same in rational numbers, of the game's values as `rational` reads them."""
    certified: bool
    """Whether Kohlberg's criterion held in rational numbers."""
    levels: tuple[Level, ...]
    """The proof: balanced weights at each level that adds to what is fixed."""
    imputations: bool
    """Whether shares had to be at least what each is worth alone: the nucleolus."""
    programs: int
    """How many linear programs were solved."""
    method: str = "sequential linear programs, HiGHS dual simplex, rational polish"


def nucleolus(game: CharacteristicFunction) -> Nucleolus:
    """The nucleolus, among shares that give each player at least its own worth.

    In a game of costs shares are costs, and at most the own cost.

    Raises:
        UserError: no shares do; there are more than 16 players.

    >>> nucleolus(CharacteristicFunction.bankruptcy(200, [100, 200, 300])).allocation.tolist()
    [50.0, 75.0, 75.0]
    """
    return _solve(game, imputations=True)


def prenucleolus(game: CharacteristicFunction) -> Nucleolus:
    """The prenucleolus, among all shares of v(N): as the nucleolus, but a player may have less than
    alone; it always exists.

    Raises:
        UserError: there are more than 16 players.
    """
    return _solve(game, imputations=False)


def is_nucleolus(game: CharacteristicFunction, shares: Any, imputations: bool = True) -> bool:
    """Whether these shares meet Kohlberg's criterion, in rational numbers.

    `Fraction`s are taken as they are, floats as the game's values: see `rational`. A share that is
    off by 1e-12 is off.

    >>> is_nucleolus(CharacteristicFunction.weighted_voting(2, [1, 1, 1]), [1 / 3] * 3)
    True

    Raises:
        UserError: there is not one number for each player; there are more than 16 players.
    """
    check_lp_size(game.num_players)
    count = len(finite("shares", shares, 1))
    require(count == game.num_players, f"there are {count} shares, expected {game.num_players}")
    exact = -game.exact() if game.costs else game.exact()
    signed = [-x if game.costs else x for x in rational(shares)]
    return kohlberg(exact, signed, imputations) is not None


def _solve(game: CharacteristicFunction, imputations: bool) -> Nucleolus:
    num_players = game.num_players
    check_lp_size(num_players)
    exact = -game.exact() if game.costs else game.exact()
    everyone = len(exact) - 1
    alone = [exact[1 << i] for i in range(num_players)]
    spare = exact[everyone] - sum(alone)
    require(
        spare >= 0 or not imputations,
        f"players are worth {float(sum(alone)):g} alone but {float(exact[everyone]):g} together: "
        "no shares give each its own worth; the prenucleolus exists",
    )
    if spare == 0 and imputations:
        shares, programs = alone, 0
    else:
        shares, programs = _descend(exact, imputations)
    levels = kohlberg(exact, shares, imputations)
    sign = -1 if game.costs else 1
    return Nucleolus(
        allocation=np.array([float(sign * x) for x in shares]),
        exact=tuple(sign * x for x in shares),
        certified=levels is not None,
        levels=tuple(levels or ()),
        imputations=imputations,
        programs=programs,
    )


def _descend(exact: np.ndarray, imputations: bool) -> tuple[list[Fraction], int]:
    """Lowers the largest excess that is not yet fixed, until all shares are."""
    everyone, num_players = len(exact) - 1, len(exact).bit_length() - 1
    fixed = {everyone: exact[everyone]}
    left = np.arange(1, everyone)
    floors = list(range(num_players)) if imputations else []
    programs = 0
    while len(fixed) < num_players:
        programs += 1
        program = solve_level(exact, left, fixed, floors)
        # A positive weight means that the constraint binds in every solution.
        bound = {mask: exact[mask] - program.epsilon for mask in program.weights}
        bound |= {1 << i: exact[1 << i] for i in program.floors}
        for mask, share in bound.items():
            if not in_span([mask], list(fixed), num_players)[0]:
                fixed[mask] = share
        left = left[~in_span(left, list(fixed), num_players)]
        floors = [i for i in floors if not in_span([1 << i], list(fixed), num_players)[0]]
    shares = solve_rational(indicators(list(fixed), num_players), list(fixed.values()))
    if shares is None:
        raise RuntimeError("the fixed coalitions do not determine the shares")
    return shares, programs


def kohlberg(
    exact: np.ndarray, shares: Sequence[Fraction], imputations: bool
) -> list[Level] | None:
    """Balanced weights at every level of excess, or None where there are none: then the shares are
    not the nucleolus.

    Args:
        exact: gains of all coalitions, `Fraction`s.
        shares: an allocation, `Fraction`s.
        imputations: whether the rivals are only those that give each its own worth.
    """
    everyone, num_players = len(exact) - 1, len(shares)
    alone = [exact[1 << i] for i in range(num_players)]
    if sum(shares) != exact[everyone]:
        return None
    if imputations and any(x < worth for x, worth in zip(shares, alone)):
        return None
    floors = [i for i in range(num_players) if imputations and shares[i] == alone[i]]
    over = exact_excesses(exact, shares)
    by_excess: dict[Fraction, list[int]] = {}
    for mask in range(1, everyone):
        by_excess.setdefault(over[mask], []).append(mask)
    weighed, basis, levels = [], [everyone], []
    for excess in sorted(by_excess, reverse=True):
        weighed += by_excess[excess]
        # Coalitions that depend on balanced ones move with them: no need to look again.
        dependent = in_span(by_excess[excess], basis, num_players)
        news = [mask for mask, known in zip(by_excess[excess], dependent) if not known]
        if not news:
            continue
        found = balanced_weights(weighed, floors, num_players)
        if found is None:
            return None
        levels.append(Level(float(excess), *found))
        for mask in news:
            if not in_span([mask], basis, num_players)[0]:
                basis.append(mask)
        if len(basis) == num_players:
            break
    return levels


def balanced_weights(
    masks: Sequence[int], floors: Sequence[int], num_players: int
) -> tuple[dict[int, Fraction], dict[int, Fraction]] | None:
    """Positive weights of all these coalitions, and weights at least 0 of players, that cover each
    player once in all; rational, or None where there are none."""
    members = indicators([*masks, *(1 << i for i in floors)], num_players)
    # All weights at least 1, and everyone covered c times: so none is lost for being small.
    low = [1.0] * len(masks) + [0.0] * (len(floors) + 1)
    found = linprog(
        np.eye(len(low))[-1],
        A_eq=np.hstack([members.T, -np.ones((num_players, 1))]),
        b_eq=np.zeros(num_players),
        bounds=[(least, None) for least in low],
        method="highs-ds",
    )
    if found.status != 0:
        return None
    movable = [k for k in range(len(members)) if k < len(masks) or found.x[k] > 1e-6]
    weights = _mended(members, found.x, movable)
    if weights is None or any(weights[k] <= 0 for k in movable):
        return None
    return (
        {mask: weights[k] for k, mask in enumerate(masks)},
        {floors[k - len(masks)]: weights[k] for k in movable if k >= len(masks)},
    )


def _mended(
    members: np.ndarray, weights: np.ndarray, movable: Sequence[int]
) -> dict[int, Fraction] | None:
    """Weights near these that cover each player once exactly: what the floats miss by a little is
    spread over a basis of the columns that may move."""
    near = {k: Fraction(float(weights[k])).limit_denominator(10**9) for k in movable}
    cover = Fraction(float(weights[-1])).limit_denominator(10**9)
    missing = [cover - sum(w for k, w in near.items() if row[k]) for row in members.T]
    basis: list[int] = []
    for k in movable:
        if np.linalg.matrix_rank(members[[*basis, k]]) > len(basis):
            basis.append(k)
        if len(basis) == members.shape[1]:
            break
    changes = solve_rational(members[basis].T, missing)
    if changes is None or cover <= 0:
        return None
    for k, change in zip(basis, changes):
        near[k] += change
    return {k: w / cover for k, w in near.items()}
