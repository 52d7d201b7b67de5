"""The core and the least core: shares that no coalition can object to, or only by epsilon.

    core:        x(N) = v(N),  x(S) >= v(S) for all S
    least core:  min epsilon,  x(N) = v(N),  x(S) >= v(S) - epsilon  for S other than empty and N

The dual is a search for balanced weights, which prove the answer (Bondareva 1963, Shapley 1967; the
least core: Maschler, Peleg, Shapley 1979).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from shoal.core.errors import require
from shoal.games.cooperative.characteristic import CharacteristicFunction, subset_sums
from shoal.games.cooperative.programs import (
    TINY,
    Program,
    check_lp_size,
    exact_excesses,
    in_span,
    indicators,
    solve_level,
    solve_rational,
)
from shoal.games.normal_form import rational

MAX_PAIR_PLAYERS = 18
"""The most players for a look at all 3^N pairs of disjoint coalitions."""


@dataclass(frozen=True)
class LeastCore:
    """What is left to object to under the best allocation for the worst-off coalition."""

    epsilon: float
    """The largest excess of a proper coalition; below 0 where all gain by staying together."""
    allocation: Float[np.ndarray, "N"]
    """A point of the least core."""
    weights: Mapping[int, float]
    """The proof that no allocation does better: weights of coalitions, by number, that cover each
    player once in all. By them epsilon is a weighted mean of v(S), less v(N)'s part of it."""
    certified: bool
    """Whether allocation and weights were checked in rational numbers to give one epsilon."""
    method: str = "balanced weights, HiGHS dual simplex, rational polish"


@dataclass(frozen=True)
class Core:
    """A point of the core, or the proof that there is none."""

    allocation: Float[np.ndarray, "N"] | None
    """A point of the least core, which lies in the core where there is one."""
    weights: Mapping[int, float] | None
    """Where the core is empty: weights of coalitions, by number, that cover each player once in
    all, and with which coalitions are worth more than the grand coalition."""
    surplus: float
    """By how much: sum of weights times v(S), less v(N). 0 or less where there is a core."""
    certified: bool
    """Whether the answer was checked in rational numbers."""
    method: str = "least core"

    @property
    def empty(self) -> bool:
        return self.allocation is None


def core(game: CharacteristicFunction) -> Core:
    """A point of the core, or balanced weights that prove it empty (Bondareva 1963, Shapley 1967).

    Raises:
        UserError: there are more than 16 players.

    >>> core(CharacteristicFunction.weighted_voting(2, [1, 1, 1])).weights
    {3: 0.5, 5: 0.5, 6: 0.5}
    """
    if game.num_players == 1:
        return Core(np.asarray(game.values, np.float64)[1:], None, 0.0, True)
    least = least_core(game)
    cover = sum(least.weights.values())
    surplus = least.epsilon * cover
    tolerance = 0.0 if least.certified else TINY * float(np.abs(game.gains).max())
    if surplus > tolerance:
        return Core(None, least.weights, surplus, least.certified)
    return Core(least.allocation, None, surplus, least.certified)


def least_core(game: CharacteristicFunction) -> LeastCore:
    """The least epsilon for which shares satisfy all proper coalitions, and such shares.

    In a game of costs a coalition's excess is what it pays above its own cost.

    Raises:
        UserError: there is one player, or more than 16.

    >>> least_core(CharacteristicFunction.weighted_voting(35, [10, 10, 10, 10])).epsilon
    -0.25
    """
    num_players = game.num_players
    require(num_players > 1, "the least core needs 2 players: one alone has no proper coalition")
    check_lp_size(num_players)
    exact = -game.exact() if game.costs else game.exact()
    everyone = len(exact) - 1
    program = solve_level(exact, np.arange(1, everyone), {everyone: exact[everyone]}, [])
    shares = _rational_shares(exact, program)
    worst = None if shares is None else max(exact_excesses(exact, shares)[1:-1])
    certified = program.exact and worst == program.epsilon
    allocation = program.shares if shares is None else np.array(shares, np.float64)
    cover = sum(w * mask.bit_count() for mask, w in program.weights.items()) / num_players
    return LeastCore(
        epsilon=float(program.epsilon),
        allocation=-allocation if game.costs else allocation,
        weights={mask: float(w / cover) for mask, w in sorted(program.weights.items())},
        certified=certified,
    )


def is_convex(game: CharacteristicFunction, tolerance: float = TINY) -> bool:
    """Whether to join pays the more, the larger the coalition: v(S+i+j) - v(S+j) >= v(S+i) - v(S).

    Of a game of costs: whether to join costs the less. `tolerance` is relative to the largest.
    """
    values = game.gains
    slack = tolerance * float(np.abs(values).max())
    for j in range(1, game.num_players):
        for i in range(j):
            v = values.reshape(-1, 2, 1 << (j - i - 1), 2, 1 << i)
            if (v[:, 1, :, 1] - v[:, 1, :, 0] < v[:, 0, :, 1] - v[:, 0, :, 0] - slack).any():
                return False
    return True


def is_superadditive(game: CharacteristicFunction, tolerance: float = TINY) -> bool:
    """Whether disjoint coalitions never lose by uniting: v(S) + v(T) <= v(S + T).

    Of a game of costs: whether they never pay more. `tolerance` is relative to the largest.

    Raises:
        UserError: there are more than 18 players, whose 3^N pairs take too long.
    """
    require(
        game.num_players <= MAX_PAIR_PLAYERS,
        f"there are {game.num_players} players, expected at most {MAX_PAIR_PLAYERS} to look at all "
        "pairs of coalitions; `is_convex`, which implies superadditive, takes more",
    )
    values = game.gains
    slack = tolerance * float(np.abs(values).max())
    for mask in range(1, len(values)):
        others = np.zeros(1, np.int64)  # the coalitions outside of this one with a higher first bit
        for i in range(game.num_players):
            if not mask >> i & 1 and 1 << i > mask & -mask:
                others = np.concatenate([others, others | 1 << i])
        if (values[mask] + values[others] > values[mask | others] + slack).any():
            return False
    return True


def _rational_shares(exact: np.ndarray, program: Program) -> list[Fraction] | None:
    """The program's allocation in rational numbers, from the coalitions that it leaves at epsilon;
    where these leave it free, the players' own shares, rounded."""
    everyone, num_players = len(exact) - 1, len(program.shares)
    slack = subset_sums(program.shares) + float(program.epsilon) - exact.astype(float)
    tight = np.flatnonzero(slack[1:-1] < 1e-7 * float(max(abs(exact).max(), 1))) + 1
    known = {m: exact[m] - program.epsilon for m in sorted(tight.tolist(), key=slack.item)}
    known |= {1 << i: x for i, x in enumerate(rational(program.shares)) if 1 << i not in known}
    fixed = {everyone: exact[everyone]}
    for mask, share in known.items():
        if len(fixed) < num_players and not in_span([mask], list(fixed), num_players)[0]:
            fixed[mask] = share
    return solve_rational(indicators(list(fixed), num_players), list(fixed.values()))
