"""Subgame-perfect equilibria of trees of perfect information, by backward induction.

    v(k) = v(child that gives most to whoever acts at k);   chance: v(k) = sum p(child) v(child)

From the last moves to the first, so that no threat is believed that would not be carried out.
Zermelo 1913; Kuhn 1953; Selten 1965. All arithmetic is in fractions: payoffs tie or they do not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from shoal.core.errors import UserError, require
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm

Worth = tuple[Fraction, ...]


class Found(NamedTuple):
    """An equilibrium of the subtree from a node on."""

    worth: Worth
    """What it gives to each player."""
    infoset: int
    """The node's information set; -1 of chance and at the end."""
    action: int
    """What is done there."""
    below: "tuple[Found, ...]"
    """The equilibria of the children's subtrees, which others share."""


@dataclass(frozen=True)
class SubgamePerfect:
    """Pure subgame-perfect equilibria: an action at every information set, on the path or off."""

    choices: list[Int[np.ndarray, "I"]]
    """The action at each information set, for each equilibrium."""
    payoffs: list[Shaped[np.ndarray, "N"]]
    """What each player gains, in `Fraction`s."""
    regrets: list[Fraction]
    """The certificate: the most that anyone could gain by another move at one node, where play may
    never get, computed from the tree after solving. 0 is subgame perfect."""
    complete: bool
    """Whether these are all pure ones. Of moves that tie, mixtures may be more."""
    method: str = "backward induction"
    """The name of the method."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What it was given."""


def subgame_perfect(game: ExtensiveForm, most: int = 100) -> SubgamePerfect:
    """The pure subgame-perfect equilibria of a tree in which every player knows all moves so far.
    There is at least one. Where nobody is indifferent there is one alone, and no mixed one.

    Args:
        game: any number of players, and chance.
        most: how many equilibria are kept at each node: where moves tie there may be very many.

    Raises:
        UserError: an information set has several nodes; or `most` is below 1.

    >>> from shoal.games.gambit.efg import read_efg
    >>> entry = read_efg('''EFG 2 R "" { "entrant" "incumbent" }
    ... p "" 1 1 "" { "stay" "open" } 0  t "" 1 "" { 1 3 }
    ... p "" 2 1 "" { "fight" "share" } 0  t "" 2 "" { 0 0 }  t "" 3 "" { 2 1 }''')
    >>> found = subgame_perfect(entry)
    >>> [choices.tolist() for choices in found.choices], found.complete
    ([[1, 1]], True)
    """
    require(most >= 1, f"most is {most}, expected 1 or more")
    _check_information(game)
    ends, cut = dict(zip(game.terminals.tolist(), game.exact_payoffs.tolist())), False
    known: dict[int, list[Found]] = {}
    for k in reversed(range(game.num_nodes)):
        if game.actor[k] == TERMINAL:
            known[k] = [Found(tuple(ends[k]), -1, -1, ())]
            continue
        at = game.children(k)
        children = [known.pop(c) for c in range(at.start, at.stop)]
        here = list(islice(_at_node(game, k, children), most + 1))
        cut |= len(here) > most
        known[k] = here[:most]
    choices = [_choices(game, found) for found in known[0]]
    return SubgamePerfect(
        choices=choices,
        payoffs=[np.array(found.worth, object) for found in known[0]],
        regrets=[one_move_regret(game, c) for c in choices],
        complete=not cut,
        parameters={"most": most},
    )


def one_move_regret(game: ExtensiveForm, choices: Int[np.ndarray, "I"]) -> Fraction:
    """The most that whoever acts at some node could gain by another move there, if all goes on by
    `choices`, the action at each information set. It is 0 where they are subgame perfect alone."""
    worth = np.empty((game.num_nodes, game.num_players), object)
    worth[game.terminals] = game.exact_payoffs
    most = Fraction(0)
    for lo, hi in reversed([*zip(game.depths[:-1], game.depths[1:])]):
        inner = lo + np.flatnonzero(game.actor[lo:hi] != TERMINAL)
        for k in inner[game.actor[inner] == CHANCE]:
            worth[k] = game.exact_chance[game.children(k)] @ worth[game.children(k)]
        acts = inner[game.actor[inner] >= 0]
        worth[acts] = worth[game.first_child[acts] + choices[game.infoset[acts]]]
        if len(acts):
            counts = game.num_actions[game.infoset[acts]]
            starts = np.cumsum(counts) - counts
            moves = np.repeat(game.first_child[acts] - starts, counts) + np.arange(counts.sum())
            gains = worth[moves, np.repeat(game.actor[acts], counts)]
            best = np.maximum.reduceat(gains, starts)
            most = max(most, (best - worth[acts, game.actor[acts]]).max())
    return most


def _at_node(game: ExtensiveForm, k: int, children: list[list[Found]]) -> Iterator[Found]:
    who, probs = int(game.actor[k]), game.exact_chance[game.children(k)]
    for below in product(*children):
        values = [found.worth for found in below]
        if who == CHANCE:
            mean = probs @ np.array(values, object)
            yield Found(tuple(mean.tolist()), -1, -1, below)
            continue
        best = max(worth[who] for worth in values)
        for action, worth in enumerate(values):
            if worth[who] == best:
                yield Found(worth, int(game.infoset[k]), action, below)


def _choices(game: ExtensiveForm, found: Found) -> Int[np.ndarray, "I"]:
    out, waiting = np.zeros(game.num_infosets, np.int64), [found]
    while waiting:
        here = waiting.pop()
        if here.infoset >= 0:
            out[here.infoset] = here.action
        waiting += here.below
    return out


def _check_information(game: ExtensiveForm) -> None:
    sizes = np.bincount(game.infoset[game.infoset >= 0], minlength=game.num_infosets)
    for s in np.flatnonzero(sizes > 1)[:1]:
        raise UserError(
            f"backward induction takes perfect information: at information set '{game.keys[s]}' "
            f"{game.players[game.owner[s]]} does not know which of {sizes[s]} nodes it is at"
        )
