"""`shoal solve` as a user runs it: what it prints, as text and as JSON, and what it refuses."""

import json
import re
import time

import numpy as np
import pytest

from shoal.cli.game_input import read_game
from shoal.cli.main import run
from shoal.cli.patience import still_at_work
from shoal.core.errors import UserError
from shoal.games import ExtensiveForm, NormalForm, classic, kuhn, write_efg, write_nfg


def solve(capsys, *words):
    assert run(["solve", *words]) == 0
    return capsys.readouterr().out


def solve_json(capsys, *words):
    out = solve(capsys, *words, "--json")
    assert out.count("\n") == 1
    return json.loads(out)


# GAME ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "payoffs"),
    [
        ("1 -1; -1 1", [[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]]),
        ("-1 1; 1 -1", [[[-1, 1], [1, -1]], [[1, -1], [-1, 1]]]),
        ("1,-1;-1,1", [[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]]),
        ("1, -1; -1, 1", [[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]]),
        ("3,3 0,5; 5,0 1,1", [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]),
        ("1/2,-0.5 1e1,-3", [[[0.5, 10]], [[-0.5, -3]]]),
        ("3, 3 0, 5; 5, 0 1, 1", [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]),
        ("3,3 0, 5 ;5 ,0 1 , 1", [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]),
        ("[[1, -1], [-1, 1]]", [[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]]),
        ("[[[3, 0], [5, 1]], [[3, 5], [0, 1]]]", [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]),
    ],
)
def test_payoffs_are_written_out_in_three_ways(text, payoffs):
    assert read_game(text).payoffs.tolist() == payoffs


def test_names_take_options():
    assert read_game("game/prisoners-dilemma").title == classic("prisoners_dilemma").title
    assert read_game("random(num_actions=[2, 3], seed=1)").num_actions == (2, 3)
    assert read_game("kuhn(players=3)").num_players == 3


def test_files_are_read(tmp_path):
    (tmp_path / "game.nfg").write_text(write_nfg(classic("chicken")))
    (tmp_path / "tree.EFG").write_text(write_efg(kuhn()))
    game, tree = read_game(str(tmp_path / "game.nfg")), read_game(str(tmp_path / "tree.EFG"))
    assert isinstance(game, NormalForm) and isinstance(tree, ExtensiveForm)
    assert np.array_equal(game.payoffs, classic("chicken").payoffs)
    assert tree.num_infosets == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prisoner", "unknown game 'prisoner': did you mean 'prisoners_dilemma'?"),
        ("1 2; 3", "row 2 of the matrix has 1 cells, row 1 has 2"),
        ("1,2,3 4,5", "cells of the matrix have [2, 3] numbers"),
        ("3,3, 0,5; 5,0, 1,1", "'3,3, 0,5' has commas with a blank and without"),
        ("3, 3 0; 5, 0 1", "cells of the matrix have [1, 2] numbers"),
        ("games/three.agg", "games/three.agg: action-graph games (.agg and .bagg) are not read"),
        ("three.BAGG", "are not read"),
        ("1 2; 3 1/0", "the matrix: 1/0 divides by zero"),
        ("[[1, 2], [3]]", "payoffs are ragged"),
        ("[[1, NaN], [1, 2]]", "payoff [0, 1] is nan"),
        ("[[1, 2]", "the list of payoffs is not JSON"),
        ("missing.nfg", "there is no file missing.nfg"),
        ("kuhn(playrs=3)", "unknown option of kuhn 'playrs': did you mean 'players'?"),
        ("kuhn(3)", "expected option=value"),
    ],
)
def test_what_is_no_game_is_said_so(text, said):
    with pytest.raises(UserError) as error:
        read_game(text)
    assert said in str(error.value)


def test_a_malformed_file_names_line_and_column(tmp_path, capsys):
    path = tmp_path / "bad.nfg"
    path.write_text('NFG 1 R "" { "a" "b" }\n{ 2 2 }\n1 2 3 x')
    assert run(["solve", str(path)]) == 2
    assert "bad.nfg, line 3, column 7" in capsys.readouterr().err


