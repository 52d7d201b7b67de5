"""OpenSpiel's games here, and games of here in OpenSpiel; policies of both too.

Games of one simultaneous move become tables, all others trees; those with simultaneous moves go
through OpenSpiel's own turn-based form. Lanctot et al., OpenSpiel: a framework for reinforcement
learning in games (2019), arXiv:1908.09453.
"""

import importlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

from shoal.core.errors import UserError, in_a_line, optional, require, unknown
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm, check_policy, extensive_form
from shoal.games.gambit.efg import write_efg
from shoal.games.gambit.tokens import unique_names
from shoal.games.normal_form import NormalForm


def from_open_spiel(game: Any, max_nodes: int = 1_000_000) -> NormalForm | ExtensiveForm:
    """A game of OpenSpiel's.

    Args:
        game: a `pyspiel.Game`, or what `pyspiel.load_game` takes: `"kuhn_poker(players=3)"`.
        max_nodes: the most nodes of a tree, or payoffs of a table.

    Returns:
        A `NormalForm` where everybody moves once, at the same time, and an `ExtensiveForm`
        elsewhere. Actions are in OpenSpiel's order; information sets have the names of its
        information states.

    Raises:
        UserError: OpenSpiel is not installed, or does not know the game; the game is larger than
            that, or a mean-field one, or draws its moves of chance as it goes, or does not say
            what its players know.

    >>> from_open_spiel("kuhn_poker").num_infosets  # doctest: +SKIP
    12
    """
    peer = _load(game)
    kind = peer.get_type()
    if kind.information == kind.Information.ONE_SHOT and _moves_at_once(peer):
        return _table(peer, max_nodes)
    return extensive_form(_rules(_turn_based(peer)), max_nodes)


def to_open_spiel(game: NormalForm | ExtensiveForm) -> Any:
    """A game as a `pyspiel.Game`: a `MatrixGame` of two players' table, a `TensorGame` of others',
    OpenSpiel's `efg_game` of a tree. Titles of trees are lost there, and each information set is
    called `player-player-number-name`.

    Raises:
        UserError: OpenSpiel is not installed, or refuses the game.

    >>> to_open_spiel(NormalForm.zero_sum([[1, -1], [-1, 1]])).num_rows()  # doctest: +SKIP
    2
    """
    pyspiel = _pyspiel()
    try:
        if isinstance(game, NormalForm):
            return _to_tensor(pyspiel, game)
        return _to_tree(pyspiel, game)
    except pyspiel.SpielError as error:
        why = in_a_line(error, named=False)
        raise UserError(f"OpenSpiel does not take this game: {why}") from error


def policy_to_open_spiel(tree: ExtensiveForm, policy: Any, game: Any) -> Any:
    """A policy `[I, A]` of `from_open_spiel(game)` as a `TabularPolicy` of OpenSpiel's Python; of
    the turn-based form where moves of `game` are simultaneous.

    Raises:
        UserError: OpenSpiel is not installed; the policy is none of the tree's, or the tree is not
            that of the game.
    """
    policy = check_policy(tree, policy)
    table = _policies().TabularPolicy(_turn_based(_load(game)))
    for row, (s, actions) in zip(table.action_probability_array, _rows(tree, table)):
        row[:] = 0
        row[actions] = policy[s, : len(actions)]
    return table


def policy_from_open_spiel(tree: ExtensiveForm, policy: Any) -> Float[np.ndarray, "I A"]:
    """A policy of OpenSpiel's Python, `[I, A]` over the `tree` of its game, which should be one of
    moves in turn.

    Raises:
        UserError: OpenSpiel is not installed, or the tree is not that of the policy's game.
    """
    _policies()
    table = policy.to_tabular()
    out = np.zeros(tree.legal.shape)
    for row, (s, actions) in zip(table.action_probability_array, _rows(tree, table)):
        out[s, : len(actions)] = row[actions]
    return check_policy(tree, out)


@dataclass(frozen=True)
class _Move:
    """A move of OpenSpiel's: the number is what it is, the name how it reads."""

    number: int
    name: str = field(compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class _Rules:
    """The rules of a `pyspiel.Game` of moves in turn; states are `pyspiel.State`s."""

    game: Any
    title: str
    players: tuple[str, ...]
    told: bool
    """Whether there are strings of information states. If not, all see all moves."""

    def start(self) -> Any:
        return self.game.new_initial_state()

    def to_move(self, state: Any) -> int:
        if state.is_terminal():
            return TERMINAL
        return CHANCE if state.is_chance_node() else state.current_player()

    def chances(self, state: Any) -> Sequence[tuple[_Move, float]]:
        outcomes = state.chance_outcomes()
        moves = _named(state, [number for number, _ in outcomes])
        return [(move, float(probs)) for move, (_, probs) in zip(moves, outcomes)]

    def actions(self, state: Any) -> Sequence[_Move]:
        return _named(state, state.legal_actions())

    def play(self, state: Any, move: _Move) -> Any:
        return state.child(move.number)

    def sees(self, state: Any) -> str:
        if not self.told:
            return state.history_str()
        return state.information_state_string(state.current_player())

    def returns(self, state: Any) -> Sequence[float]:
        return list(state.returns())


def _named(state: Any, numbers: Sequence[int]) -> list[_Move]:
    names = [state.action_to_string(number) for number in numbers]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in zip(numbers, names)]
    return [_Move(number, name) for number, name in zip(numbers, names)]


