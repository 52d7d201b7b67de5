"""Makes the sequence form of a game tree: who moved how before each node, sorted by player.

The last sequence of each player at the ends of the game, and the ends' payoffs, are all that the
values of policies depend on. Recall is perfect if all nodes of an information set have one
sequence of its player. von Stengel, Efficient computation of behavior strategies (1996).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from shoal.core.errors import UserError
from shoal.games.extensive.sequences import Choices, Gains, GroupSum, SequenceForm
from shoal.games.extensive.tree import CHANCE, ExtensiveForm

WIDTHS = (2, 4, 8, 16, 32, 64)
STAGE_COST = 2000
"""What another stage of a sum costs, in numbers that could be added meanwhile."""


@lru_cache(maxsize=4)
def sequence_arrays(game: ExtensiveForm, chance_plays: bool = False) -> SequenceForm:
    """The sequence form of a game. With `chance_plays` chance is the last player, and its
    probabilities are a policy rather than a factor of the payoffs.

    Raises:
        UserError: a player forgets what it knew or did.
    """
    codes, moved, width = _histories(game, chance_plays)
    _check_recall(game, codes)
    choices, ends = [], []
    for j in range(codes.shape[1]):
        sets, nodes, counts = _decisions(game, j)
        order = np.argsort(moved[nodes, j], kind="stable")
        sets, nodes, counts = sets[order], nodes[order], counts[order]
        before = _local(codes[nodes, j], sets, counts, width)
        choices.append(_choices(sets, counts, before, moved[nodes, j]))
        ends.append(_local(codes[game.terminals, j], sets, counts, width))
    probs = np.ones(len(game.terminals)) if chance_plays else _chance_reach(game)[game.terminals]
    sizes = tuple(c.legal.size + 1 for c in choices)
    ends, payoffs = _merged(np.stack(ends, 1), game.payoffs * probs[:, None], sizes)
    gains = tuple(_gains(i, ends, payoffs[:, i], sizes) for i in range(game.num_players))
    chance = _chance_policy(game, choices[-1]) if chance_plays else None
    return SequenceForm(tuple(choices), gains, ends.astype(np.int32), payoffs, chance)


def _histories(game: ExtensiveForm, chance_plays: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Each player's last move before each node, as decision x width + action, or -1; and how many
    it has made, both `[K, P]`."""
    width = int(np.bincount(game.parent[1:], minlength=1).max(initial=1))
    num_players = game.num_players + chance_plays
    codes = np.full((game.num_nodes, num_players), -1)
    moved = np.zeros((game.num_nodes, num_players), np.int64)
    decision = np.where(game.actor == CHANCE, np.cumsum(game.actor == CHANCE) - 1, game.infoset)
    for lo, hi in zip(game.depths[1:-1], game.depths[2:]):
        up = game.parent[lo:hi]
        codes[lo:hi], moved[lo:hi] = codes[up], moved[up]
        who = game.actor[up]
        k = np.flatnonzero((who >= 0) | chance_plays)
        at = lo + k, who[k]  # chance is number -1: the last player
        codes[at] = decision[up[k]] * width + game.action[lo + k]
        moved[at] += 1
    return codes, moved, width


def _check_recall(game: ExtensiveForm, codes: Int[np.ndarray, "K P"]) -> None:
    nodes = np.flatnonzero(game.infoset >= 0)
    sets, who = game.infoset[nodes], game.actor[nodes]
    for s in sets[codes[nodes, who] != codes[game.first_node[sets], who]][:1]:
        raise UserError(
            f"{game.players[game.owner[s]]} has imperfect recall: at information set "
            f"'{game.keys[s]}' it has forgotten what it knew or did before"
        )