# Concepts --------------------------------------------------------------------------------------


def test_nash_is_printed_with_its_certificate(capsys):
    assert solve(capsys, "prisoners_dilemma") == (
        "prisoner's dilemma · 2 players · 2 x 2 actions\n"
        "             cooperate  defect\n"
        "  cooperate  3, 3       0, 5\n"
        "  defect     5, 0       1, 1\n"
        "\n"
        "nash: 1 answer, all there are (vertex enumeration)\n"
        "  1  payoffs 1, 1 · regret 0\n"
        "     player 1: defect\n"
        "     player 2: defect\n"
    )


def test_actions_have_the_same_words_everywhere(capsys):
    game = "3,2 0,0 2,1; 0,0 2,3 1,1"
    out = solve(capsys, game, "--concept", "correlated")
    assert "            action 1  action 2  action 3\n  action 1  3, 2 " in out
    assert out.endswith("     player 1: action 2, player 2: action 2   1\n")
    out = solve(capsys, game, "--concept", "iterated_elimination")
    assert "player 1: action 1, action 2\n" in out


def test_json_holds_game_method_and_answers(capsys):
    found = solve_json(capsys, "battle_of_the_sexes")
    assert found["game"]["actions"] == [["opera", "football"]] * 2
    assert (found["concept"], found["complete"]) == ("nash", True)
    assert len(found["answers"]) == 3
    assert all(a["regret"] < 1e-12 for a in found["answers"])


def test_exact_answers_are_fractions(capsys):
    found = solve_json(capsys, "2,1 0,0; 0,0 1,2", "--exact")
    mixed = next(a for a in found["answers"] if "1" not in a["profile"][0])
    assert mixed == {
        "profile": [["2/3", "1/3"], ["1/3", "2/3"]],
        "payoffs": ["2/3", "2/3"],
        "regret": "0",
    }


ENTRY = """EFG 2 R "entry" { "entrant" "incumbent" } ""
p "" 1 1 "" { "stay" "open" } 0
t "" 1 "" { 1, 3 }
p "" 2 1 "" { "fight" "share" } 0
t "" 2 "" { 0, 0 }
t "" 3 "" { 2, 1 }
"""


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "entry.efg"
    path.write_text(ENTRY)
    return str(path)


def test_answers_of_a_tree_are_told_in_its_actions(capsys, entry):
    """Who stays out is met by a fight in one half of all cases or more."""
    assert solve(capsys, entry).splitlines()[2:] == [
        "nash: 3 answers, all the extreme ones (vertex enumeration)",
        "  1  payoffs 1, 3 · regret 0",
        "     entrant: stay",
        "     incumbent: fight",
        "  2  payoffs 1, 3 · regret 0",
        "     entrant: stay",
        "     incumbent: 0.5 fight, 0.5 share",
        "  3  payoffs 2, 1 · regret 0",
        "     entrant: open",
        "     incumbent: share",
        "connected, mixtures of these answers may be equilibria too: 1, 2",
    ]
    found = solve_json(capsys, entry)
    assert found["plans"] == [["stay", "open"], ["fight", "share"]]
    assert found["answers"][0]["profile"] == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("concept", "line"),
    [
        ("pure", "     entrant: open"),
        ("stackelberg", "     incumbent: share"),
        ("pareto", "     entrant: stay"),
        ("logit", "     incumbent: 0."),
    ],
)
def test_every_concept_of_profiles_takes_a_tree(capsys, entry, concept, line):
    assert any(x.startswith(line) for x in solve(capsys, entry, "--concept", concept).splitlines())


