"""Extensive-form games: a tree of moves, flattened once to arrays.

Nodes are numbered by depth, so that the children of a node are neighbours and a pass over the tree
is a few array operations. Kuhn, Extensive games and the problem of information (1953).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from shoal.core.errors import UserError, require
from shoal.games.exact_numbers import Written, exact_array, noted
from shoal.games.normal_form import TOLERANCE

CHANCE, TERMINAL = -1, -2
"""Who acts at a node where no player does."""


@runtime_checkable
class Rules(Protocol):
    """A game's rules, of which `extensive_form` makes a tree. A state is what the rules like."""

    @property
    def players(self) -> tuple[str, ...]:
        """The names of the players."""
        ...

    @property
    def title(self) -> str:
        """The name of the game."""
        ...

    def start(self) -> Any:
        """The first state."""
        ...

    def to_move(self, state: Any) -> int:
        """The number of the player who acts, or `CHANCE`, or `TERMINAL`."""
        ...

    def chances(self, state: Any) -> Sequence[tuple[Hashable, Any]]:
        """The moves of chance, with their probabilities: floats or `Fraction`s."""
        ...

    def actions(self, state: Any) -> Sequence[Hashable]:
        """The legal moves of the player who acts. `str(move)` is its name."""
        ...

    def play(self, state: Any, move: Any) -> Any:
        """The state after a move, of a player's or of chance's."""
        ...

    def sees(self, state: Any) -> str:
        """All that the player who acts knows: states where it sees the same are one information
        set of that player."""
        ...

    def returns(self, state: Any) -> Sequence[Any]:
        """What each player gains at a terminal state: floats or `Fraction`s."""
        ...


@dataclass(frozen=True, eq=False)
class ExtensiveForm:
    """A game tree of K nodes, Z of them terminal, with I information sets of N players.

    A policy of such a game is an array `[I, A]` for all players together, with A the most actions
    anywhere: `policy[s, a]` is the probability of action `a` at information set `s`, 0 where there
    is no such action.
    """

    parent: Int[np.ndarray, "K"]
    """The node before each node; -1 for the root, which is node 0."""
    actor: Int[np.ndarray, "K"]
    """The player who acts at each node, or `CHANCE`, or `TERMINAL`."""
    infoset: Int[np.ndarray, "K"]
    """The information set of each decision node; -1 elsewhere."""
    action: Int[np.ndarray, "K"]
    """Which of its parent's moves leads to each node; -1 for the root."""
    chance: Float[np.ndarray, "K"]
    """The probability of the move to each node, where chance made it; 1 elsewhere."""
    depths: Int[np.ndarray, "depths_and_1"]
    """The first node of each depth, and K."""
    terminals: Int[np.ndarray, "Z"]
    """The terminal nodes."""
    payoffs: Float[np.ndarray, "Z N"]
    """What each player gains at each terminal node."""
    owner: Int[np.ndarray, "I"]
    """The player of each information set."""
    num_actions: Int[np.ndarray, "I"]
    """How many actions each information set has."""
    keys: tuple[str, ...]
    """What the player knows at each information set; unique among one player's."""
    moves: tuple[str, ...]
    """The name of the move to each node; empty for the root."""
    players: tuple[str, ...]
    """The names of the players."""
    title: str = ""
    """The name of the game."""
    written_chance: Written = field(default=Written(), repr=False)
    """The probabilities of chance as they were given, where floats do not tell."""
    written_payoffs: Written = field(default=Written(), repr=False)
    """The payoffs as they were given, where floats do not tell."""

    @property
    def num_players(self) -> int:
        return len(self.players)

    @property
    def num_nodes(self) -> int:
        return len(self.parent)

    @property
    def num_infosets(self) -> int:
        return len(self.owner)

    @cached_property
    def first_child(self) -> Int[np.ndarray, "K"]:
        """The first child of each node; the others follow it. K at terminal nodes."""
        first = np.full(self.num_nodes, self.num_nodes)
        np.minimum.at(first, self.parent[1:], np.arange(1, self.num_nodes))
        return first

    def children(self, node: int | np.integer) -> slice:
        """The numbers of a node's children."""
        first = int(self.first_child[node])
        return slice(first, first + int(np.searchsorted(self.parent[first:], node, "right")))

    @cached_property
    def first_node(self) -> Int[np.ndarray, "I"]:
        """The first node of each information set."""
        decisions = np.flatnonzero(self.infoset >= 0)
        return decisions[np.unique(self.infoset[decisions], return_index=True)[1]]

    @cached_property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """The names of the actions at each information set."""
        starts = self.first_child[self.first_node]
        return tuple(self.moves[s : s + n] for s, n in zip(starts, self.num_actions))

    @cached_property
    def legal(self) -> Bool[np.ndarray, "I A"]:
        """Which entries of a policy are actions."""
        return np.arange(self.num_actions.max(initial=1)) < self.num_actions[:, None]

    @cached_property
    def exact_chance(self) -> Shaped[np.ndarray, "K"]:
        """`chance` in `Fraction`s. The probabilities of a node's moves add up to 1: the largest
        takes what rounding has left."""
        exact = self.written_chance.of(self.chance).copy()
        for k in np.flatnonzero(self.actor == CHANCE):
            moves = self.children(k)
            left = 1 - sum(exact[moves])
            if left:
                exact[moves.start + int(self.chance[moves].argmax())] += left
        return exact

    @cached_property
    def exact_payoffs(self) -> Shaped[np.ndarray, "Z N"]:
        """`payoffs` in `Fraction`s."""
        return self.written_payoffs.of(self.payoffs)

    def uniform(self) -> Float[np.ndarray, "I A"]:
        """The policy that takes each action equally often."""
        return self.legal / self.num_actions[:, None]

    def first_action(self) -> Float[np.ndarray, "I A"]:
        """The policy that always takes the first action."""
        return np.eye(1, self.legal.shape[1]).repeat(self.num_infosets, 0)

    def describe(
        self, policy: Float[np.ndarray, "I A"], player: int
    ) -> dict[str, dict[str, float]]:
        """A player's policy to read: `{what it knows: {action: probability}}`."""
        return {
            self.keys[s]: dict(zip(self.actions[s], policy[s].tolist()))
            for s in np.flatnonzero(self.owner == player)
        }


