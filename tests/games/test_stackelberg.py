"""The best commitment: published games, and what must hold in all."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import classic, random
from shoal.games.normal_form import NormalForm, expected_payoffs
from shoal.games.stackelberg import stackelberg
from shoal.games.support_enumeration import support_enumeration

THIRD = 1 / 3


@pytest.mark.parametrize(
    ("row", "column", "commitment", "value", "answer"),
    [
        ([[2, 4], [1, 3]], [[1, 0], [0, 1]], [0.5, 0.5], 3.5, 1),
        ([[2, 0, 0], [1, 0, 0]], [[0, 2, 5], [0, -1, -4]], [THIRD, 2 * THIRD], 4 / 3, 0),
        ([[3, 9], [9, 1]], [[0, 0], [1, 8]], [1, 0], 9, 1),
    ],
    ids=["conitzer-2006", "three-answers", "tie"],
)
def test_published_games(row, column, commitment, value: float, answer: int) -> None:
    """The commitments that OpenSpiel's tests expect of `solve_stackelberg`."""
    found = stackelberg(NormalForm.bimatrix(row, column))
    assert np.allclose(found.leader, commitment, 0, 1e-9) and abs(found.value - value) < 1e-9
    assert found.response == answer and found.regret < 1e-9 and found.gap < 1e-9
    turned = stackelberg(NormalForm.bimatrix(np.transpose(column), np.transpose(row)), leader=1)
    assert np.allclose(turned.leader, commitment, 0, 1e-9) and abs(turned.value - value) < 1e-9


def test_an_answer_that_nothing_calls_for() -> None:
    found = stackelberg(NormalForm.bimatrix([[0, 9], [1, 9]], [[1, 0], [1, 0]]))
    assert found.values.tolist() == [1, -np.inf] and found.leader.tolist() == [0, 1]


def test_zero_sum_commitment_gives_the_value() -> None:
    game = NormalForm.zero_sum([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
    found = stackelberg(game)
    assert abs(found.value) < 1e-9
    assert np.allclose(found.leader, np.array([1, 10, 5]) / 16, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0), (1e12, 0), (1, 1e9), (1, 1e12)])
def test_units_do_not_matter(scale: float | int, shift: float | int) -> None:
    payoffs = np.array([[[2, 4], [1, 3]], [[1, 0], [0, 1]]]) * scale + shift
    found = stackelberg(NormalForm(payoffs))
    assert found.response == 1 and np.allclose(found.leader, [0.5, 0.5], rtol=0, atol=1e-9)
    assert abs(found.value - shift - 3.5 * scale) <= 1e-9 * scale + 1e-15 * shift
    assert found.gap <= 1e-9 * scale


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_at_least_any_equilibrium_and_no_better_grid_point(seed: int, scale: float) -> None:
    """von Stengel and Zamir 2010: commitment gives no less than the best equilibrium."""
    game = NormalForm(np.asarray(random((3, 4), seed).payoffs) * scale)
    found = stackelberg(game)
    assert found.regret <= 1e-9 * scale and found.gap <= 1e-8 * scale
    for profile in support_enumeration(game):
        assert found.value >= expected_payoffs(game, profile)[0] - 1e-9 * scale
    for x in np.random.default_rng(seed).dirichlet([0.7] * 3, 300):
        answers = x @ game.payoffs[1]
        assert (x @ game.payoffs[0])[int(np.argmax(answers))] <= found.value + 1e-9 * scale


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: stackelberg(random((2, 2, 2))), "needs 2 players, the game has 3"),
        (lambda: stackelberg(classic("chicken"), 2), "player 2 does not exist"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
