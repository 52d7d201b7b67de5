"""The least of trees, where loops and sums are empty; and recall, of which all solvers ask."""

from collections.abc import Callable

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.extensive.cfr import VARIANTS, cfr
from shoal.games.extensive.policy_values import best_response, exploitability, nash_conv, value
from shoal.games.extensive.reduced_form import to_normal_form
from shoal.games.extensive.sequence_form import sequence_form
from shoal.games.extensive.tree import CHANCE, ExtensiveForm
from shoal.games.gambit.efg import read_efg, write_efg

END = 'EFG 2 R "" { "ann" "bob" } t "" 1 "" { 3 -3 }'
CHANCE_ALONE = """EFG 2 R "" { "ann" "bob" }
c "" 1 "" { "a" 1/4 "b" 3/4 } 0 t "" 1 "" { 4 -4 } t "" 2 "" { 0 0 }"""
# Ann chooses between 1 and 2; Bob has no move.
ONE_CHOICE = """EFG 2 R "" { "ann" "bob" }
p "" 1 1 "ann" { "one" "two" } 0 t "" 1 "" { 1 -1 } t "" 2 "" { 2 -2 }"""
# Bob's only action, then Ann's choice; then Bob's only action again.
FORCED = """EFG 2 R "" { "ann" "bob" }
p "" 2 1 "first" { "go" } 0 p "" 1 1 "ann" { "one" "two" } 0
p "" 2 2 "again" { "on" } 0 t "" 1 "" { 1 -1 } t "" 2 "" { 2 -2 }"""
# A single player, who sees the weather: 1/4 * 8 + 3/4 * 4 is 5.
ALONE = """EFG 2 R "" { "ann" } c "" 1 "" { "sun" 1/4 "rain" 3/4 } 0
p "" 1 1 "sun" { "out" "in" } 0 t "" 1 "" { 8 } t "" 2 "" { 1 }
p "" 1 2 "rain" { "out" "in" } 0 t "" 3 "" { 0 } t "" 4 "" { 4 }"""
# Ann, who cannot tell her two nodes apart: at the second she has forgotten that she moved.
DRIVER = """EFG 2 R "" { "ann" "bob" } p "" 1 1 "crossing" { "on" "off" } 0
p "" 1 1 "crossing" 0 t "" 1 "" { 1 -1 } t "" 2 "" { 4 -4 } t "" 3 "" { 0 0 }"""
# She knows the weather when she wakes, and not when she leaves.
FORGETFUL = """EFG 2 R "" { "ann" "bob" } c "" 1 "" { "sun" 1/2 "rain" 1/2 } 0
p "" 1 1 "sun" { "up" } 0 p "" 1 3 "door" { "out" "in" } 0 t "" 1 "" { 1 -1 } t "" 2 "" { 0 0 }
p "" 1 2 "rain" { "up" } 0 p "" 1 3 "door" 0 t "" 2 t "" 1"""


@pytest.mark.parametrize(
    ("text", "worth"),
    [(END, 3.0), (CHANCE_ALONE, 1.0), (ONE_CHOICE, 2.0), (FORCED, 2.0), (ALONE, 5.0)],
    ids=["end", "chance alone", "one choice", "forced", "alone"],
)
class TestSmallTrees:
    def test_solvers(self, text: str, worth: float) -> None:
        """All find what the first player gets; the best of a player alone too."""
        game = read_efg(text)
        want = [worth, -worth][: game.num_players]
        for variant in VARIANTS:
            found = cfr(game, 400, variant)
            assert found.nash_conv[-1] == pytest.approx(0, abs=0.02)
            assert value(game, found.policy) == pytest.approx(want, abs=0.02)
        if game.num_players == 2:
            solved = sequence_form(game)
            assert solved.value == pytest.approx(want) and solved.nash_conv == pytest.approx(0)
        table = to_normal_form(game)
        assert table.payoffs[0].max() == pytest.approx(worth)

    def test_best_responses(self, text: str, worth: float) -> None:
        game = read_efg(text)
        uniform = game.uniform()
        best = best_response(game, uniform, 0)
        assert best.value == pytest.approx(worth)
        assert nash_conv(game, best.policy) == pytest.approx(0, abs=1e-12)
        assert nash_conv(game, uniform) == pytest.approx(worth - value(game, uniform)[0])
        assert exploitability(game, uniform) == nash_conv(game, uniform) / game.num_players

    def test_files(self, text: str, worth: float) -> None:
        game = read_efg(text)
        again = read_efg(write_efg(game))
        assert value(again, again.uniform()).tolist() == value(game, game.uniform()).tolist()
        assert again.actor.tolist() == game.actor.tolist() and worth > 0


@pytest.mark.parametrize("text", [DRIVER, FORGETFUL], ids=["driver", "forgetful"])
@pytest.mark.parametrize(
    "solve",
    [
        lambda game: nash_conv(game, game.uniform()),
        lambda game: best_response(game, game.uniform(), 1),
        lambda game: cfr(game, 10),
        lambda game: cfr(game, 10, "mccfr"),
        sequence_form,
    ],
    ids=["nash_conv", "best_response", "cfr", "mccfr", "sequence_form"],
)
def test_who_forgets_is_refused(text: str, solve: Callable[[ExtensiveForm], object]) -> None:
    with pytest.raises(UserError, match="ann has imperfect recall: at information set"):
        solve(read_efg(text))


def test_the_table_needs_no_recall() -> None:
    """The driver goes on at both crossings or at none: 1 or 0, never the 4 between."""
    table = to_normal_form(read_efg(DRIVER))
    assert dict(zip(table.actions[0], table.payoffs[0].ravel().tolist())) == {"on": 1.0, "off": 0.0}


def test_worth_needs_no_recall() -> None:
    """Who goes on with probability p gets 4 p (1 - p) + p^2: most at p = 2/3, which is 4/3."""
    game = read_efg(DRIVER)
    for p in (0.0, 0.5, 2 / 3, 1.0):
        assert value(game, [[p, 1 - p]])[0] == pytest.approx(4 * p * (1 - p) + p * p)


def test_odds_that_round_still_add_up() -> None:
    """To Gambit they are fractions: what rounding leaves must not go to an outcome of probs 0."""
    game = read_efg(CHANCE_ALONE)
    probs = np.array([1.0, 0.1 + 0.7 * 0.123, 0.9 - 0.7 * 0.123])
    probs[2] += 1.2e-16
    worn = ExtensiveForm(**{**vars(game), "chance": probs})
    assert read_efg(write_efg(worn)).chance == pytest.approx(probs, abs=1e-15)
    sure = ExtensiveForm(**{**vars(game), "chance": np.array([1.0, 1 + 2.3e-16, 0.0])})
    again = read_efg(write_efg(sure))
    assert again.chance.tolist() == [1, 1, 0] and again.actor[0] == CHANCE