def test_backward_induction_tells_the_threat_from_what_is_credible(capsys, entry):
    """The incumbent would share once it has come to that: 1 is more than 0."""
    out = solve(capsys, entry, "--concept", "subgame_perfect", "--exact")
    assert out.splitlines()[2:] == [
        "subgame-perfect: 1 answer, all there are (backward induction)",
        "  1  payoffs 2, 1 · one move regret 0",
        "     entrant at '1': open 1",
        "     incumbent at '1': share 1",
    ]
    (answer,) = solve_json(capsys, entry, "--concept", "subgame_perfect")["answers"]
    assert answer["policy"]["incumbent"] == {"1": {"fight": 0.0, "share": 1.0}}


def test_trees_that_forget_are_solved_as_tables(capsys, tmp_path):
    """Who cannot tell two crossings apart goes on at both (1) or at none (0)."""
    path = tmp_path / "driver.efg"
    path.write_text(
        """EFG 2 R "" { "ann" "bob" } p "" 1 1 "" { "on" "off" } 0
        p "" 1 1 "" 0 t "" 1 "" { 1 -1 } t "" 2 "" { 4 -4 } t "" 3 "" { 0 0 }"""
    )
    out = solve(capsys, str(path))
    assert "payoffs 1, -1 · regret 0" in out and "ann: on" in out and "recall: imperfect" in out
    assert run(["solve", str(path), "--concept", "cfr"]) == 2
    assert "imperfect recall" in capsys.readouterr().err


def test_exact_payoffs_are_as_they_were_written(capsys):
    found = solve_json(capsys, "1/3 0.1234567; 9007199254740993 0", "--exact")
    assert found["game"]["payoffs"][0] == [["1/3", "1234567/10000000"], ["9007199254740993", "0"]]
    assert "9007199254740993, -9007199254740993" in solve(
        capsys, "1/3 0.1234567; 9007199254740993 0", "--exact"
    )


def test_pure_ones_are_never_said_to_be_all(capsys):
    assert solve_json(capsys, "chicken", "--concept", "pure")["complete"] is False
    assert "2 answers, there may be more that are mixed" in solve(
        capsys, "chicken", "--concept", "pure"
    )


@pytest.mark.parametrize("words", [["0 1; -1 0"], ["kuhn"], ["0 0; 0 0", "--concept", "pareto"]])
def test_nothing_is_printed_as_negative_zero(capsys, words):
    out = solve(capsys, *words) + solve(capsys, *words, "--json")
    assert not re.search(r"-0(?![.\d])|-0\.0(?!\d)|e-[3-9]\d", out)


