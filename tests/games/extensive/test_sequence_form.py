"""Exact values of zero-sum trees, each with its certificate."""

from dataclasses import replace

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.exact_programs import best_worst
from shoal.games.extensive.goofspiel import goofspiel
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.extensive.liars_dice import liars_dice
from shoal.games.extensive.policy_values import nash_conv, value
from shoal.games.extensive.reduced_form import to_normal_form
from shoal.games.extensive.sequence_form import sequence_form
from shoal.games.gambit.efg import read_efg

# Ann draws a card; a king she bets or shows, a queen too; Bob folds or calls. (Myerson's game:
# she bluffs 1/3 of queens, he calls 2/3, and it is worth 1/3 to her.)
MYERSON = """EFG 2 R "poker" { "ann" "bob" }
c "" 1 "" { "king" 1/2 "queen" 1/2 } 0
p "" 1 1 "king" { "raise" "show" } 0
p "" 2 1 "raised" { "call" "fold" } 0
t "" 1 "" { SHIFT2, -2 }
t "" 2 "" { SHIFT1, -1 }
t "" 3 "" { SHIFT1, -1 }
p "" 1 2 "queen" { "raise" "show" } 0
p "" 2 1 "raised" { "call" "fold" } 0
t "" 4 "" { SHIFT-2, 2 }
t "" 5 "" { SHIFT1, -1 }
t "" 6 "" { SHIFT-1, 1 }
"""


@pytest.mark.parametrize(
    ("build", "worth"),
    [
        pytest.param(kuhn, -1 / 18, id="kuhn"),
        pytest.param(leduc, -0.085606424078, id="leduc"),
        pytest.param(lambda: goofspiel(3), 0.0, id="goofspiel"),  # both are in the same place
        pytest.param(lambda: goofspiel(3, "random"), 0.0, id="goofspiel, random order"),
        pytest.param(lambda: read_efg(MYERSON.replace("SHIFT", "")), 1 / 3, id="myerson"),
    ],
)
def test_values(build, worth: float) -> None:
    game = build()
    found = sequence_form(game)
    assert found.value == pytest.approx([worth, -worth], abs=1e-9)
    assert found.nash_conv == pytest.approx(0, abs=1e-9)
    assert found.nash_conv == nash_conv(game, found.policy)
    assert value(game, found.policy) == pytest.approx(found.value, abs=1e-12)


def test_myersons_policies() -> None:
    game = read_efg(MYERSON.replace("SHIFT", ""))
    policy = sequence_form(game).policy
    assert game.describe(policy, 0)["king"] == pytest.approx({"raise": 1, "show": 0}, abs=1e-9)
    assert game.describe(policy, 0)["queen"]["raise"] == pytest.approx(1 / 3, abs=1e-9)
    assert game.describe(policy, 1)["raised"]["call"] == pytest.approx(2 / 3, abs=1e-9)


def test_a_constant_sum_shifts_the_value() -> None:
    found = sequence_form(read_efg(_shifted(10)))
    assert found.value == pytest.approx([10 + 1 / 3, -1 / 3], abs=1e-9)


def test_liars_dice_by_regrets_of_the_whole_tree() -> None:
    game = liars_dice(1, 3)
    found = sequence_form(game)
    assert found.nash_conv == pytest.approx(0, abs=1e-9)
    assert np.abs(found.value).max() < 1


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: kuhn(3), "for 2 players, not 3: cfr takes any number"),
        (lambda: read_efg(MYERSON.replace("SHIFT2", "3").replace("SHIFT", "")), "needs a constant"),
    ],
)
def test_other_games_are_refused(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        sequence_form(build())


def _shifted(by: int) -> str:
    text = MYERSON
    for number in (-2, -1, 1, 2):
        text = text.replace(f"SHIFT{number},", f"{number + by},")
    return text


# Gambit's large_payoff_game.efg. On the left A gives PRIZE against X and 1 against Y, B -1 and 0;
# on the right A gives -1 and 1, B 0 and PRIZE. The second player sees A or B only: it answers Y to
# A on both sides, which gives 1, and X to B, which gives -1 or 0.
LARGE = """EFG 2 R "large" { "1" "2" }
c "" 1 "" { "L" 1/2 "R" 1/2 } 0
p "" 1 1 "" { "A" "B" } 0
p "" 2 1 "" { "X" "Y" } 0
t "" 1 "" { PRIZE, -PRIZE }
t "" 2 "" { 1, -1 }
p "" 2 2 "" { "X" "Y" } 0
t "" 3 "" { -1, 1 }
t "" 4 "" { 0, 0 }
p "" 1 2 "" { "A" "B" } 0
p "" 2 1 "" { "X" "Y" } 0
t "" 3 "" { -1, 1 }
t "" 2 "" { 1, -1 }
p "" 2 2 "" { "X" "Y" } 0
t "" 4 "" { 0, 0 }
t "" 1 "" { PRIZE, -PRIZE }
"""


@pytest.mark.parametrize("power", range(2, 20))
def test_a_large_prize(power: int) -> None:
    found = sequence_form(read_efg(LARGE.replace("PRIZE", str(10**power))))
    assert found.value == pytest.approx([1, -1], abs=1e-9) and found.nash_conv <= 1e-9


@pytest.mark.parametrize("unit", [1e-12, 1e12, 1e15, 1e19, 1e30])
def test_units_do_not_matter(unit: float) -> None:
    game = kuhn()
    found = sequence_form(replace(game, payoffs=np.asarray(game.payoffs) * unit))
    assert found.value[0] * 18 == pytest.approx(-unit) and found.nash_conv <= 1e-9 * unit


@pytest.mark.parametrize("seed", range(6))
def test_one_end_costs_far_more(seed: int) -> None:
    """The table of plans, by its own linear program in whole numbers, has the same value."""
    rng = np.random.default_rng(seed)
    payoffs = np.asarray(kuhn().payoffs).copy()
    cost = 10.0 ** rng.integers(8, 16)
    payoffs[rng.integers(len(payoffs))] = [-cost, cost] if seed % 2 else [cost, -cost]
    game = replace(kuhn(), payoffs=payoffs)
    found, table = sequence_form(game), to_normal_form(game).exact()[0]
    plans = best_worst(table.T)
    assert plans is not None
    assert found.value[0] == pytest.approx(float((plans @ table).min()), abs=1e-6)
    assert found.nash_conv <= 1e-6
