"""Gambit's `.efg` files: game trees, to and from text.

Nodes come in depth-first order, each with an outcome, whose payoffs are paid on the way: at
terminal nodes or before. https://gambitproject.readthedocs.io/en/latest/formats.html
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Int

from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, extensive_form
from shoal.games.gambit.tokens import Reader, quoted, read_head, unique_names, write_number

Payoffs = tuple[Fraction, ...]


def read_efg(path_or_text: str | Path) -> ExtensiveForm:
    """Reads a tree from an `.efg` file, or from its text. Payoffs of outcomes on the way to a
    terminal node are added to those at it; a node without an outcome pays nothing.

    Raises:
        UserError: there is no such file, or it is malformed, with line and column; or the nodes
            of an information set do not fit together.

    >>> read_efg('EFG 2 R "" { "a" } p "" 1 1 "" { "x" "y" } 0 t "" 1 "" { 1 } t "" 0').payoffs
    array([[1.],
           [0.]])
    """
    reader = Reader(path_or_text, "EFG")
    title, players = read_head(reader, "EFG")
    reader.accept("text")  # a comment
    book = _Book(reader, len(players))
    root = book.node()
    waiting = [root]  # depth first, without recursion: trees are deep
    while waiting:
        node = waiting[-1]
        if len(node.children) == len(node.moves):
            waiting.pop()
        else:
            node.children.append(book.node())
            waiting.append(node.children[-1])
    if reader.peek().kind != "end":
        reader.fail(f"expected the end of the tree, found {reader.peek().text}")
    return extensive_form(_File(title, tuple(unique_names(players, "player ")), root, book.keys()))


def write_efg(game: ExtensiveForm, decimals: bool = False) -> str:
    """The text of an `.efg` file.

    Args:
        game: any tree.
        decimals: whether all numbers are decimals with all their digits. Else a float that is the
            nearest to a simple fraction is that, and the probabilities of chance, which Gambit
            wants to add up to 1 exactly, are fractions.

    >>> from shoal.games.extensive.kuhn import kuhn
    >>> print(write_efg(kuhn()).splitlines()[3])
    c "" 1 "" { "0" 1/3 "1" 1/3 "2" 1/3 } 0
    """
    write = _decimal if decimals else write_number
    payoffs = dict(zip(game.terminals.tolist(), game.exact_payoffs))
    numbers, children = _numbers(game), np.bincount(game.parent[1:], minlength=game.num_nodes)
    lines, waiting, ends = [], [0], 0
    while waiting:
        k = waiting.pop()
        first, last = int(game.first_child[k]), int(game.first_child[k] + children[k])
        if game.actor[k] == TERMINAL:
            ends += 1
            lines.append(f't "" {ends} "" {{ {", ".join(map(write, payoffs[k]))} }}')
        elif game.actor[k] == CHANCE:
            names = map(quoted, unique_names(list(game.moves[first:last])))
            probs = map(_decimal if decimals else str, game.exact_chance[first:last])
            moves = " ".join(f"{m} {p}" for m, p in zip(names, probs))
            lines.append(f'c "" {numbers[k]} "" {{ {moves} }} 0')
        else:
            moves = " ".join(map(quoted, game.moves[first:last]))
            where = f"{game.actor[k] + 1} {numbers[k]} {quoted(game.keys[game.infoset[k]])}"
            lines.append(f'p "" {where} {{ {moves} }} 0')
        waiting += reversed(range(first, last))
    players = " ".join(map(quoted, game.players))
    return "\n".join([f"EFG 2 R {quoted(game.title)} {{ {players} }}", '""', "", *lines, ""])


@dataclass
class _Node:
    """A node as the file has it; chance's information sets have numbers too."""

    actor: int
    number: int
    moves: tuple[str, ...]
    probs: tuple[Fraction, ...]
    payoffs: Payoffs
    children: list["_Node"] = field(default_factory=list)