def _decisions(game: ExtensiveForm, player: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The information sets of a player, one node of each, and the numbers of actions. Those of
    chance, after the last player, are its nodes."""
    if player < game.num_players:
        sets = np.flatnonzero(game.owner == player)
        return sets, game.first_node[sets], game.num_actions[sets]
    nodes = np.flatnonzero(game.actor == CHANCE)
    counts = np.bincount(game.parent[1:], minlength=game.num_nodes)
    return np.arange(len(nodes)), nodes, counts[nodes]


def _local(codes: np.ndarray, sets: np.ndarray, counts: np.ndarray, width: int) -> np.ndarray:
    """A player's sequences as `Choices` numbers them."""
    most = int(counts.max(initial=1))
    place = np.zeros(int(sets.max(initial=0)) + 1, np.int64)
    place[sets] = np.arange(len(sets))
    known = np.maximum(codes, 0)
    return np.where(codes < 0, len(sets) * most, place[known // width] * most + known % width)


def _choices(
    sets: np.ndarray, counts: np.ndarray, before: np.ndarray, depth: np.ndarray
) -> Choices:
    most, num_depths = int(counts.max(initial=1)), int(depth.max(initial=-1)) + 1
    starts = np.searchsorted(depth, np.arange(num_depths + 1))
    empty = len(sets) * most
    parent = np.append(before, empty)  # of the sequences of each information set
    ancestors, now = [], np.append(np.arange(empty), empty)
    for _ in range(max(1, num_depths)):
        ancestors.append(now)
        now = np.where(now < empty, parent[np.minimum(now // most, len(sets))], empty)
    children = tuple(
        group_sum(before[mid:hi] - lo * most, int(mid - lo) * most)
        for lo, mid, hi in zip(starts, starts[1:], starts[2:])
    )
    return Choices(
        infosets=sets,
        legal=np.arange(most) < counts[:, None],
        before=before,
        ancestors=np.stack(ancestors, 1).astype(np.int32),
        children=children,
        starts=tuple(map(int, starts)),
    )


def _chance_reach(game: ExtensiveForm) -> Float[np.ndarray, "K"]:
    """The probability that chance gives to its moves before each node."""
    probs = game.chance.copy()
    for lo, hi in zip(game.depths[1:-1], game.depths[2:]):
        probs[lo:hi] *= probs[game.parent[lo:hi]]
    return probs


def _chance_policy(game: ExtensiveForm, choices: Choices) -> Float[np.ndarray, "C A"]:
    nodes = np.flatnonzero(game.actor == CHANCE)[choices.infosets]
    index = game.first_child[nodes][:, None] + np.arange(choices.legal.shape[1])
    return np.where(choices.legal, game.chance[np.minimum(index, game.num_nodes - 1)], 0.0)


def _merged(
    ends: np.ndarray, payoffs: np.ndarray, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Ends that have the same sequences are one: their payoffs add up. Ends of no payoff go."""
    paid = (payoffs != 0).any(1)
    ends, payoffs = ends[paid], payoffs[paid]
    if np.prod(np.array(sizes, np.float64)) >= 2**62:
        return ends, payoffs  # their numbers do not fit; all works unmerged too
    reached, index = np.unique(np.ravel_multi_index(tuple(ends.T), sizes), return_inverse=True)
    summed = [np.bincount(index, column, len(reached)) for column in payoffs.T]
    return np.stack(np.unravel_index(reached, sizes), 1), np.stack(summed, 1)


def _gains(player: int, ends: np.ndarray, payoffs: np.ndarray, sizes: tuple[int, ...]) -> Gains:
    rows = group_sum(ends[:, player], sizes[player])
    first = rows.stages[0]
    who = tuple(j for j in range(len(sizes)) if j != player)
    return Gains(
        payoffs=np.append(payoffs, 0.0)[first],
        others=tuple(np.append(ends[:, j], 0)[first].astype(np.int32) for j in who),
        rows=GroupSum(rows.stages[1:], rows.last),
        who=who,
    )


def group_sum(groups: Int[np.ndarray, "n"], num_groups: int) -> GroupSum:
    """Sums of n numbers by the group of each. Long groups are cut in rows, whose sums are summed
    in turn, so that one long group does not fill up all others' rows with zeros."""
    items = np.argsort(groups, kind="stable")
    group, stages = groups[items], []
    while True:
        names, starts, counts = np.unique(group, return_index=True, return_counts=True)
        width = _width(counts)
        rows = -(-counts // width)
        within = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
        index = (np.repeat(starts, rows) + within * width)[:, None] + np.arange(width)
        inside = index < np.repeat(starts + counts, rows)[:, None]
        known = items[np.minimum(index, max(0, len(items) - 1))]
        stages.append(np.where(inside, known, len(items)).astype(np.int32))
        group, items = np.repeat(names, rows), np.arange(rows.sum())
        if (rows == 1).all():
            break
    last = np.full(num_groups, len(group), np.int32)
    last[group] = np.arange(len(group))
    return GroupSum(tuple(stages), last)


def _width(counts: Int[np.ndarray, "G"]) -> int:
    """The cheapest width of rows; more than 1 where there is anything to sum, so that each stage
    has fewer rows than the one before."""

    def cost(width: int) -> int:
        rows = -(-counts // width)
        again = 0 if (rows == 1).all() else int(rows.sum()) + STAGE_COST
        return int(rows.sum()) * (width + 1) + again

    return min(WIDTHS, key=cost) if (counts > 1).any() else 1
