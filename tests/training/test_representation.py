"""What mixers can say of payoffs: by hand where there is one best fit."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.training.representation import representational_gap

QTRAN = [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]


def test_a_sum_of_values_takes_the_wrong_branch_of_the_two_step_game():
    """At best it says 6.5 of the cell that pays 8, less than the 7 of the other branch."""
    fit = representational_gap("vdn", [[0, 1], [1, 8]])
    np.testing.assert_allclose(fit.values, [[-1.5, 2.5], [2.5, 6.5]], atol=1e-3)
    assert fit.greedy == (1, 1) and fit.loss == 0
    np.testing.assert_allclose(fit.error, 1.5, atol=1e-3)


def test_the_best_sum_for_three_agents_is_that_of_least_squares():
    payoffs = np.random.default_rng(0).normal(size=(2, 3, 2))
    cells = np.indices(payoffs.shape).reshape(3, -1).T
    rows = np.concatenate([np.eye(size)[cells[:, i]] for i, size in enumerate((2, 3, 2))], 1)
    best = rows @ np.linalg.lstsq(rows, payoffs.ravel(), rcond=None)[0]
    fit = representational_gap("vdn", payoffs)
    np.testing.assert_allclose(fit.values.ravel(), best, atol=1e-3)


def test_who_can_say_that_the_best_is_the_best():
    assert representational_gap("vdn", QTRAN, starts=2).loss == 8
    monotonic = representational_gap("qmix", QTRAN, steps=500, starts=2)
    assert monotonic.loss >= 8 and monotonic.error > 5
    for name in ("qplex", "qfix"):
        complete = representational_gap(name, QTRAN, starts=8)
        assert complete.loss == 0 and complete.error < 0.5 and complete.greedy == (0, 0)


@pytest.mark.parametrize(
    "mixer, payoffs, complaint",
    [
        ("iql", QTRAN, "QLearning mixes no values: take one of vdn, qmix, qplex, qfix"),
        ("mappo", QTRAN, "mixes no values"),
        ("qplx", QTRAN, "did you mean 'qplex'"),
        ("vdn", [1.0, 2.0], "payoffs have shape"),
    ],
)
def test_what_cannot_be_fitted_is_a_clear_mistake(mixer, payoffs, complaint):
    with pytest.raises(UserError, match=complaint):
        representational_gap(mixer, payoffs)


def test_a_game_that_pays_nothing_is_fitted_too():
    fit = representational_gap("vdn", [[0, 0], [0, 0]], steps=300, starts=2)
    assert abs(fit.values).max() < 1e-2 and fit.loss == 0
