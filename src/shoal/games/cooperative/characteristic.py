"""Cooperative games: what each coalition of players is worth, and nothing about how it acts.

    v: 2^N -> R,  v(empty) = 0          coalition S is the number  sum_{i in S} 2^i

One array `[2^N]` is the whole game. `values.py`, `core.py` and `nucleolus.py` share out v(N). von
Neumann, Morgenstern 1944; the classes of games here: Chalkiadakis et al. 2011.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Shaped

from shoal.core.errors import UserError, require, unknown
from shoal.games.checks import finite, nonnegative
from shoal.games.exact_numbers import Written, exact_array, noted, rational

MAX_PLAYERS = 24
"""The most players whose 2^N coalitions are kept as an array: 128 MiB."""


class CharacteristicFunction(eqx.Module):
    """A cooperative game with transferable utility.

    >>> game = CharacteristicFunction([0, 0, 0, 500, 0, 500, 750, 1000])
    >>> game.num_players, game.worth({1, 2}), game.coalition(6)
    (3, 750.0, ('player 2', 'player 3'))
    """

    values: Shaped[Array, "P"] | Shaped[np.ndarray, "P"]
    """The worth of each coalition, `values[mask]`: bit i of `mask` says that player i is in."""
    players: tuple[str, ...] = eqx.field(static=True)
    """The names of the players."""
    costs: bool = eqx.field(static=True)
    """Whether `values` are costs that a coalition has to bear: then shares of them are costs too,
    and the less the better."""
    title: str = eqx.field(static=True)
    written: Written = eqx.field(static=True, repr=False)
    """The values as they were given, where floats do not tell."""

    def __init__(
        self,
        values: Any,
        *,
        players: Sequence[str] | None = None,
        costs: bool = False,
        title: str = "",
    ):
        """Names default to numbers, from 1.

        Raises:
            UserError: the number of values is not a power of two, `values[0]` is not 0, a value is
                not finite; a name is missing or there twice.
        """
        traced = isinstance(values, Tracer)
        self.values, self.written = (values, Written()) if traced else noted(_checked(values))
        require(
            self.values.ndim == 1 and self.values.size > 1 and self.values.size.bit_count() == 1,
            f"values have shape {list(self.values.shape)}, expected [2^N]: one for each coalition "
            "of N players, a power of two",
        )
        count = self.values.size.bit_length() - 1
        _check_size(count)
        self.players = tuple(players or (f"player {i + 1}" for i in range(count)))
        require(
            len(self.players) == count, f"there are {len(self.players)} names, expected {count}"
        )
        twice = [name for i, name in enumerate(self.players) if name in self.players[:i]]
        require(not twice, f"player '{(twice or [''])[0]}' is there twice")
        self.costs = costs
        self.title = title

    @property
    def num_players(self) -> int:
        return self.values.size.bit_length() - 1

    @property
    def gains(self) -> np.ndarray:
        """What coalitions gain, `[2^N]`: the values, negated where they are costs."""
        return -np.asarray(self.values) if self.costs else np.asarray(self.values)

    def worth(self, coalition: Iterable[int | str]) -> float:
        """The worth of a set of players, given by number, from 0, or by name."""
        return float(self.values[self.mask(coalition)])

    def mask(self, coalition: Iterable[int | str]) -> int:
        """The number of a set of players, given by number, from 0, or by name."""
        mask = 0
        for player in coalition:
            if isinstance(player, str):
                if player not in self.players:
                    raise unknown("player", player, self.players)
                player = self.players.index(player)
            _check_player(int(player), self.num_players)
            mask |= 1 << int(player)
        return mask

    def coalition(self, mask: int) -> tuple[str, ...]:
        """The names of the players in the coalition of this number."""
        return tuple(name for i, name in enumerate(self.players) if mask >> i & 1)

    def of(self, members: Bool[np.ndarray, "B N"]) -> Float[np.ndarray, "B"]:
        """The worth of many coalitions, given by who is in: what `shapley_sampled` asks for."""
        return np.asarray(self.values)[members @ (1 << np.arange(self.num_players))]

    def exact(self) -> np.ndarray:
        """The values as `Fraction`s, `[2^N]`, as they were given; see `NormalForm.exact`."""
        return self.written.of(self.values)

    @staticmethod
    def from_function(
        value: Callable[[frozenset[int]], Any], num_players: int, **rest: Any
    ) -> "CharacteristicFunction":
        """Calls `value` for each coalition but the empty one, as a set of numbers from 0."""
        _check_size(num_players)
        sets = (
            frozenset(i for i in range(num_players) if mask >> i & 1)
            for mask in range(1, 1 << num_players)
        )
        return CharacteristicFunction([0.0, *(value(s) for s in sets)], **rest)

    @staticmethod
    def unanimity(carrier: Iterable[int], num_players: int) -> "CharacteristicFunction":
        """Worth 1 to every coalition that has all players of `carrier`: the basis of all games."""
        carrier = list(carrier)
        require(len(carrier) > 0, "the carrier of a unanimity game is empty, expected players")
        for player in carrier:
            _check_player(player, num_players)
        needed = sum(1 << i for i in set(carrier))
        masks = _masks(num_players)
        return CharacteristicFunction((masks & needed == needed).astype(float))

    @staticmethod
    def weighted_voting(quota: float | int, weights: Any, **rest: Any) -> "CharacteristicFunction":
        """`[quota; w_1, ..., w_N]`: worth 1 to coalitions whose weights reach the quota.

        >>> CharacteristicFunction.weighted_voting(3, [2, 1, 1]).values.tolist()
        [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
        """
        weights = nonnegative("weights", weights)
        _check_size(len(weights))
        require(math.isfinite(quota), f"the quota is {quota}, expected a finite number")
        # Exact sums, since a coalition that meets the quota to the dot must win.
        whole = whole_numbers(rational([*weights, quota]))[0]
        needed = int(whole[-1])
        require(
            0 < needed <= int(whole[:-1].sum()),
            f"the quota is {quota:g}, expected above 0 and at most the sum of the weights, "
            f"{weights.sum():g}",
        )
        return CharacteristicFunction((subset_sums(whole[:-1]) >= needed).astype(float), **rest)

    @staticmethod
    def airport(costs: Any, **rest: Any) -> "CharacteristicFunction":
        """A game of costs, `costs=True`: a coalition needs the runway of its largest plane.

        Values are the positive costs, and shares of them are what each is to pay (Littlechild,
        Owen 1973).
        """
        costs = nonnegative("costs", costs)
        _check_size(len(costs))
        worst = np.zeros(1)
        for cost in costs:
            worst = np.concatenate([worst, np.maximum(worst, cost)])
        return CharacteristicFunction(worst, costs=True, **rest)

    @staticmethod
    def bankruptcy(estate: float | int, claims: Any, **rest: Any) -> "CharacteristicFunction":
        """A coalition is worth what the others' claims leave of the estate (O'Neill 1982)."""
        claims = nonnegative("claims", claims)
        _check_size(len(claims))
        require(
            bool(0 <= estate <= claims.sum()),
            f"the estate is {estate:g}, expected between 0 and the sum of the claims, "
            f"{claims.sum():g}",
        )
        whole, scale = whole_numbers(rational([*claims, estate]))
        left = whole[-1] - subset_sums(whole[:-1])[::-1]  # a mask's complement is its mirror image
        left[0] = 0
        return CharacteristicFunction(_fractions(np.maximum(left, 0), scale), **rest)

    @staticmethod
    def glove(left: int, right: int, **rest: Any) -> "CharacteristicFunction":
        """The first `left` players own a left glove, the next `right` a right one: a coalition is
        worth its number of pairs."""
        require(
            left >= 1 and right >= 1,
            f"there are {left} left and {right} right gloves, expected at least one of each",
        )
        masks = _masks(left + right)
        lefts = np.bitwise_count(masks & ((1 << left) - 1))
        rights = np.bitwise_count(masks >> left)
        return CharacteristicFunction(np.minimum(lefts, rights).astype(float), **rest)

    @staticmethod
    def induced_subgraph(weights: Any, **rest: Any) -> "CharacteristicFunction":
        """A coalition is worth the weights of the edges inside it; `weights` is a symmetric matrix,
        its diagonal what each is worth alone (Deng, Papadimitriou 1994)."""
        weights = finite("weights", weights, 2)
        require(
            weights.shape[0] == weights.shape[1] and bool((weights == weights.T).all()),
            f"weights have shape {list(weights.shape)}, expected a symmetric matrix",
        )
        _check_size(len(weights))
        values = np.zeros(1)
        for i in range(len(weights)):  # player i joins the coalitions of those before
            values = np.concatenate([values, values + weights[i, i] + subset_sums(weights[i, :i])])
        return CharacteristicFunction(values, **rest)


def subset_sums(shares: Any) -> np.ndarray:
    """The sum of `shares` over each coalition, `[2^N]`, of floats or of `Fraction`s."""
    shares = np.asarray(shares)
    sums = np.zeros(1, shares.dtype)
    for share in shares:
        sums = np.concatenate([sums, sums + share])
    return sums


def whole_numbers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """`Fraction`s as whole numbers and their common denominator; int64 where sums
    cannot overflow."""
    scale = math.lcm(*(value.denominator for value in values.flat))
    whole = np.frompyfunc(lambda x: x.numerator * (scale // x.denominator), 1, 1)(values)
    fits = sum(abs(int(value)) for value in whole.tolist()) < 2**62
    return (whole.astype(np.int64) if fits else whole), scale


def _fractions(whole: np.ndarray, scale: int) -> np.ndarray:
    """Whole numbers divided by `scale`: floats where they are whole still, else `Fraction`s."""
    if scale == 1:
        return whole
    distinct, index = np.unique(whole, return_inverse=True)
    return np.array([Fraction(int(n), scale) for n in distinct], object)[index]


def memberships(num_players: int) -> Bool[np.ndarray, "P N"]:
    """Who is in each coalition."""
    return (_masks(num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)


def excesses(game: CharacteristicFunction, allocation: Any) -> np.ndarray:
    """How much each coalition could do better alone than under `allocation`, `[2^N]`.

    $e(S, x) = v(S) - x(S)$, with the sign turned in a game of costs; of `Fraction`s, exactly.
    """
    shares = np.asarray(allocation)
    require(
        shares.shape == (game.num_players,),
        f"the allocation has shape {list(shares.shape)}, expected [{game.num_players}]",
    )
    values = game.exact() if shares.dtype == object else np.asarray(game.values)
    over = values - subset_sums(shares)
    return -over if game.costs else over


def _masks(num_players: int) -> Int[np.ndarray, "P"]:
    _check_size(num_players)
    return np.arange(1 << num_players)


def _check_size(num_players: int) -> None:
    require(
        1 <= num_players <= MAX_PLAYERS,
        f"there are {num_players} players, expected 1 to {MAX_PLAYERS}: beyond that, "
        "`shapley_sampled` takes a function instead of all 2^N values, and `voting_power` counts "
        "weighted votes exactly",
    )


def _check_player(player: int, num_players: int) -> None:
    require(
        0 <= player < num_players,
        f"there is no player {player}, expected 0 to {num_players - 1}",
    )


def _checked(values: Any) -> Shaped[np.ndarray, "..."]:
    array = exact_array(values, "value")
    if array.ndim == 1 and array.size and array[0] != 0:
        raise UserError(
            f"values[0] is {float(array[0]):g}, expected 0: the empty coalition is worth 0"
        )
    return array
