"""Gambit's files: written by hand, round trips, Gambit's own reading, and mistakes by place."""

import io
from pathlib import Path

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.policy_values import nash_conv, value
from shoal.games.extensive.tree import CHANCE
from shoal.games.gambit.efg import read_efg, write_efg
from shoal.games.gambit.nfg import read_nfg, write_nfg
from shoal.games.normal_form import NormalForm, expected_payoffs, regret

PAYOFFS = """NFG 1 R "Two by three" { "Ann" "Bob" } { 2 3 }
"a comment, with { braces }"
1 10  2 20  3/4 30
4. -40, .5 5e1  6 1/3
"""
LABELLED = """NFG 1 R "By outcomes" { "Ann" "Bob" }

{ { "up" "down" }
{ "left" "say \\"mid\\"" "right" }
}
""

{
{ "good" 2, 1 }
{ "" 1/2 -1 }
}
1 2 0 1 2 2
"""
# Both ways of paying before the end: the toll of 1 at node "go", and the end "stop" of no outcome.
TOLL = """EFG 2 R "toll" { "Ann" "Bob" }
"she may go, at a toll"
p "root" 1 1 "gate" { "go" "stop" } 0
c "weather" 1 "" { "sun" 1/3 "rain" 2/3 } 1 "toll" { -1 1/2 }
p "" 2 7 "seen nothing" { "wait" "leave" } 0
t "" 2 "met" { 5, 5 }
t "" 3 "missed" { 0.25, 0 }
p "" 2 7 0
t "" 2
t "" 3 "missed" { 0.25, 0 }
t "" 0
"""


def test_payoff_form_has_the_first_players_action_fastest() -> None:
    game = read_nfg(PAYOFFS)
    assert game.payoffs[0].tolist() == [[1, 0.75, 0.5], [2, 4, 6]]
    assert game.payoffs[1].tolist() == [[10, 30, 50], [20, -40, 1 / 3]]
    assert (game.title, game.players) == ("Two by three", ("Ann", "Bob"))


def test_outcome_form() -> None:
    game = read_nfg(LABELLED)
    assert game.actions == (("up", "down"), ("left", 'say "mid"', "right"))
    assert game.payoffs[0].tolist() == [[2, 0, 0.5], [0.5, 2, 0.5]]
    assert game.payoffs[1].tolist() == [[1, 0, -1], [-1, 1, -1]]


