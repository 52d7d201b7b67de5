"""Pure plans of a player in a game tree: a move at each information set that they do not rule out.

A player's own history of a node is the moves that it has made on the way there. A plan leads to a
node, as far as the player itself can bring that about, if it has all moves of that history. Recall
need not be perfect: an information set may have several histories.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from shoal.games.extensive.tree import ExtensiveForm

Plan = dict[int, int]
"""The action at each information set that the plan does not rule out itself."""


@dataclass(frozen=True)
class OwnHistories:
    """One player's own histories. Number 0 is the empty one; each is a longer one of an earlier."""

    of_node: Int[np.ndarray, "K"]
    """The history of each node."""
    longer: dict[tuple[int, int, int], int]
    """The number of a history and one more move: information set, action."""
    at: dict[int, set[int]]
    """The histories of each of the player's information sets, in the game's order."""


def own_histories(game: ExtensiveForm, player: int) -> OwnHistories:
    """What `player` has done before each node."""
    of_node = np.zeros(game.num_nodes, np.int64)
    longer: dict[tuple[int, int, int], int] = {}
    for lo, hi in zip(game.depths[1:-1], game.depths[2:]):
        up = game.parent[lo:hi]
        of_node[lo:hi] = of_node[up]
        for k in lo + np.flatnonzero(game.actor[up] == player):
            before = game.parent[k]
            step = int(of_node[before]), int(game.infoset[before]), int(game.action[k])
            of_node[k] = longer.setdefault(step, len(longer) + 1)
    mine = np.flatnonzero(game.actor == player)
    at: dict[int, set[int]] = {int(s): set() for s in np.flatnonzero(game.owner == player)}
    for s, history in zip(game.infoset[mine].tolist(), of_node[mine].tolist()):
        at[s].add(history)
    return OwnHistories(of_node, longer, at)


def num_plans(game: ExtensiveForm, own: OwnHistories) -> int | None:
    """How many plans a player has: a product over what may come, of sums over its actions. None if
    it forgets: then only a list of them tells."""
    if _forgets(own):
        return None
    ways = [1] * (len(own.longer) + 1)
    for s, (history,) in sorted(own.at.items(), key=lambda item: -min(item[1])):
        ways[history] *= sum(ways[own.longer[history, s, a]] for a in range(game.num_actions[s]))
    return ways[0]


def perfect_recall(game: ExtensiveForm) -> bool:
    """Whether every player always knows all that it knew and did before."""
    return not any(_forgets(own_histories(game, i)) for i in range(game.num_players))


def all_plans(game: ExtensiveForm, own: OwnHistories) -> Iterator[Plan]:
    """Every plan once: the first information set that a plan leads to and that it says nothing of
    is decided, until there is none."""
    needed = _needed(own)
    waiting: list[Plan] = [{}]
    while waiting:
        plan = waiting.pop()
        said = plan.items()
        undecided = (
            s for s, at in own.at.items() if s not in plan and any(needed[h] <= said for h in at)
        )
        s = next(undecided, None)
        if s is None:
            yield plan
        else:
            waiting += ({**plan, s: a} for a in reversed(range(game.num_actions[s])))


def led_to(own: OwnHistories, plans: list[Plan]) -> Bool[np.ndarray, "plans H"]:
    """Which own histories each plan has."""
    out = np.zeros((len(plans), len(own.longer) + 1), bool)
    out[:, 0] = True
    for row, plan in zip(out, plans):
        for (before, s, a), history in own.longer.items():
            row[history] = row[before] and plan.get(s) == a
    return out


def _forgets(own: OwnHistories) -> bool:
    return any(len(histories) > 1 for histories in own.at.values())


def _needed(own: OwnHistories) -> list[frozenset[tuple[int, int]]]:
    """The moves of each history."""
    out = [frozenset[tuple[int, int]]()]
    for before, s, a in own.longer:
        out.append(out[before] | {(s, a)})
    return out