def extensive_form(rules: Rules, max_nodes: int = 4_000_000) -> ExtensiveForm:
    """Plays out every line of a game.

    Raises:
        UserError: the tree has more than `max_nodes` nodes; the probabilities of chance are no
            distribution; the actions differ within an information set; or a payoff is missing.
    """
    tree = _Tree(rules, max_nodes)
    frontier, depths = [rules.start()], [0]
    while frontier:
        depths.append(depths[-1] + len(frontier))
        frontier = [child for state in frontier for child in tree.visit(state, len(depths) - 1)]
    return tree.flatten(depths)


class _Tree:
    """The lists that the arrays are made of, in the order of the nodes."""

    def __init__(self, rules: Rules, max_nodes: int):
        self.rules, self.num_players, self.max_nodes = rules, len(rules.players), max_nodes
        self.parent, self.action, self.moves = [-1], [-1], [""]
        self.chance: list[Any] = [1.0]
        self.actor: list[int] = []
        self.infoset: list[int] = []
        self.payoffs: list[Sequence[Any]] = []
        self.numbers: dict[tuple[int, str], int] = {}
        self.offered: list[tuple[Hashable, ...]] = []

    def visit(self, state: Any, depth: int) -> list[Any]:
        """Notes a node and the moves from it; the states that they lead to, at `depth`."""
        rules, who = self.rules, self.rules.to_move(state)
        number = len(self.actor)
        self.actor.append(who)
        self.infoset.append(-1)
        if who == TERMINAL:
            self.payoffs.append(rules.returns(state))
            return []
        if who == CHANCE:
            moves, probs = self._chances(state, number)
        else:
            moves = rules.actions(state)
            probs = [1.0] * len(moves)
            self.infoset[number] = self._infoset(who, rules.sees(state), tuple(moves))
        self.parent += [number] * len(moves)
        self.action += range(len(moves))
        self.chance += probs
        self.moves += map(str, moves)
        if len(self.parent) > self.max_nodes:  # before the states are made: those fill the memory
            raise UserError(
                f"the tree of {rules.title or 'this game'} has more than {self.max_nodes} nodes at "
                f"depth {depth}: take a smaller game, or raise max_nodes"
            )
        return [rules.play(state, move) for move in moves]

    def _chances(self, state: Any, number: int) -> tuple[Sequence[Hashable], list[Any]]:
        outcomes = self.rules.chances(state)
        probs = [p for _, p in outcomes]
        if not (min(probs, default=-1) >= 0 and abs(sum(probs) - 1) <= TOLERANCE):
            raise UserError(
                f"the probabilities of chance at node {number} are {list(map(float, probs))}: "
                "not a distribution"
            )
        return [move for move, _ in outcomes], probs

    def _infoset(self, who: int, key: str, moves: tuple[Hashable, ...]) -> int:
        number = self.numbers.get((who, key), -1)
        if number < 0:
            self._check_new(who, key, moves)
            number = self.numbers[who, key] = len(self.offered)
            self.offered.append(moves)
        elif self.offered[number] != moves:
            names = [list(map(str, m)) for m in (self.offered[number], moves)]
            raise UserError(
                f"information set '{key}' of {self.rules.players[who]} has actions {names[0]} at "
                f"one node and {names[1]} at another: what a player knows must tell them apart"
            )
        return number

    def _check_new(self, who: int, key: str, moves: tuple[Hashable, ...]) -> None:
        require(0 <= who < self.num_players, f"player {who} acts, of {self.num_players} players")
        where = f"'{key}' of {self.rules.players[who]}"
        require(len(moves) > 0, f"information set {where} has no actions")
        require(len({*map(str, moves)}) == len(moves), f"an action of {where} is there twice")

    def flatten(self, depths: list[int]) -> ExtensiveForm:
        actor = np.array(self.actor)
        chance, written_chance = noted(exact_array(self.chance, "probability"))
        for gains in self.payoffs:
            if len(gains) != self.num_players or not all(map(math.isfinite, gains)):
                raise UserError(f"returns are {gains}, expected {self.num_players} finite numbers")
        payoffs, written_payoffs = noted(exact_array(self.payoffs))
        return ExtensiveForm(
            parent=np.array(self.parent),
            actor=actor,
            infoset=np.array(self.infoset),
            action=np.array(self.action),
            chance=chance,
            depths=np.array(depths),
            terminals=np.flatnonzero(actor == TERMINAL),
            payoffs=payoffs,
            owner=np.array([who for who, _ in self.numbers], np.int64),
            num_actions=np.array([len(m) for m in self.offered], np.int64),
            keys=tuple(key for _, key in self.numbers),
            moves=tuple(self.moves),
            players=tuple(self.rules.players),
            title=self.rules.title,
            written_chance=written_chance,
            written_payoffs=written_payoffs,
        )


def check_policy(game: ExtensiveForm, policy: Any) -> Float[np.ndarray, "I A"]:
    """The policy in float64.

    Raises:
        UserError: it does not have a distribution over the actions for every information set.
    """
    policy = np.asarray(policy, np.float64)
    shape = game.legal.shape
    require(
        policy.shape == shape,
        f"the policy has shape {list(policy.shape)}, expected {list(shape)}: "
        "information sets, most actions",
    )
    wrong = (np.where(game.legal, np.minimum(policy, 0), policy) != 0).any(1)
    wrong |= ~(np.abs(policy.sum(1) - 1) <= TOLERANCE * shape[1])  # so that NaN is wrong too
    if wrong.any():
        s = int(wrong.argmax())
        raise UserError(
            f"the policy at information set '{game.keys[s]}' of {game.players[game.owner[s]]} is "
            f"{policy[s].tolist()}, expected a distribution over {game.num_actions[s]} actions"
        )
    return policy
