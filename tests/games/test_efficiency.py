"""Welfare, Pareto optima and the price of anarchy, of games with closed forms."""

import itertools

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import braess, classic, congestion, machines, pigou, random
from shoal.games.efficiency import (
    is_pareto_optimal,
    pareto_front,
    price_of_anarchy,
    price_of_stability,
    welfare,
)
from shoal.games.normal_form import NormalForm, pure
from shoal.games.support_enumeration import support_enumeration


def christodoulou() -> NormalForm:
    """Three players, six roads whose delay is their load: each takes two roads of its own, or one
    of the next player's and two of the others' (Christodoulou and Koutsoupias 2005)."""
    own = [[i, 3 + i] for i in range(3)]
    other = [[(i + 1) % 3, 3 + (i + 1) % 3, 3 + (i + 2) % 3] for i in range(3)]
    return congestion([[1, 2, 3]] * 6, [list(pair) for pair in zip(own, other)])


@pytest.mark.parametrize(
    ("game", "social", "anarchy", "stability"),
    [
        (pigou(2), "welfare", 4 / 3, 1.0),
        (pigou(4), "welfare", 4 / 3, 13 / 12),  # three on the new road: 9/4 + 1 against 3
        (pigou(6), "welfare", 4 / 3, (25 / 6 + 1) / 4.5),
        (braess(2), "welfare", 4 / 3, 1.0),
        (braess(4), "welfare", 4 / 3, None),
        (christodoulou(), "welfare", 5 / 2, 1.0),
        (machines((1, 1), 2), "fairness", 1.0, 1.0),
        (machines((2, 2, 1, 1), 2), "fairness", 2 - 2 / 3, 1.0),
        (machines((3, 3, 1, 1, 1, 1, 1, 1), 3), "fairness", 2 - 2 / 4, 1.0),
    ],
    ids=["pigou-2", "pigou-4", "pigou-6", "braess-2", "braess-4", "affine", "m1", "m2", "m3"],
)
def test_closed_forms_of_costs(game, social: str, anarchy: float, stability) -> None:
    worst = price_of_anarchy(game, costs=True, social=social)
    assert abs(float(worst) - anarchy) < 1e-9 and worst.regret < 1e-9
    if stability is not None:
        best = price_of_stability(game, costs=True, social=social)
        assert abs(float(best) - stability) < 1e-9 and best.regret < 1e-9


def test_payoff_games() -> None:
    dilemma = price_of_anarchy(classic("prisoners_dilemma"))
    assert dilemma.ratio == 3 and dilemma.optimum == (0, 0) and dilemma.optimum_value == 6
    hunt = classic("stag_hunt")
    assert (price_of_anarchy(hunt).ratio, price_of_stability(hunt).ratio) == (8 / 6, 1)
    chicken = classic("chicken")  # welfare: 12 at best, 9 in pure equilibria, 28/3 in the mixed
    assert abs(float(price_of_stability(chicken, support_enumeration(chicken))) - 9 / 7) < 1e-12
    assert abs(float(price_of_anarchy(chicken)) - 12 / 9) < 1e-12
    assert price_of_anarchy(NormalForm.symmetric([[0, -1], [1, 0]])).ratio == 1
    lost = NormalForm.symmetric([[2, -1], [3, 0]])  # the dilemma that ends with nothing
    assert price_of_anarchy(lost).ratio == float("inf")


def test_what_rounding_leaves_of_nothing_is_nothing() -> None:
    game = NormalForm.bimatrix([[0.3, 1.0]], [[-0.1 - 0.2, -1.0]])  # the sum is -5.6e-17
    assert price_of_anarchy(game).ratio == price_of_stability(game).ratio == 1


def test_fairness_of_a_mixture_is_the_mean_over_cells() -> None:
    game = machines((1, 1), 2)
    half = [np.array([0.5, 0.5])] * 2
    found = price_of_anarchy(game, [half], costs=True, social="fairness")
    assert found.equilibrium_value == 1.5 and found.method == "given equilibria"


def test_welfare_by_hand() -> None:
    assert welfare(classic("chicken"), ([0.5, 0.5], [0, 1])) == 0.5 * 9
    assert welfare(random((2, 3, 2), 1), pure(random((2, 3, 2), 1), (1, 2, 0))) == float(
        np.asarray(random((2, 3, 2), 1).payoffs)[:, 1, 2, 0].sum()
    )


@pytest.mark.parametrize("shape", [(5, 6), (3, 3, 3), (40,)])
def test_the_front_against_all_pairs(shape) -> None:
    payoffs = np.random.default_rng(2).integers(0, 7, (len(shape), *shape)).astype(float)
    game = NormalForm(payoffs)
    profiles = list(itertools.product(*map(range, shape)))
    value = {c: payoffs[(slice(None), *c)] for c in profiles}

    def beaten(c):
        return any((value[d] >= value[c]).all() and (value[d] > value[c]).any() for d in profiles)

    front = pareto_front(game)
    assert front == [c for c in profiles if not beaten(c)]
    assert all(is_pareto_optimal(game, c) == (c in front) for c in profiles)


def test_a_lottery_may_dominate_what_no_cell_does() -> None:
    game = NormalForm.bimatrix([[4, 0], [1, 0]], [[0, 4], [1, 0]])
    assert is_pareto_optimal(game, (1, 0))
    assert not is_pareto_optimal(game, (1, 0), among="correlated")  # a coin gives 2 each
    assert is_pareto_optimal(game, (0, 0), among="correlated")
    coin = ([1, 0], [0.5, 0.5])
    assert is_pareto_optimal(game, coin, among="correlated")
    assert not is_pareto_optimal(game, ([0, 1], [0.5, 0.5]))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: price_of_anarchy(classic("matching_pennies")), "no pure equilibrium: pass"),
        (lambda: price_of_anarchy(pigou(2)), "costs=True"),
        (lambda: price_of_anarchy(pigou(2), social="fair"), "did you mean 'fairness'"),
        (lambda: price_of_anarchy(pigou(2), []), "equilibria is empty"),
        (lambda: is_pareto_optimal(pigou(2), (0, 2)), r"action profile \(0, 2\) does not exist"),
        (lambda: is_pareto_optimal(pigou(2), (0, 0), "purr"), "did you mean 'pure'"),
        (lambda: is_pareto_optimal(pigou(2), ([1, 0], [1, 1])), "not a distribution"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
