"""Correlated equilibria of games small enough to solve by hand."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import chicken, classic, random
from shoal.games.correlated import correlated_equilibrium, correlated_regret
from shoal.games.normal_form import NormalForm
from shoal.games.support_enumeration import support_enumeration


def product(profile) -> np.ndarray:
    out = np.ones(())
    for x in profile:
        out = np.multiply.outer(out, x)
    return out


@pytest.mark.parametrize("coarse", [False, True], ids=["correlated", "coarse"])
def test_chicken(coarse: bool) -> None:
    found = correlated_equilibrium(chicken(), coarse=coarse)
    assert abs(found.welfare - 10.5) < 1e-9 and found.regret < 1e-9
    assert np.allclose(found.distribution, [[0.5, 0.25], [0.25, 0]], rtol=0, atol=1e-9)
    assert np.allclose(found.payoffs, [5.25, 5.25], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("game", "objective", "value"),
    [
        (classic("prisoners_dilemma"), "welfare", 2.0),  # defection is all there is
        (classic("matching_pennies"), 0, 0.0),  # zero-sum: the value for each
        (classic("matching_pennies"), "fairness", 0.0),
        (classic("battle_of_the_sexes"), "welfare", 5.0),
        (classic("battle_of_the_sexes"), "fairness", 2.5),  # a coin
        (classic("battle_of_the_sexes"), 0, 3.0),
        (classic("battle_of_the_sexes"), 1, 3.0),
        (classic("stag_hunt"), np.array([[0, 0], [0, 1]]), 1.0),  # hares for sure
        (classic("stag_hunt"), np.array([[0, 1], [1, 0]]), 4 / 9),  # ss >= 2 sh, 2 hh >= hs
        (chicken(), "fairness", 5.25),
        (chicken(), 0, 7.0),
        (chicken(), np.array([[0, 0], [0, 1]]), 0.2),  # dy >= 2 dd and yd >= 2 dd
    ],
)  # fmt: skip
def test_the_best_by_other_objectives(game, objective, value: float) -> None:
    found = correlated_equilibrium(game, objective)
    assert abs(found.value - value) < 1e-9 and found.regret < 1e-9
    assert abs(found.distribution.sum() - 1) < 1e-12 and (found.distribution >= 0).all()


@pytest.mark.parametrize("objective", ["welfare", "fairness", 0])
@pytest.mark.parametrize(
    ("scale", "shift"), [(1e-12, 0.0), (1e12, 0.0), (1.0, 1e9)], ids=["tiny", "huge", "far from 0"]
)
def test_units_do_not_matter(objective, scale: float, shift: float) -> None:
    plain = correlated_equilibrium(chicken(), objective)
    moved = NormalForm(np.asarray(chicken().payoffs) * scale + shift)
    found = correlated_equilibrium(moved, objective)
    assert np.allclose(found.distribution, plain.distribution, rtol=0, atol=1e-9)
    assert found.regret <= 1e-9 * scale


def test_fairness_may_be_negative() -> None:
    game = NormalForm.zero_sum([[2.0]])
    assert correlated_equilibrium(game, "fairness").value == -2


def test_regret_by_hand() -> None:
    """Both dare in chicken: each told to dare would gain 2 by yielding."""
    both = np.array([[0, 0], [0, 1.0]])
    assert correlated_regret(chicken(), both) == 2.0
    uniform = np.full((2, 2), 0.25)
    # Told to yield: 8/4 against 7/4. Told to dare: 7/4, would have 8/4. So 1/4, coarse as much.
    assert correlated_regret(chicken(), uniform) == 0.25
    assert correlated_regret(chicken(), uniform, coarse=True) == 4.0 - (6 + 2 + 7) / 4
    told = np.array([[0.5, 0], [0, 0.5]])
    # Told to yield (6): dare gives 7. Told to dare (0): yield gives 2. (1 + 2)/2; coarse: 4 - 3.
    assert correlated_regret(chicken(), told) == 1.5
    assert correlated_regret(chicken(), told, coarse=True) == 1.0


def test_coarse_may_do_better() -> None:
    """The first action is dominated by a mixture of the others, which are bad uncoordinated: no
    correlated equilibrium has it. Half of the time both take it in the best coarse one: who does
    not listen gains 1 then, and loses 1 on average in the other half."""
    game = NormalForm.symmetric([[1, -1.5, -1.5], [2, 0, -2], [2, -2, 0]])
    fine, coarse = (correlated_equilibrium(game, coarse=c) for c in (False, True))
    assert abs(fine.welfare) < 1e-9 and abs(coarse.welfare - 1) < 1e-9
    assert abs(coarse.distribution[0, 0] - 0.5) < 1e-9 and coarse.regret < 1e-9
    assert abs(correlated_regret(game, coarse.distribution) - 0.5) < 1e-9  # told C: 2 against 1


@pytest.mark.parametrize("shape", [(4, 4), (2, 2, 3)])
def test_bounds_hold_by_theory(shape) -> None:
    """Nash equilibria are correlated ones, which are coarse ones: the best is at least as good."""
    game = random(shape, 3)
    fine, coarse = (correlated_equilibrium(game, coarse=c) for c in (False, True))
    assert max(fine.regret, coarse.regret, correlated_regret(game, fine.distribution, True)) < 1e-9
    assert coarse.welfare >= fine.welfare - 1e-9
    for profile in support_enumeration(game, starts=8):
        p = product(profile)
        assert correlated_regret(game, p) < 1e-9
        assert fine.welfare >= float((game.payoffs * p).sum()) - 1e-9
    for other in ("fairness", 0):
        assert correlated_equilibrium(game, other).welfare <= fine.welfare + 1e-9


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: correlated_equilibrium(chicken(), "welfair"), "did you mean 'welfare'"),
        (lambda: correlated_equilibrium(chicken(), 2), "player 2 does not exist"),
        (lambda: correlated_equilibrium(chicken(), 0.5), "player 0.5 does not exist"),
        (lambda: correlated_equilibrium(chicken(), np.ones(3)), r"shape \[3\], expected"),
        (lambda: correlated_equilibrium(random((80,) * 3)), "80 x 80 x 80 .* regret matching"),
        (lambda: correlated_regret(chicken(), np.ones((2, 2))), "not a distribution"),
        (lambda: correlated_regret(chicken(), np.ones(4) / 4), r"shape \[4\], expected \[2, 2\]"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
