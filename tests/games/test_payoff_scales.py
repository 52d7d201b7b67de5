"""Payoffs of very different sizes: answers must depend neither on a game's units nor on how much a
forbidden move costs. Right answers by hand or by brute force in whole numbers."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.bimatrix import equilibria
from shoal.games.correlated import correlated_equilibrium
from shoal.games.dominance import dominated_actions, dominator
from shoal.games.efficiency import is_pareto_optimal, pareto_front, price_of_anarchy
from shoal.games.exact_programs import best_worst
from shoal.games.homotopy import logit_nash, n_player_equilibrium
from shoal.games.lemke_howson import lemke_howson
from shoal.games.normal_form import NormalForm, rational, regret
from shoal.games.pure_equilibria import pure_equilibria
from shoal.games.rounding import is_wide, tied
from shoal.games.stackelberg import stackelberg
from shoal.games.support_enumeration import support_enumeration
from shoal.games.zero_sum import zero_sum, zero_sum_batch

POWERS = range(16)
DILEMMA = np.array([[3, 0], [5, 1]])


def with_forbidden(row, cost: float | int) -> NormalForm:
    """One more action for each of the two, which costs both."""
    full = np.full((len(row) + 1, len(row) + 1), -float(cost))
    full[:-1, :-1] = row
    return NormalForm.symmetric(full)


def supports(found) -> set[tuple[tuple[int, ...], ...]]:
    return {tuple(tuple(np.flatnonzero(x).tolist()) for x in profile) for profile in found}


def by_force(payoffs) -> set[tuple[tuple[int, ...], ...]]:
    """The pure equilibria of integer payoffs `[2, m, n]`, by the definition."""
    row, column = ([[int(v) for v in line] for line in part] for part in payoffs)
    cells = itertools.product(range(len(row)), range(len(row[0])))
    return {
        ((a,), (b,))
        for a, b in cells
        if row[a][b] == max(line[b] for line in row) and column[a][b] == max(column[a])
    }


@pytest.mark.parametrize("power", POWERS)
def test_a_dilemma_with_a_forbidden_move(power: int) -> None:
    """Both defect, or both break the rules: nobody gains by being the only one who obeys."""
    game = with_forbidden(DILEMMA, 10**power)
    both = {((1,), (1,)), ((2,), (2,))}
    for solver in (equilibria, support_enumeration, pure_equilibria):
        found = solver(game)
        assert supports(found) == both and max(found.regrets) == 0
    for found in (lemke_howson(game, None), n_player_equilibrium(game)):
        assert len(found) and supports(found) <= both and max(found.regrets) == 0
    try:
        assert supports(logit_nash(game)) <= both
    except UserError as error:
        assert "orders of magnitude" in str(error)
    for coarse in (False, True):
        best = correlated_equilibrium(game, coarse=coarse)
        assert (best.welfare, best.regret, best.distribution[1, 1]) == (2, 0, 1)
    assert correlated_equilibrium(game, "fairness").value == 1
    led = stackelberg(game)
    assert (led.value, led.response, led.regret, led.gap) == (1, 1, 0, 0)
    for strict, mixed in itertools.product((True, False), repeat=2):  # weakly: 0 by 1, 2 by both
        assert dominated_actions(game, 0, strict, mixed) == ([] if strict else [0, 2])
    front = pareto_front(game)
    assert front == [(0, 0), (0, 1), (1, 0)]
    assert [is_pareto_optimal(game, a, "correlated") for a in front] == [True] * 3
    assert not is_pareto_optimal(game, (1, 1)) and not is_pareto_optimal(game, (2, 2))
    assert float(price_of_anarchy(game, [([0, 1, 0], [0, 1, 0])])) == 3
    prize = with_forbidden(DILEMMA, -(10 ** (power + 1)))  # for both, where either takes it
    assert float(price_of_anarchy(prize, social="fairness")) == float(price_of_anarchy(prize)) == 1


@pytest.mark.parametrize("power", POWERS)
def test_one_side_counts_for_more(power: int) -> None:
    b = 10.0**power
    value, x = b / (b + 1), [1 / (b + 1), b / (b + 1)]
    one, many = zero_sum([[b, 0], [0, 1]]), zero_sum_batch([[[b, 0], [0, 1]]] * 2)
    assert one.value == pytest.approx(value, abs=1e-9) and one.regret <= 1e-9
    assert many[0] == pytest.approx(value, abs=1e-9) and many[3].max() <= 1e-9
    assert one.row == pytest.approx(x, rel=1e-6) and many[1][0] == pytest.approx(x, rel=1e-6)
    # Pennies for b against a sure 1, plain and with all payoffs moved by b.
    for add in (0.0, b):
        pennies = np.array([[b, -b], [-b, b], [1, 1]]) + add
        assert zero_sum(pennies).row.tolist() == (
            [0, 0, 1] if power else zero_sum(pennies).row.tolist()
        )
        assert zero_sum(pennies).value - add == pytest.approx(1, abs=1e-8)
        assert zero_sum_batch([pennies])[0][0] - add == pytest.approx(1, abs=1e-8)
    assert len(support_enumeration(NormalForm.symmetric([[1, 0], [0, b]]))) == 3


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_dominated_rows(power: int, sign: int) -> None:
    b, nothing = sign * 10**power, np.zeros((2, 3))
    game = NormalForm.bimatrix([[2, 2, b], [1, 1, b - 1]], nothing)
    assert dominated_actions(game, 0) == dominated_actions(game, 0, mixed=False) == [1]
    half = NormalForm.bimatrix([[10**power, 0], [0, 1], [0.4, 0.4]], np.zeros((3, 2)))
    found = dominator(half, 0, 2)
    assert dominated_actions(half, 0) == [2] and found is not None and found.margin > 0.09
    even = NormalForm.bimatrix([[2, 2, b, 4], [2, 2, b, 0], [2, 2, b, 2]], np.zeros((3, 4)))
    assert dominated_actions(even, 0, strict=False) == [1, 2] and dominated_actions(even, 0) == []


def test_answers_do_not_change_with_units() -> None:
    """Small whole numbers in units of 10^k, or one player's moved by it, or with a forbidden move:
    what solvers say of the plain game, by sets of actions."""
    rng = np.random.default_rng(0)
    for trial in range(10):
        small = rng.integers(0, 6, (2, 3, 3)).astype(float)
        want = supports(equilibria(NormalForm(small)))
        value = zero_sum(small[0]).value
        power = int(rng.integers(6, 16))
        scaled, moved = small * 10.0**power, small.copy()
        moved[trial % 2] += 10.0**power
        forbidden = np.full((2, 4, 4), -(10.0**power))
        forbidden[:, :3, :3] = small
        plain = {"scaled": scaled, "moved": moved}
        for payoffs in (*plain.values(), forbidden):
            game, corner = NormalForm(payoffs), {((3,), (3,))} if payoffs is forbidden else set()
            found, checked = support_enumeration(game), equilibria(game)
            assert supports(found) == supports(checked) and found.complete
            assert {
                s for s in supports(found) if 3 not in s[0] + s[1]
            } == want and corner <= supports(found)
            assert supports(pure_equilibria(game)) == by_force(payoffs)
            some = n_player_equilibrium(game)
            assert len(some) and some.regrets[0] <= 1e-15 * np.abs(payoffs).max() + 1e-9
            for how in itertools.product((True, False), repeat=2):
                plainly = dominated_actions(NormalForm(small), 0, *how)
                assert payoffs is forbidden or dominated_actions(game, 0, *how) == plainly
        unit = 10.0**power
        assert zero_sum(scaled[0]).value == pytest.approx(value * unit, rel=1e-9)
        assert zero_sum(small[0] + unit).value - unit == pytest.approx(
            value, abs=4e-16 * unit + 1e-9
        )
        outside = np.c_[np.r_[small[0], [[-unit] * 3]], [unit] * 4]  # a row and a column too bad
        assert zero_sum(outside).value == pytest.approx(value, abs=1e-9)
        assert zero_sum_batch([outside])[0][0] == pytest.approx(value, abs=1e-9)
        for objective in ("welfare", "fairness", 0):
            best = correlated_equilibrium(NormalForm(small), objective)
            wide = correlated_equilibrium(NormalForm(forbidden), objective)
            assert wide.value == pytest.approx(best.value, abs=1e-9) and wide.regret <= 1e-9
        led, far = stackelberg(NormalForm(small)), stackelberg(NormalForm(forbidden))
        assert far.value == pytest.approx(led.value, abs=1e-9) and far.regret <= 1e-9


@pytest.mark.parametrize("power", [0, 7, 10, 15])
def test_three_in_a_dilemma_with_a_forbidden_move(power: int) -> None:
    """Each gains 2 for each other who cooperates, and 1 by defecting; alone in breaking the rules
    one loses as much as with others, so that one or all may break them if all others do."""
    payoffs = np.full((3, 3, 3, 3), -(10.0**power))
    for actions in itertools.product(range(2), repeat=3):
        payoffs[(slice(None), *actions)] = [2 * (2 - sum(actions) + a) + a for a in actions]
    game = NormalForm(payoffs)
    defect = ((1,),) * 3
    pure = supports(pure_equilibria(game))
    assert defect in pure and all((0,) not in profile for profile in pure if (2,) not in profile)
    found, one = support_enumeration(game, starts=2), n_player_equilibrium(game)
    assert pure <= supports(found) and max(found.regrets) <= 1e-6
    assert len(one) and supports(one) <= pure and max(one.regrets) == 0


def test_programs_in_whole_numbers_by_hand() -> None:
    third = Fraction(1, 3)
    goals = rational([[3, 0, 1], [0, 6, 1]])  # 3 x = 6 (1 - x) at 2/3, which gives 2
    half = rational([[1, 1, -1]])  # no more than half on the first two
    mixes = np.array([best_worst(goals), best_worst(goals, half)])
    assert mixes.tolist() == [[2 * third, third, 0], [third, third / 2, Fraction(1, 2)]]
    assert best_worst(goals, rational([[1, 1, 1]])) is None
    with pytest.raises(UserError, match="40,000 coefficients, the limit is 20,000"):
        best_worst(np.zeros((200, 200), object))


def test_what_ties_and_what_is_wide() -> None:
    assert tied(0.1 + 0.2, 0.3) and not tied(1e15, 1e15 + 1) and not tied(0.0, 5e-17)
    assert not is_wide([0, 1, 1000]) and not is_wide(np.random.default_rng(0).normal(size=(40, 40)))
    assert is_wide([0, 1, 1e9]) and is_wide([0, 2e9, 1e9 + 1]) and is_wide([1 / 3, 1e12, 0])
    assert not is_wide([1e30, 3e30]) and is_wide([1e30, -1e30, 1])


def test_a_large_loss_does_not_blur_regret() -> None:
    game = with_forbidden([[0.1, 0.3], [0.2, 0.4]], 10**17)
    assert regret(game, ([1, 0, 0], [1, 0, 0])) == pytest.approx(0.1, rel=1e-12)


CERTIFIED = {  # what each says that somebody could gain, in a game of three or of two players
    "support_enumeration": lambda game: support_enumeration(game, starts=2).regrets,
    "n_player_equilibrium": lambda game: n_player_equilibrium(game).regrets,
    "logit_nash": lambda game: logit_nash(game).regrets,
    "equilibria": lambda game: equilibria(game).regrets,
    "lemke_howson": lambda game: lemke_howson(game, None).regrets,
    "zero_sum": lambda game: [zero_sum(game.payoffs[0]).regret],
    "zero_sum_batch": lambda game: zero_sum_batch([game.payoffs[0]])[3].tolist(),
    "correlated": lambda game: [correlated_equilibrium(game).regret],
    "coarse": lambda game: [correlated_equilibrium(game, coarse=True).regret],
    "stackelberg": lambda game: [stackelberg(game).regret, stackelberg(game).gap],
}


@pytest.mark.parametrize("name", CERTIFIED)
def test_regrets_are_in_the_units_of_the_payoffs(name: str) -> None:
    """Powers of two change no digit, so that neither does the answer: what is left of regret by
    rounding is then of exactly so many units, however solvers scale payoffs for themselves."""
    rng, certificates, seen = np.random.default_rng(0), CERTIFIED[name], []
    for _ in range(4):
        for shape in ((4, 5), (2, 2, 2)) if name in [*CERTIFIED][:3] else ((4, 5),):
            payoffs = rng.normal(size=(len(shape), *shape))
            plain = certificates(NormalForm(payoffs))
            for power in (-30, 30):
                scaled = certificates(NormalForm(payoffs * 2.0**power))
                assert scaled == [r * 2.0**power for r in plain]
            seen += plain
    assert max(seen) > 0 or name in ("correlated", "stackelberg")