class _Book:
    """Reads nodes. What a file says once, it need not repeat: the actions of an information set,
    the payoffs of an outcome."""

    def __init__(self, reader: Reader, num_players: int):
        self.reader, self.num_players = reader, num_players
        self.offers: dict[tuple[int, int], tuple[tuple[str, ...], tuple[Fraction, ...]]] = {}
        self.labels: dict[tuple[int, int], str] = {}
        self.outcomes: dict[int, Payoffs] = {0: (Fraction(0),) * num_players}

    def node(self) -> _Node:
        reader = self.reader
        kind = reader.take("word", "a node: c, p or t")
        if kind.text not in ("c", "p", "t"):
            reader.fail(f"expected a node, c, p or t, found {kind.text}", kind)
        reader.string("a name of the node")
        if kind.text == "t":
            return _Node(TERMINAL, 0, (), (), self._outcome())
        actor = CHANCE if kind.text == "c" else self._player()
        number = reader.integer("the number of an information set")
        label = reader.accept("text")
        self.labels.setdefault((actor, number), label.text[1:-1] if label else "")
        moves, probs = self._offer(actor, number)
        return _Node(actor, number, moves, probs, self._outcome())

    def keys(self) -> dict[tuple[int, int], str]:
        """What to call each information set: its label, where that tells it from the others."""
        out = {}
        for player in range(self.num_players):
            mine = sorted(place for place in self.labels if place[0] == player)
            named = [self.labels[place].replace('\\"', '"') for place in mine]
            unique = all(named) and len(set(named)) == len(named)
            out |= {p: name if unique else str(p[1]) for p, name in zip(mine, named)}
        return out

    def _player(self) -> int:
        token = self.reader.peek()
        player = self.reader.integer("the number of a player")
        if not 1 <= player <= self.num_players:
            self.reader.fail(f"no player {player}: they are 1 to {self.num_players}", token)
        return player - 1

    def _offer(self, actor: int, number: int) -> tuple[tuple[str, ...], tuple[Fraction, ...]]:
        """The names of the moves, and chance's probabilities."""
        token, before = self.reader.peek(), self.offers.get((actor, number))
        if not self.reader.accept("brace", "{"):
            if before is None:
                self.reader.fail("the moves of an information set are missing where it begins")
            return before
        names, probs = [], []
        while not self.reader.accept("brace", "}"):
            names.append(self.reader.string("the name of a move"))
            if actor == CHANCE:
                probs.append(self.reader.number("a probability"))
        offer = tuple(unique_names(names)), tuple(probs)
        if not names:
            self.reader.fail("an information set without moves", token)
        if before not in (None, offer):
            self.reader.fail(f"information set {number} had other moves before", token)
        if probs and sum(probs) != 1 and abs(float(sum(probs)) - 1) > 1e-9:
            self.reader.fail(f"probabilities add up to {float(sum(probs)):g}, expected 1", token)
        self.offers[actor, number] = offer
        return offer

    def _outcome(self) -> Payoffs:
        reader, token = self.reader, self.reader.peek()
        number = reader.integer("the number of an outcome")
        reader.accept("text")
        if reader.accept("brace", "{"):
            payoffs = tuple(reader.numbers("a payoff"))
            if len(payoffs) != self.num_players:
                reader.fail(f"{len(payoffs)} payoffs, expected {self.num_players}", token)
            if self.outcomes.setdefault(number, payoffs) != payoffs:
                reader.fail(f"outcome {number} had other payoffs before (0 is none)", token)
        if number not in self.outcomes:
            reader.fail(f"the payoffs of outcome {number} are missing where it begins", token)
        return self.outcomes[number]


@dataclass(frozen=True)
class _File:
    """The rules of a game read from a file. A state is a node, and what was paid so far."""

    title: str
    players: tuple[str, ...]
    root: _Node
    keys: dict[tuple[int, int], str]

    def start(self) -> tuple[_Node, Payoffs]:
        return self.root, self.root.payoffs

    def to_move(self, state: tuple[_Node, Payoffs]) -> int:
        return state[0].actor

    def chances(self, state: tuple[_Node, Payoffs]) -> Sequence[tuple[str, Fraction]]:
        return list(zip(state[0].moves, state[0].probs))

    def actions(self, state: tuple[_Node, Payoffs]) -> Sequence[str]:
        return state[0].moves

    def play(self, state: tuple[_Node, Payoffs], move: str) -> tuple[_Node, Payoffs]:
        node, paid = state
        child = node.children[node.moves.index(move)]
        return child, tuple(a + b for a, b in zip(paid, child.payoffs))

    def sees(self, state: tuple[_Node, Payoffs]) -> str:
        return self.keys[state[0].actor, state[0].number]

    def returns(self, state: tuple[_Node, Payoffs]) -> Payoffs:
        return state[1]


def _numbers(game: ExtensiveForm) -> Int[np.ndarray, "K"]:
    """The number of each node's information set among those of its player, from 1; each node of
    chance is one of chance's."""
    within = np.zeros(game.num_infosets + 1, np.int64)
    for player in range(game.num_players):
        mine = np.flatnonzero(game.owner == player)
        within[mine] = np.arange(len(mine)) + 1
    by_chance = game.actor == CHANCE
    return np.where(by_chance, np.cumsum(by_chance), within[game.infoset])


def _decimal(number: Fraction) -> str:
    return repr(float(number))
