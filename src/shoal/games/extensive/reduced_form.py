"""From a tree to a table: the reduced normal form, of plans that leave out what they rule out.

    payoffs[i, k_1, ..., k_N] = sum_z u_i(z) chance(z) prod_j [plan k_j of player j leads to z]

Kuhn, Extensive games and the problem of information (1953).
"""

import math
from decimal import Decimal
from itertools import product

import numpy as np
from jaxtyping import Float

from shoal.core.errors import UserError
from shoal.games.extensive.sequence_arrays import sequence_arrays
from shoal.games.extensive.sequences import Choices
from shoal.games.extensive.tree import ExtensiveForm
from shoal.games.normal_form import NormalForm

Plan = dict[int, int]
"""The action at each information set that the plan does not rule out itself."""


def to_normal_form(game: ExtensiveForm, max_entries: int = 10_000_000) -> NormalForm:
    """The reduced normal form. An action is a plan, named by its move at each information set of
    the player in the game's order, `*` where the plan's own moves rule it out.

    Raises:
        UserError: the table would have more than `max_entries` entries, or a player forgets.
    """
    form = sequence_arrays(game)
    counts = [num_plans(c) for c in form.choices]
    entries = game.num_players * math.prod(counts)
    if entries > max_entries:
        raise UserError(
            f"the normal form of {game.title or 'this game'} has "
            f"{' x '.join(map(_short, counts))} plans, {_short(entries)} payoffs, the limit is "
            f"{max_entries:,}: solve the tree itself by sequence_form or cfr"
        )
    plans = [_plans(c) for c in form.choices]
    reached = [_reached(c, p)[:, e] for c, p, e in zip(form.choices, plans, form.ends.T)]
    names = [_names(game, c, p) for c, p in zip(form.choices, plans)]
    payoffs = np.stack([_table(reached, worth) for worth in form.payoffs.T])
    return NormalForm(payoffs, actions=names, players=game.players, title=game.title)


def _short(number: int) -> str:
    """A whole number that may have hundreds of digits."""
    return f"{number:,}" if number < 10**9 else f"{Decimal(number):.2e}"


def num_plans(choices: Choices) -> int:
    """How many plans a player has: a product over what may come, of sums over its actions."""
    num_sets, width = choices.legal.shape
    ways = [1] * (num_sets * width + 1)
    for s in reversed(range(num_sets)):
        here = (ways[s * width + a] for a in np.flatnonzero(choices.legal[s]))
        ways[choices.before[s]] *= sum(here)
    return ways[-1]


def _plans(choices: Choices) -> list[Plan]:
    """Every plan, from the last information sets to the first."""
    num_sets, width = choices.legal.shape
    after: list[list[list[Plan]]] = [[] for _ in range(num_sets * width + 1)]
    for s in reversed(range(num_sets)):
        here = [
            {s: int(a)} | rest
            for a in np.flatnonzero(choices.legal[s])
            for rest in _together(after[s * width + a])
        ]
        after[choices.before[s]].insert(0, here)
    return _together(after[-1])


def _together(parts: list[list[Plan]]) -> list[Plan]:
    """One plan of each part, in all combinations."""
    return [{s: a for plan in plans for s, a in plan.items()} for plans in product(*parts)]


def _reached(choices: Choices, plans: list[Plan]) -> Float[np.ndarray, "plans S_and_1"]:
    """Which sequences each plan leads to."""
    width = choices.legal.shape[1]
    out = np.zeros((len(plans), choices.legal.size + 1))
    out[:, -1] = 1
    for row, plan in zip(out, plans):
        row[[s * width + a for s, a in plan.items()]] = 1
    return out


def _names(game: ExtensiveForm, choices: Choices, plans: list[Plan]) -> list[str]:
    order = np.argsort(choices.infosets)
    actions = [game.actions[s] for s in choices.infosets]
    return [
        " ".join(actions[s][plan[s]] if s in plan else "*" for s in order) or "-" for plan in plans
    ]


def _table(reached: list[Float[np.ndarray, "_ Z"]], worth: Float[np.ndarray, "Z"]) -> np.ndarray:
    """`sum_z worth[z] prod_j reached[j][k_j, z]`."""
    first, *others = reached
    table = first * worth
    for other in others[:-1]:
        table = np.einsum("...z,kz->...kz", table, other)
    return table @ others[-1].T if others else table.sum(-1)
