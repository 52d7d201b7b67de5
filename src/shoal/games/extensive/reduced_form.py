"""From a tree to a table: the reduced normal form, of plans that leave out what they rule out.

    payoffs[i, k_1, ..., k_N] = sum_z u_i(z) chance(z) prod_j [plan k_j of player j leads to z]

Kuhn, Extensive games and the problem of information (1953).
"""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import islice

import numpy as np
from jaxtyping import Float, Shaped

from shoal.core.errors import UserError
from shoal.games.extensive.plans import (
    OwnHistories,
    Plan,
    all_plans,
    led_to,
    num_plans,
    own_histories,
)
from shoal.games.extensive.tree import ExtensiveForm
from shoal.games.normal_form import NormalForm

LIMB = 24
"""Bits of the parts that whole numbers are cut in, so that sums of floats are exact."""


def to_normal_form(game: ExtensiveForm, max_entries: int = 10_000_000) -> NormalForm:
    """The reduced normal form. An action is a plan, named by its move at each information set of
    the player in the game's order, `*` where the plan's own moves rule it out.

    Recall need not be perfect: a plan says the same at all nodes of an information set. The table
    is exact, as `NormalForm.exact` gives it: chance and payoffs are multiplied as fractions.

    Raises:
        UserError: the table would have more than `max_entries` entries.
    """
    own = [own_histories(game, i) for i in range(game.num_players)]
    plans = _listed(game, own, max_entries)
    names = [_names(game, o, p) for o, p in zip(own, plans)]
    ends = np.stack([o.of_node[game.terminals] for o in own])
    ends, index = np.unique(ends, axis=1, return_inverse=True)
    reached = [led_to(o, p)[:, e].astype(float) for o, p, e in zip(own, plans, ends)]
    worth = game.exact_payoffs * _chance_reach(game)[game.terminals, None]
    payoffs = np.stack([_exact_table(reached, index.ravel(), column) for column in worth.T])
    return NormalForm(payoffs, actions=names, players=game.players, title=game.title)


def _listed(game: ExtensiveForm, own: list[OwnHistories], most: int) -> list[list[Plan]]:
    """All plans of each player, unless they are too many. Those who forget come last: their plans
    are counted by a list of them."""
    known = [num_plans(game, o) for o in own]
    entries = game.num_players * math.prod(n or 1 for n in known)
    _check_size(game, [_short(n) if n else "?" for n in known], entries, most)
    plans: list[list[Plan]] = [[] for _ in own]
    for i in sorted(range(len(own)), key=lambda i: known[i] is None):
        room = most // (game.num_players * math.prod(len(p) or 1 for p in plans))
        plans[i] = list(islice(all_plans(game, own[i]), room + 1))
        if known[i] is None:
            counts = [_short(len(p)) if p else "?" for p in plans]
            _check_size(game, counts, most + (len(plans[i]) > room), most)
    return plans


def _check_size(game: ExtensiveForm, counts: list[str], entries: int, most: int) -> None:
    if entries > most:
        raise UserError(
            f"the normal form of {game.title or 'this game'} has {' x '.join(counts)} plans, "
            f"{_short(entries)} payoffs, the limit is {most:,}: solve the tree itself, by "
            + ("sequence_form or cfr" if game.num_players == 2 else "cfr")
            + " (shoal solve: --concept cfr)"
        )


def _short(number: int) -> str:
    """A whole number that may have hundreds of digits."""
    return f"{number:,}" if number < 10**9 else f"{Decimal(number):.2e}"


def _names(game: ExtensiveForm, own: OwnHistories, plans: list[Plan]) -> list[str]:
    return [
        " ".join(game.actions[s][plan[s]] if s in plan else "*" for s in own.at) or "-"
        for plan in plans
    ]


def _chance_reach(game: ExtensiveForm) -> Shaped[np.ndarray, "K"]:
    """The probability that chance gives to its moves before each node, in `Fraction`s."""
    probs = game.exact_chance.copy()
    for lo, hi in zip(game.depths[1:-1], game.depths[2:]):
        probs[lo:hi] *= probs[game.parent[lo:hi]]
    return probs


def _exact_table(
    reached: list[Float[np.ndarray, "_ E"]], index: np.ndarray, worth: Shaped[np.ndarray, "Z"]
) -> np.ndarray:
    """`sum_z worth[z] prod_j reached[j][k_j, index[z]]`, of `Fraction`s."""
    scale = math.lcm(*(w.denominator for w in worth))
    whole = [int(w * scale) for w in worth]
    small = sum(map(abs, whole)) < 2**62
    kind = np.int64 if small else object
    table, shift = np.zeros((), kind), 0
    while any(abs(w) >> shift for w in whole):
        limbs = [(abs(w) >> shift & (2**LIMB - 1)) * (1 if w > 0 else -1) for w in whole]
        merged = np.bincount(index, limbs, reached[0].shape[1])
        table = table + _table(reached, merged).astype(np.int64).astype(kind) * (1 << shift)
        shift += LIMB
    table = np.broadcast_to(table, [len(r) for r in reached])
    distinct, place = np.unique(table, return_inverse=True)
    numbers = np.array([Fraction(int(n), scale) for n in distinct], object)
    return numbers[place].reshape(table.shape)


def _table(reached: list[Float[np.ndarray, "_ E"]], worth: Float[np.ndarray, "E"]) -> np.ndarray:
    """`sum_e worth[e] prod_j reached[j][k_j, e]`."""
    first, *others = reached
    table = first * worth
    for other in others[:-1]:
        table = np.einsum("...z,kz->...kz", table, other)
    return table @ others[-1].T if others else table.sum(-1)