def test_three_players_of_gambits_2x2x2() -> None:
    """McKelvey and McLennan, in the order of the file: nine equilibria, of which two here."""
    text = """NFG 1 R "2x2x2" { "1" "2" "3" } { 2 2 2 }
    9 8 12  0 0 0  0 0 0  9 8 2  0 0 0  3 4 6  3 4 6  0 0 0"""
    game = read_nfg(text)
    mixed = [0.4, 0.5, 1 / 3]
    assert regret(game, [[p, 1 - p] for p in mixed]) == pytest.approx(0, abs=1e-9)
    assert regret(game, [[1, 0], [1, 0], [1, 0]]) == 0


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 2), (4,), (1, 1, 5)])
def test_round_trip_of_tables(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    payoffs = rng.integers(-9, 9, (len(shape), *shape)) / rng.integers(1, 7, (len(shape), *shape))
    payoffs.flat[0] = np.pi  # no simple fraction
    names = [[f'"{a}" of {i}' for a in range(n)] for i, n in enumerate(shape)]
    game = NormalForm(payoffs, actions=names, title='a "title"')
    (tmp_path / "game.nfg").write_text(write_nfg(game))
    for again in (read_nfg(write_nfg(game)), read_nfg(tmp_path / "game.nfg")):
        assert again.payoffs.tolist() == game.payoffs.tolist()
        assert (again.actions, again.players, again.title) == (
            game.actions,
            game.players,
            game.title,
        )


def test_payoffs_on_the_way_and_missing_outcomes() -> None:
    game = read_efg(TOLL)
    # By depth: stop ends first, with nothing paid; then met and missed, for sun and for rain.
    assert game.payoffs.tolist() == [[0, 0], [4, 5.5], [-0.75, 0.5], [4, 5.5], [-0.75, 0.5]]
    assert game.actor.tolist()[:2] == [0, CHANCE] and game.num_infosets == 2
    assert game.keys == ("gate", "seen nothing") and game.moves[1:3] == ("go", "stop")
    assert value(game, [[0.5, 0.5], [1, 0]]).tolist() == [2, 2.75]
    assert game.chance[3:5].tolist() == [1 / 3, 2 / 3]


@pytest.mark.parametrize(
    "build",
    [kuhn, lambda: kuhn(3), lambda: goofspiel(3, "random"), goofspiel, lambda: read_efg(TOLL)],
    ids=["kuhn", "kuhn of 3", "goofspiel, random order", "goofspiel of 4", "toll"],
)
def test_round_trip_of_trees(build) -> None:
    game = build()
    again = read_efg(write_efg(game))
    for name in ("parent", "actor", "infoset", "action", "chance", "payoffs", "owner", "depths"):
        assert getattr(again, name).tolist() == getattr(game, name).tolist(), name
    assert (again.keys, again.moves, again.players, again.title) == (
        game.keys,
        game.moves,
        game.players,
        game.title,
    )


@pytest.mark.parametrize("text", [PAYOFFS, LABELLED], ids=["payoffs", "outcomes"])
def test_gambit_reads_tables_alike(text: str) -> None:
    gbt = pytest.importorskip("pygambit")
    game = read_nfg(text)
    again = gbt.read_nfg(io.StringIO(write_nfg(game)))
    theirs = [np.array(x, float) for x in again.to_arrays(dtype=float)]
    assert np.stack(theirs).tolist() == game.payoffs.tolist()
    # Gambit knows no 5e1, no bare 4. and no commas there; and makes no arrays with an outcome 0.
    peer = gbt.read_nfg(io.StringIO(text.replace("4. -40, .5 5e1", "4 -40 0.5 50")))
    mixed = [np.arange(1, n + 1) / np.arange(1, n + 1).sum() for n in game.num_actions]
    profile = peer.mixed_strategy_profile([x.tolist() for x in mixed])
    want = [float(profile.payoff(player)) for player in peer.players]
    assert expected_payoffs(game, mixed) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("build", [kuhn, lambda: read_efg(TOLL)], ids=["kuhn", "toll"])
def test_gambit_reads_trees_alike(build) -> None:
    gbt = pytest.importorskip("pygambit")
    game = build()
    peer = gbt.read_efg(io.StringIO(write_efg(game)))
    uniform = peer.mixed_behavior_profile()
    want = [float(uniform.payoff(player)) for player in peer.players]
    assert value(game, game.uniform()) == pytest.approx(want, abs=1e-12)
    assert len(peer.infosets) == game.num_infosets and nash_conv(game, game.uniform()) > 0


@pytest.mark.parametrize("name", ["kuhn_poker", "tiny_hanabi"])
def test_what_openspiel_exports_is_read(name: str) -> None:
    """Its nodes have names, its information sets none; its worth is what it says itself."""
    pyspiel = pytest.importorskip("pyspiel")
    gambit = pytest.importorskip("open_spiel.python.algorithms.gambit")
    peer = pyspiel.load_game(name)
    game = read_efg(gambit.export_gambit(peer))
    want = pyspiel.nash_conv(peer, pyspiel.UniformRandomPolicy(peer))
    assert nash_conv(game, game.uniform()) == pytest.approx(want, abs=1e-12)


HEAD = 'NFG 1 R "" { "a" "b" } { 2 1 } '
TREE = 'EFG 2 R "" { "a" "b" }\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "1 2 3", "line 1, column 37: expected 4 payoffs, found the end"),
        (HEAD + "1 2 3 4 5", "column 40: expected the end after 2 action profiles, found 5"),
        (HEAD + "1 2 3 x", "column 38: expected 4 payoffs, found x"),
        (HEAD + "1 2\n 3 1/0", "line 2, column 4: 1/0 divides by zero"),
        (HEAD + "1 2 $", r"column 36: a stray '\$'"),
        (HEAD + '"open', "column 32: a quote that does not end"),
        (HEAD + '{ { "x" 1 2 } } 1 2', "column 50: there is no outcome 2, they are 1 to 1"),
        (HEAD + '{ { "x" 1 } } 1 1', "1 payoffs, expected 2"),
        ('NFG 2 R "" { "a" } { 1 } 1', "version 2 of NFG files, expected 1"),
        ('NFG 1 R "" { "a" "b" } { 2 } 1 2', "actions of 1 players, expected 2"),
        ('NFG 1 R "" { "a" } { 1.5 } 1', "a whole number, found 1.5"),
        ('NFG 1 R "" { } { } ', "there are no players"),
        (TREE + 't "" 1', "line 2, column 6: the payoffs of outcome 1 are missing"),
        (TREE + 't "" 1 "" { 1 }', "1 payoffs, expected 2"),
        (TREE + 't "" 0 "" { 1 2 }', "line 2, column 6: outcome 0 had other payoffs before"),
        (TREE + 'p "" 1 1 0', "line 2, column 10: the moves of an information set are missing"),
        (TREE + 'p "" 3 1 "" { "x" } 0', "column 6: no player 3: they are 1 to 2"),
        (TREE + 'p "" 1 1 "" { "x" } 0', "column 22: expected a node: c, p or t, found the end"),
        (TREE + 'c "" 1 "" { "x" 1/2 } 0 t "" 0', "probabilities add up to 0.5, expected 1"),
        (TREE + 'q "" 0', "expected a node, c, p or t, found q"),
        (TREE + 't "" 0 t "" 0', "column 8: expected the end of the tree, found t"),
        (
            TREE + 'p "" 1 1 "" { "x" } 0\np "" 1 1 "" { "y" } 0 t "" 0',
            "line 3, column 13: information set 1 had other moves before",
        ),
        ("no/such.nfg", "there is no file 'no/such.nfg'"),
    ],
)
def test_mistakes_are_placed(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        (read_efg if text.startswith("EFG") else read_nfg)(text)


@pytest.mark.parametrize("name", ["a\\", '\\"', 'say "a\\"', "C:\\new", "\\\\", "Café", "日本"])
def test_names_of_any_letters_come_back(name: str) -> None:
    game = NormalForm.zero_sum(np.eye(2), actions=[[name, "b"], ["c", "d"]], title=name)
    again = read_nfg(write_nfg(game))
    assert (again.actions, again.title) == (game.actions, name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_files_of_other_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "game.nfg"
    path.write_bytes('NFG 1 R "Café" { "a" "b" } { 1 2 } 2 0  1 1'.encode(encoding))
    assert read_nfg(path).title == "Café"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{ 1 1 } 1e400 0', ": 1e400 is out of range"),
        ('{ 1 1 } 1e999999999 0', "is out of range"),
        ('{ 1 1 } 1e-999999999 0', "is out of range"),
        (f'{{ 1 1 }} {"9" * 5000} 0', "has more than 1000 digits"),
        ("{ 900000000000 2 } 1 0", "900,000,000,000 actions of one player"),
        ("{ 90000 90000 } 1 0", "8,100,000,000 action profiles of 2 players"),
        ("{ 1 1 } 1/0 0", "1/0 divides by zero"),
    ],
)  # fmt: skip
def test_numbers_that_no_memory_holds_are_refused_at_their_place(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        read_nfg(f'NFG 1 R "t" {{ "a" "b" }} {text}')
    assert said in str(error.value) and "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "game.nfg", np.random.default_rng(0)
    for _ in range(50):
        path.write_bytes(b"NFG 1 R " + rng.bytes(200))
        with pytest.raises(UserError, match=r"game\.nfg, line"):
            read_nfg(path)
