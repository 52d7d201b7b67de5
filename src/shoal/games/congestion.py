"""Congestion games: players share resources, which are the slower the more use them.

    cost_i = sum_{r in route_i} delay_r(load_r),   load_r = the weight of all who use r

With equal weights they have a pure equilibrium (Rosenthal 1973).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.games.checks import finite, game_sizes
from shoal.games.normal_form import NormalForm


def congestion(
    delays: Any, routes: Sequence[Sequence[Sequence[int]]], weights: Sequence[int] | None = None
) -> NormalForm:
    """Each player chooses a set of resources and pays their delays; payoffs are minus the costs.

    Args:
        delays: `[R, L]`, the delay of each resource at a load of 1, 2, ... L.
        routes: for each player, for each action, the numbers of the resources that it uses.
        weights: how much load each player brings; 1 by default.

    Raises:
        UserError: a resource does not exist, or its delay is missing for a load that can occur;
            a weight is not a whole number above 0.
    """
    require(len(routes) > 0, "routes are empty, expected those of 1 player or more")
    table = finite("delays", delays, 2)
    weights = list(weights or [1] * len(routes))
    require(len(weights) == len(routes), f"{len(weights)} weights, expected {len(routes)}")
    require(
        all(w > 0 and w % 1 == 0 for w in weights),
        f"weights are {weights}, expected whole numbers, 1 or more",
    )
    require(
        table.shape[1] >= sum(weights),
        f"delays have shape {list(table.shape)}, expected [R, {sum(weights)} or more]",
    )
    used = [_incidence(player, len(table)) for player in routes]
    shape = game_sizes([len(u) for u in used])
    load = np.zeros((len(table), *shape), np.int64)
    for i, u in enumerate(used):
        load += _along(u.T * weights[i], i, len(used))
    delay = np.stack([table[r][np.maximum(load[r], 1) - 1] for r in range(len(table))])
    costs = [(delay * _along(u.T, i, len(used))).sum(0) for i, u in enumerate(used)]
    return NormalForm(-np.stack(costs), title="congestion")


def pigou(num_players: int = 4) -> NormalForm:
    """Two roads: one always takes 1, the other the share of the players on it (Pigou 1920).

    The price of anarchy is 4/3 where the number of players is even.
    """
    share = np.arange(1, num_players + 1) / num_players
    return congestion([np.ones(num_players), share], [[[0], [1]]] * num_players)


def braess(num_players: int = 4) -> NormalForm:
    """Braess's paradox (1968): a free shortcut makes the journey longer, 2 in place of 3/2."""
    share, one = np.arange(1, num_players + 1) / num_players, np.ones(num_players)
    roads = [share, one, one, share, 0 * one]  # s-v, v-t, s-w, w-t, v-w
    return congestion(roads, [[[0, 1], [2, 3], [0, 4, 3]]] * num_players)


def machines(sizes: Sequence[int] = (2, 2, 1, 1), num_machines: int = 2) -> NormalForm:
    """Jobs choose among identical machines and pay the load of theirs (Koutsoupias and
    Papadimitriou 1999). The worst pure equilibrium's longest load is at most
    `2 - 2/(num_machines + 1)` times the optimum, which the default game reaches."""
    loads = np.tile(np.arange(1, sum(sizes) + 1), (num_machines, 1))
    return congestion(loads, [[[m] for m in range(num_machines)]] * len(sizes), sizes)


def _incidence(routes: Sequence[Sequence[int]], count: int) -> np.ndarray:
    """Whether an action uses a resource, `[A, R]`."""
    out = np.zeros((len(routes), count), np.int64)
    for a, route in enumerate(routes):
        for r in route:
            require(0 <= r < count, f"resource {r} does not exist: there are {count}")
            out[a, r] = 1
    return out


def _along(table: np.ndarray, player: int, num_players: int) -> np.ndarray:
    """A table `[R, A_i]` as `[R, 1, .., A_i, .., 1]`."""
    shape = [1] * num_players
    shape[player] = table.shape[1]
    return table.reshape(len(table), *shape)