def _rules(game: Any) -> _Rules:
    kind, title = game.get_type(), str(game)
    require(
        kind.chance_mode != kind.ChanceMode.SAMPLED_STOCHASTIC,
        f"{title} draws its moves of chance as it goes: a tree needs their probabilities",
    )
    told = kind.provides_information_state_string
    require(
        told or kind.information == kind.Information.PERFECT_INFORMATION,
        f"{title} has no strings of information states: a tree needs to know what players know",
    )
    players = tuple(f"player {i + 1}" for i in range(game.num_players()))
    return _Rules(game, title, players, told)


def _table(game: Any, max_entries: int) -> NormalForm:
    """The table of a game of one simultaneous move."""
    state, num_players = game.new_initial_state(), game.num_players()
    legal = [state.legal_actions(i) for i in range(num_players)]
    shape = tuple(map(len, legal))
    require(
        num_players * math.prod(shape) <= max_entries,
        f"{game} has {num_players * math.prod(shape)} payoffs, the limit is {max_entries}",
    )
    payoffs = np.empty((math.prod(shape), num_players))
    for row, joint in zip(payoffs, product(*legal)):
        end = state.clone()
        end.apply_actions(list(joint))
        row[:] = end.returns()
    names = [
        unique_names([state.action_to_string(i, a) for a in legal[i]]) for i in range(num_players)
    ]
    title = game.get_type().long_name
    return NormalForm(payoffs.T.reshape(num_players, *shape), actions=names, title=title)


def _to_tensor(pyspiel: Any, game: NormalForm) -> Any:
    short = re.sub(r"\W+", "_", game.title.lower()).strip("_") or "game"
    names = [list(actions) for actions in game.actions]
    payoffs = np.asarray(game.payoffs, np.float64)
    if game.num_players == 2:
        return pyspiel.create_matrix_game(short, game.title, *names, *payoffs.tolist())
    flat = payoffs.reshape(game.num_players, -1).tolist()
    return pyspiel.create_tensor_game(short, game.title, names, flat)


def _to_tree(pyspiel: Any, game: ExtensiveForm) -> Any:
    """Through Gambit's format. OpenSpiel's reader has 32-bit fractions and no quotes in names."""
    return pyspiel.load_efg_game(write_efg(game, decimals=True).replace('\\"', "'"))


def _rows(tree: ExtensiveForm, table: Any) -> list[tuple[int, list[int]]]:
    """Where the rows of a `TabularPolicy` are in the tree, and their actions."""
    place = {at: s for s, at in enumerate(zip(tree.owner.tolist(), tree.keys))}
    out = []
    for player, keys in enumerate(table.states_per_player):
        for key in keys:
            actions = np.flatnonzero(table.legal_actions_mask[table.state_lookup[key]]).tolist()
            s = place.get((player, key), -1)
            if s < 0 or tree.num_actions[s] != len(actions):
                raise UserError(
                    f"the tree has no information set {key!r} of {len(actions)} actions of player "
                    f"{player + 1}: make it by from_open_spiel of the game in question"
                )
            out.append((s, actions))
    require(
        len(out) == tree.num_infosets,
        f"the tree has {tree.num_infosets} information sets, OpenSpiel's game has {len(out)}",
    )
    return out


def _load(game: Any) -> Any:
    """A game by its name, if it is one."""
    pyspiel = _pyspiel()
    if isinstance(game, str):
        if game.startswith("python_"):  # those register themselves
            importlib.import_module("open_spiel.python.games")
        short = game.partition("(")[0]
        if short not in pyspiel.registered_names():
            raise unknown("game of OpenSpiel", short, pyspiel.registered_names())
        try:
            game = pyspiel.load_game(game)
        except pyspiel.SpielError as error:
            why = in_a_line(error, named=False)
            raise UserError(f"OpenSpiel does not load '{game}': {why}") from error
    require(
        isinstance(game, pyspiel.Game),
        f"expected a pyspiel.Game or the name of one, not {type(game).__name__}",
    )
    kind = game.get_type()
    require(
        kind.dynamics != kind.Dynamics.MEAN_FIELD,
        f"{game} is a mean-field game, of a population: it has no tree",
    )
    return game


def _turn_based(game: Any) -> Any:
    return _pyspiel().convert_to_turn_based(game) if _moves_at_once(game) else game


def _moves_at_once(game: Any) -> bool:
    return game.get_type().dynamics == game.get_type().Dynamics.SIMULTANEOUS


def _pyspiel() -> Any:
    return optional("pyspiel", "OpenSpiel", "open_spiel")


def _policies() -> Any:
    """OpenSpiel's Python module of policies."""
    _pyspiel()
    return importlib.import_module("open_spiel.python.policy")
