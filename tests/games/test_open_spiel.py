"""OpenSpiel's games and policies here and there: each library judges what the other one made."""

import importlib
from collections.abc import Callable

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games import open_spiel
from shoal.games.classic import rock_paper_scissors
from shoal.games.extensive.cfr import cfr
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.policy_values import nash_conv, value
from shoal.games.extensive.sequence_form import sequence_form
from shoal.games.extensive.tree import CHANCE, ExtensiveForm
from shoal.games.gambit.efg import read_efg
from shoal.games.normal_form import NormalForm
from shoal.games.open_spiel import (
    from_open_spiel,
    policy_from_open_spiel,
    policy_to_open_spiel,
    to_open_spiel,
)

pyspiel = pytest.importorskip("pyspiel")
exploit = pytest.importorskip("open_spiel.python.algorithms.exploitability")
python_cfr = pytest.importorskip("open_spiel.python.algorithms.cfr")
policies = pytest.importorskip("open_spiel.python.policy")

GOOFSPIEL = "goofspiel(imp_info=true,num_cards=3,points_order=random)"
# Odds that no fraction of 32 bits is, quotes in names, moves in another order at the second node.
ODD = """EFG 2 R "odd" { "ann" "bob" }
c "" 1 "" { "sun" 0.1234567890123457 "rain" 0.8765432109876543 } 0
p "" 1 1 "dry, \\"says\\" she" { "stay" "go" } 0
t "" 1 "" { 1/3, 1e-7 }
p "" 2 1 "left" { "wait" } 0
t "" 2 "" { -123456789.123, 5 }
p "" 1 2 "wet" { "go" "stay" } 0
t "" 3 "" { 7, 0 }
t "" 4 "" { 0, 8 }
"""


@pytest.mark.parametrize(
    ("name", "payoffs", "actions"),
    [
        ("matrix_rps", [[0, -1, 1], [1, 0, -1], [-1, 1, 0]], ("Rock", "Paper", "Scissors")),
        ("matrix_pd", [[5, 0], [10, 1]], ("Cooperate", "Defect")),
        # The third wants to differ from the first, the others to match the next one.
        ("matching_pennies_3p", [[[1, 1], [-1, -1]], [[-1, -1], [1, 1]]], ("Heads", "Tails")),
    ],
)
def test_tables_from_openspiel(name: str, payoffs: list, actions: tuple[str, ...]) -> None:
    game = from_open_spiel(name)
    assert isinstance(game, NormalForm)
    assert game.payoffs[0].tolist() == payoffs
    assert game.actions == (actions,) * game.num_players
    assert game.title == pyspiel.load_game(name).get_type().long_name


def test_blotto_is_symmetric_and_zero_sum() -> None:
    game = from_open_spiel("blotto")
    assert game.num_actions == (66, 66)  # 10 coins on 3 fields
    assert game.payoffs[1].tolist() == (-game.payoffs[0]).tolist()
    assert game.payoffs[1].tolist() == game.payoffs[0].T.tolist()
    assert game.actions[0][:2] == ("[0,0,10]", "[0,1,9]")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 2), (4,)])
def test_tables_there_and_back(shape: tuple[int, ...]) -> None:
    payoffs = np.random.default_rng(0).normal(size=(len(shape), *shape))
    names = [[f"{'abcd'[a]} of {i}" for a in range(n)] for i, n in enumerate(shape)]
    game = NormalForm(payoffs, actions=names, title="A game, of names")
    peer = to_open_spiel(game)
    assert isinstance(peer, pyspiel.MatrixGame if len(shape) == 2 else pyspiel.TensorGame)
    for actions in np.ndindex(shape):
        ends = peer.new_initial_state()
        ends.apply_actions(list(actions))
        assert ends.returns() == payoffs[:, *actions].tolist()
    again = from_open_spiel(peer)
    assert again.payoffs.tolist() == payoffs.tolist()
    assert (again.actions, again.title) == (game.actions, game.title)


def test_a_zero_sum_table_is_one_there() -> None:
    peer = to_open_spiel(rock_paper_scissors())
    assert peer.get_type().utility == pyspiel.GameType.Utility.ZERO_SUM


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (kuhn, "kuhn_poker"),
        (lambda: kuhn(3), "kuhn_poker(players=3)"),
        (kuhn, "python_kuhn_poker"),
        (leduc, "leduc_poker"),
        (lambda: goofspiel(3, "random"), GOOFSPIEL),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_trees_are_the_same_games(ours: Callable[[], ExtensiveForm], name: str) -> None:
    """Two authors' rules of one game: of equal sizes, and of equal worth to CFR."""
    game, theirs = ours(), from_open_spiel(name)
    assert isinstance(theirs, ExtensiveForm)
    assert theirs.num_infosets == game.num_infosets and theirs.num_players == game.num_players
    if name != GOOFSPIEL:  # where OpenSpiel plays out the last trick
        assert theirs.num_nodes == game.num_nodes
    assert value(theirs, theirs.uniform()) == pytest.approx(value(game, game.uniform()), abs=1e-12)
    gaps = [cfr(g, 20, report=[1, 5, 20]).nash_conv for g in (game, theirs)]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-9)


@pytest.mark.parametrize("name", ["kuhn_poker", "kuhn_poker(players=3)", "leduc_poker", GOOFSPIEL])
def test_openspiel_judges_our_policies(name: str) -> None:
    tree = from_open_spiel(name)
    found = cfr(tree, 50, "cfr+")
    table = policy_to_open_spiel(tree, found.policy, name)
    assert exploit.nash_conv(table.game, table) == pytest.approx(found.nash_conv[-1], abs=1e-12)
    assert policy_from_open_spiel(tree, table) == pytest.approx(found.policy, abs=0)


