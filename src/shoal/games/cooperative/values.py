"""Values of cooperative games: each player's mean contribution to the coalitions it joins.

    phi_i = sum_{S without i}  p(|S|) (v(S + i) - v(S))

Shapley 1953: p(s) = s! (N-s-1)! / N!. Banzhaf 1965: p(s) = 2^(1-N). Owen 1977 keeps unions
together; Myerson 1977 lets only neighbours in a graph cooperate.
"""

import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shoal.core.errors import require
from shoal.games.cooperative.characteristic import CharacteristicFunction


def semivalue(values: Float[Array, "P"], p: Float[Array, "N"]) -> Float[Array, "N"]:
    r"""$\phi_i = \sum_{S \not\ni i} p_{|S|} (v(S \cup i) - v(S))$, in N 2^N steps.

    A kernel: `vmap` it over games, differentiate it, in either precision. `p[s]` is the weight of
    each coalition of s others; see `shapley_weights` and `banzhaf_weights`.
    """
    half = values.shape[0] // 2
    # The others' coalitions are numbers of N-1 bits, and who holds which bit does not matter.
    weight = p[jax.lax.population_count(jnp.arange(half))]

    def top_player(values, _):
        without, joined = values[:half], values[half:]
        share = weight @ (joined - without)
        return jnp.stack([without, joined], axis=-1).reshape(-1), share  # it takes the lowest bit

    return jax.lax.scan(top_player, values, length=p.shape[0])[1][::-1]


def shapley_weights(num_players: int) -> Float[np.ndarray, "N"]:
    """The chance that exactly the players of one coalition of s others come before i."""
    return np.array([1 / (num_players * math.comb(num_players - 1, s)) for s in range(num_players)])


def banzhaf_weights(num_players: int) -> Float[np.ndarray, "N"]:
    """Every coalition of others is as likely."""
    return np.full(num_players, 2.0 ** (1 - num_players))


def shapley(game: CharacteristicFunction) -> Float[np.ndarray, "N"]:
    """The Shapley value: the mean contribution over all orders of arrival (Shapley 1953).

    Exact, for up to 24 players; `shapley_sampled` goes beyond.

    >>> shapley(CharacteristicFunction.glove(1, 2)).round(6).tolist()
    [0.666667, 0.166667, 0.166667]
    """
    return _semivalue(np.asarray(game.values), shapley_weights(game.num_players))


def banzhaf(game: CharacteristicFunction, normalised: bool = False) -> Float[np.ndarray, "N"]:
    """The Banzhaf value: the mean contribution to all coalitions of others (Banzhaf 1965).

    With `normalised` divided by its sum, as power indices are given.

    Raises:
        UserError: it sums to 0 and is to be normalised.
    """
    value = _semivalue(np.asarray(game.values), banzhaf_weights(game.num_players))
    if not normalised:
        return value
    require(bool(value.sum() != 0), "the Banzhaf value sums to 0: it cannot be normalised")
    return value / value.sum()


def dividends(game: CharacteristicFunction) -> Float[np.ndarray, "P"]:
    r"""Harsanyi's dividends $d(S) = v(S) - \sum_{T \subset S} d(T)$, which make up the game from
    unanimity games: $v = \sum_S d(S) u_S$ (Harsanyi 1963)."""
    out = np.array(game.values, np.float64)
    for i in range(game.num_players):
        halves = out.reshape(-1, 2, 1 << i)
        halves[:, 1] -= halves[:, 0]
    return out


def owen(game: CharacteristicFunction, unions: Sequence[Sequence[int]]) -> Float[np.ndarray, "N"]:
    """The Owen value: the Shapley value where players of a union arrive together (Owen 1977).

    Args:
        game: up to 24 players.
        unions: players by number; each player is in exactly one union.

    Raises:
        UserError: a player is in no union or in two.
    """
    num_players = game.num_players
    listed = sorted(i for union in unions for i in union)
    require(
        listed == list(range(num_players)) and all(len(union) > 0 for union in unions),
        f"unions hold players {listed}, expected each of 0 to {num_players - 1} once",
    )
    values = np.asarray(game.values)
    blocks = [sum(1 << i for i in union) for union in unions]
    weight = shapley_weights(len(unions))
    shares = np.zeros(num_players)
    for union, block in zip(unions, blocks):
        others = _unite([b for b in blocks if b != block])
        inside = _unite([1 << i for i in union])
        chance = weight[np.bitwise_count(_unite([1 << k for k in range(len(unions) - 1)]))]
        # The union's own game: what a part of it adds to the unions that came before, on average.
        inner = chance @ (values[others[:, None] | inside] - values[others][:, None])
        shares[list(union)] = _semivalue(inner, shapley_weights(len(union)))
    return shares


def myerson(
    game: CharacteristicFunction, edges: Iterable[tuple[int, int]]
) -> Float[np.ndarray, "N"]:
    """The Myerson value: the Shapley value where only connected players cooperate (Myerson 1977).

    Args:
        game: up to 24 players.
        edges: pairs of players by number, who can talk to each other.

    Raises:
        UserError: an edge names no player.
    """
    return shapley(restricted(game, edges))


def restricted(
    game: CharacteristicFunction, edges: Iterable[tuple[int, int]]
) -> CharacteristicFunction:
    """The game in which a coalition earns what its connected parts earn, one by one."""
    num_players = game.num_players
    near = [0] * num_players
    for a, b in edges:
        require(
            0 <= a < num_players and 0 <= b < num_players,
            f"edge ({a}, {b}) names no player, expected numbers 0 to {num_players - 1}",
        )
        near[a] |= 1 << b
        near[b] |= 1 << a
    values = np.asarray(game.values)
    part = _first_components(near)
    rest = np.arange(len(values))
    total = np.zeros(len(values))
    while rest.any():
        total += values[part[rest]]
        rest = rest ^ part[rest]
    return CharacteristicFunction(total, players=game.players, costs=game.costs, title=game.title)


_compiled = jax.jit(semivalue)


def _semivalue(values: Float[np.ndarray, "P"], p: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
    with jax.enable_x64(True):
        return np.asarray(_compiled(values, p))


def _unite(blocks: Sequence[int]) -> Int[np.ndarray, "Q"]:
    """All unions of disjoint sets of players."""
    out = np.zeros(1, np.int64)
    for block in blocks:
        out = np.concatenate([out, out | block])
    return out


def _first_components(near: Sequence[int]) -> Int[np.ndarray, "P"]:
    """In each coalition, those who are connected to its first player."""
    masks = np.arange(1 << len(near))
    around = np.zeros(1, np.int64)  # the neighbours of each coalition
    for links in near:
        around = np.concatenate([around, around | links])
    part = masks & -masks
    while True:
        grown = part | (around[part] & masks)
        if (grown == part).all():
            return part
        part = grown