def test_long_work_is_heard_of(capsys):
    with still_at_work("a game", patience=0.05):
        time.sleep(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 4 and all("a game: at work for" in line for line in lines)
    with still_at_work("a game", patience=10.0):
        pass
    assert capsys.readouterr().err == ""


def test_exact_answers_of_a_zero_sum_tree_name_plans(capsys, tmp_path):
    path = tmp_path / "zero.efg"
    path.write_text(ENTRY.replace("1, 3", "1, -1").replace("2, 1", "2, -2"))
    out = solve(capsys, str(path), "--exact")
    assert "entrant: stay" in out and "incumbent: 1/2 fight, 1/2 share" in out


def test_components_of_a_degenerate_game_are_told(capsys):
    out = solve(capsys, "3,3 1,0; 3,3 0,1")
    assert (
        "2 answers, all the extreme ones" in out
        and "connected, mixtures of these answers may be equilibria too: 1, 2" in out
    )


NASH, RESIDUAL = {"regret": 1e-9}, {"residual": 1e-9}
# What is asked, how many answers there are, and the largest value of what certifies each.
CASES = {
    "pure": (["stag_hunt", "--concept", "pure"], 2, NASH),
    "three players": (["random(num_actions=[2,2,2], seed=3)"], 1, NASH),
    "correlated": (["chicken", "--concept", "correlated"], 1, NASH),
    "coarse": (["chicken", "--concept", "coarse", "--objective", "fairness"], 1, NASH),
    "stackelberg": (
        ["2,1 4,0; 1,0 3,1", "--concept", "stackelberg"],
        1,
        {"follower_regret": 1e-9, "leader_gap": 1e-9},
    ),
    "logit": (["chicken", "--concept", "logit", "--rationality", "2"], 1, RESIDUAL),
    "iterated_elimination": (
        ["prisoners_dilemma", "--concept", "iterated_elimination"],
        1,
        {"rounds": 1},
    ),
    "pareto": (["prisoners_dilemma", "--concept", "pareto"], 3, {"welfare": 6}),
    "ess": (["hawk_dove", "--concept", "ess"], 1, NASH),
    "alpha-rank": (["rock_paper_scissors", "--concept", "alpha_rank"], 1, RESIDUAL),
    "tree": (["kuhn"], 1, {"nash_conv": 1e-9}),
    "small tree": (["kuhn", "--concept", "cfr", "--iterations", "100"], 1, {"nash_conv": 0.01}),
}


@pytest.mark.parametrize(("words", "count", "largest"), CASES.values(), ids=CASES)
def test_every_concept_answers(capsys, words, count, largest):
    found = solve_json(capsys, *words)
    assert len(found["answers"]) == count
    for answer in found["answers"]:
        for key, bound in largest.items():
            assert answer[key] <= bound
    assert f" ({found['method']})" in solve(capsys, *words)


def test_figures_are_those_of_the_solvers(capsys):
    assert solve_json(capsys, *CASES["correlated"][0])["answers"][0]["welfare"] == pytest.approx(
        10.5
    )
    assert solve_json(capsys, *CASES["stackelberg"][0])["answers"][0]["payoffs"][
        0
    ] == pytest.approx(3.5)
    tree = solve_json(capsys, "kuhn")
    assert tree["answers"][0]["payoffs"] == pytest.approx([-1 / 18, 1 / 18])
    assert tree["answers"][0]["policy"]["player 1"]["1"]["pass"] == pytest.approx(1)
    shares = solve_json(capsys, *CASES["alpha-rank"][0])["answers"][0]["distribution"]
    assert np.ravel(shares) == pytest.approx(np.full(np.size(shares), 1 / np.size(shares)))
    pareto = solve_json(capsys, *CASES["pareto"][0])
    assert pareto["price_of_anarchy"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chicken", "--jsn"], "unknown option '--jsn': did you mean '--json'?"),
        (["chicken", "--concept", "nahs"], "unknown --concept 'nahs': did you mean 'nash'?"),
        (["chicken", "--concept", "cfr"], "cfr is for games in extensive form"),
        (["chicken", "--concept", "logit", "--exact"], "--exact is for nash, pure"),
        (["chicken", "--concept", "subgame_perfect"], "subgame_perfect is for games in extensive"),
        (["kuhn", "--concept", "subgame_perfect"], "backward induction takes perfect information"),
        (["kuhn", "--exact"], "is 400,000: without --exact, some are found"),
        (["kuhn(players=3)"], "(shoal solve: --concept cfr)"),
        (["random(num_actions=[2,2,2])", "--exact"], "--exact takes two players"),
        (["chicken", "--concept", "stackelberg", "--leader", "2"], "player 2 does not exist"),
        (["chicken", "--concept", "correlated", "--objective", "welfar"], "did you mean 'welfare'"),
        (["chicken", "--rationality", "-1"], "--rationality is -1.0, expected 0 or more"),
        (["leduc", "--concept", "correlated"], "sequence_form or cfr"),
        (["leduc", "--pictures", "{tmp}"], "the tree has 5520 leaves"),
        ([], "GAME is missing"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, words, said):
    assert run(["solve", *(word.replace("{tmp}", str(tmp_path)) for word in words)]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_pictures_are_written(capsys, tmp_path):
    found = solve_json(capsys, "chicken", "--pictures", str(tmp_path / "out"))
    assert len(found["pictures"]) >= 3
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "best_responses.png",
        "correlated.png",
        "pareto.png",
    }