def test_our_iterations_are_those_of_openspiel() -> None:
    """All policies alike, not only their worth; and the C++ solver's worth on a larger game."""
    tree, peer = from_open_spiel("kuhn_poker"), pyspiel.load_game("kuhn_poker")
    solver = python_cfr.CFRSolver(peer)
    for _ in range(30):
        solver.evaluate_and_update_policy()
    policy = policy_from_open_spiel(tree, solver.average_policy())
    assert cfr(tree, 30).policy == pytest.approx(policy, abs=1e-12)
    peer = pyspiel.load_game("leduc_poker")
    solver = pyspiel.CFRSolver(peer)
    for _ in range(10):
        solver.evaluate_and_update_policy()
    gap = pyspiel.nash_conv(peer, solver.average_policy())
    assert cfr(from_open_spiel(peer), 10).nash_conv[-1] == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("build", [kuhn, lambda: kuhn(3), leduc, lambda: read_efg(ODD)])
def test_trees_there_and_back(build: Callable[[], ExtensiveForm]) -> None:
    game = build()
    peer = to_open_spiel(game)
    again = from_open_spiel(peer)
    for name in ("parent", "actor", "infoset", "action", "payoffs", "owner", "num_actions"):
        assert getattr(again, name).tolist() == getattr(game, name).tolist(), name
    assert again.chance == pytest.approx(game.chance, abs=1e-16) and again.moves == game.moves
    for key, before, player in zip(again.keys, game.keys, game.owner):
        assert key.startswith(f"{player}-{player}-") and key.endswith(before.replace('"', "'"))
    policy = np.random.default_rng(0).random(game.legal.shape) * game.legal
    policy /= policy.sum(1, keepdims=True)
    table = policy_to_open_spiel(again, policy, peer)
    want = exploit.nash_conv(peer, table)
    assert nash_conv(game, policy) == pytest.approx(want, abs=1e-12 * np.abs(game.payoffs).max())


def test_moves_of_equal_names_are_told_apart() -> None:
    """Two outcomes of chance of one name would be one move to OpenSpiel, with another value."""
    text = 'EFG 2 R "" { "a" "b" } c "" 1 "" { "x" 1/4 "x" 3/4 } 0 t "" 1 "" { 4 0 } t "" 0'
    game = read_efg(text)
    twice = ExtensiveForm(**{**vars(game), "moves": ("", "x", "x")})
    again = from_open_spiel(to_open_spiel(twice))
    assert again.actor[0] == CHANCE and value(again, np.zeros((0, 1))).tolist() == [1, 0]


def test_perfect_information_and_players_without_a_choice() -> None:
    """Pig has no strings of information states; in the auction, a value of 1 leaves one bid."""
    pig = from_open_spiel("pig(winscore=3,horizon=6)")
    assert pig.num_infosets == (pig.actor >= 0).sum()  # all see all
    auction = from_open_spiel("first_sealed_auction(max_value=3)")
    assert sorted(auction.num_actions) == [1, 1, 2, 2, 3, 3]
    for game in (pig, auction):
        assert nash_conv(game, cfr(game, 200).policy) < 0.02 < nash_conv(game, game.uniform())


def test_nim_is_won_by_who_leaves_even_piles() -> None:
    """1, 2 and 3 add up to 0 without carries: the second player wins, as with any such piles."""
    solved = sequence_form(from_open_spiel("nim(pile_sizes=1;2;3)"))
    assert solved.value == pytest.approx([-1, 1]) and solved.nash_conv == pytest.approx(0)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: from_open_spiel("kuhn_pker"), "game of OpenSpiel 'kuhn_pker': did you mean 'kuhn"),
        (lambda: from_open_spiel("kuhn_poker(cards=3)"), "Unknown parameter 'cards'"),
        (lambda: from_open_spiel("mfg_garnet"), "is a mean-field game"),
        (lambda: from_open_spiel("negotiation"), "draws its moves of chance as it goes"),
        (lambda: from_open_spiel("hanabi"), "has no strings of information states"),
        (lambda: from_open_spiel("chess", 5_000), r"chess\(\) has more than 5000 nodes at depth 3"),
        (lambda: from_open_spiel("tic_tac_toe", 9_000), "more than 9000 nodes at depth 5"),
        (lambda: from_open_spiel("blotto", 8_000), "has 8712 payoffs, the limit is 8000"),
        (lambda: from_open_spiel(3), "a pyspiel.Game or the name of one, not int"),
        (lambda: policy_to_open_spiel(kuhn(), kuhn().uniform(), "kuhn_poker"), "no information"),
        (lambda: policy_to_open_spiel(*_kuhn_policy(), "kuhn_poker(players=3)"), "no information"),
    ],
)
def test_mistakes_are_named(build: Callable, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        build()
    assert "\n" not in str(error.value)


def test_where_openspiel_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(open_spiel.importlib, "import_module", missing)
    for call in (lambda: from_open_spiel("kuhn_poker"), lambda: to_open_spiel(kuhn())):
        with pytest.raises(UserError, match=r"pip install 'shoal\[open_spiel\]'"):
            call()
    monkeypatch.undo()
    assert importlib.import_module("pyspiel") is pyspiel


def _kuhn_policy() -> tuple[ExtensiveForm, np.ndarray]:
    tree = from_open_spiel("kuhn_poker")
    return tree, tree.uniform()
