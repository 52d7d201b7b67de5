"""Flows of populations: closed forms, conserved quantities, order of convergence, rest points."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.dynamics.flows import (
    BestResponse,
    BrownVonNeumannNash,
    Logit,
    Replicator,
    Smith,
    best_response,
    discrete_replicator,
    follow,
    logit,
    replicator,
    velocities,
)
from shoal.games.normal_form import NormalForm

PENNIES = NormalForm.zero_sum([[1, -1], [-1, 1]])
RPS = NormalForm.symmetric([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
DOMINANT = NormalForm.symmetric([[1, 1], [0, 0]])  # the first action gains 1 more, always
HAWK_DOVE = NormalForm.symmetric([[-1, 4], [0, 2]])  # V = 4, C = 6


def logistic(start: float, time: np.ndarray) -> np.ndarray:
    return 1 / (1 + (1 - start) / start * np.exp(-time))


def test_the_replicator_is_logistic_where_one_action_dominates() -> None:
    played = replicator(DOMINANT, 500, symmetric=True, start=[[0.01, 0.99], [0.3, 0.7]])
    for k, start in enumerate((0.01, 0.3)):
        want = logistic(start, played.times)
        np.testing.assert_allclose(played.profiles[0][k, :, 0], want, rtol=0, atol=1e-9)
    assert played.times[-1] == pytest.approx(5.0, abs=1e-12)


def test_runge_kutta_is_of_fourth_order() -> None:
    errors = []
    for steps in (8, 16):
        played = replicator(DOMINANT, steps, dt=4.0 / steps, symmetric=True, start=[0.1, 0.9])
        errors.append(abs(played.last[0][0] - logistic(0.1, np.array(4.0))))
    assert 12 < errors[0] / errors[1] < 20


def test_the_replicator_conserves_the_product_in_rock_paper_scissors() -> None:
    start = [[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]]
    played = replicator(RPS, 2000, symmetric=True, start=start, every=100)
    products = played.profiles[0].prod(-1)
    np.testing.assert_allclose(products, np.broadcast_to(products[:, :1], (2, 21)), rtol=1e-8)
    assert np.ptp(played.profiles[0][0, :, 0]) > 0.2  # it moves
    # The mean over time goes to the equilibrium.
    assert played.average_regret[0, -1] < 0.1 < played.regret[0].max()


def test_two_populations_conserve_the_product_in_matching_pennies() -> None:
    played = replicator(PENNIES, 2000, start=([0.8, 0.2], [0.5, 0.5]), every=100)
    products = played.profiles[0].prod(-1) * played.profiles[1].prod(-1)
    np.testing.assert_allclose(products, 0.8 * 0.2 * 0.25, rtol=1e-7)
    assert np.ptp(played.profiles[0][:, 0]) > 0.2


def test_generations_double_the_odds_where_one_action_is_twice_as_good() -> None:
    double = NormalForm.symmetric([[2, 2], [1, 1]])
    played = discrete_replicator(double, 5, symmetric=True, start=[0.2, 0.8])
    probs = played.profiles[0][:, 0] / played.profiles[0][:, 1]
    np.testing.assert_allclose(probs, 0.25 * 2.0 ** np.arange(6), rtol=1e-12)
    slow = discrete_replicator(double, 1, background=1.0, symmetric=True, start=[0.2, 0.8])
    np.testing.assert_allclose(slow.last[0][0] / slow.last[0][1], 0.25 * 3 / 2, rtol=1e-12)


def test_best_responses_approach_at_a_constant_rate() -> None:
    played = best_response(DOMINANT, 30, dt=0.1, symmetric=True, start=[0.2, 0.8])
    np.testing.assert_allclose(
        played.profiles[0][:, 1], 0.8 * 0.9 ** np.arange(31), rtol=0, atol=1e-12
    )


def test_logit_rests_where_strategies_answer_themselves() -> None:
    played = logit(DOMINANT, 3000, temperature=0.5, symmetric=True, start=[0.1, 0.9], every=3000)
    np.testing.assert_allclose(played.last[0][0], 1 / (1 + np.exp(-2)), rtol=0, atol=1e-9)


def test_mutation_alone_drifts_to_uniform() -> None:
    flat = NormalForm.symmetric(np.zeros((2, 2)))
    played = replicator(flat, 100, mutation=0.7, symmetric=True, start=[0.9, 0.1])
    np.testing.assert_allclose(
        played.profiles[0][:, 0], 0.5 + 0.4 * np.exp(-0.7 * played.times), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("field", [Replicator(), BrownVonNeumannNash(), Smith(), BestResponse()])
def test_hawks_come_to_v_over_c(field) -> None:
    order = 1 if isinstance(field, BestResponse) else 4
    played = follow(HAWK_DOVE, field, 3000, order=order, symmetric=True, start=[0.1, 0.9], every=10)
    slack = 0.01 if order == 1 else 1e-3  # best responses chatter by a step
    np.testing.assert_allclose(played.last[0], [2 / 3, 1 / 3], rtol=0, atol=slack)
    assert played.regret[0] > 0.1 > played.regret[-1]


@pytest.mark.parametrize(
    ("field", "want"),
    [
        # At x = (1/2, 1/4, 1/4) the actions gain (0, 1/4, -1/4), on average 0.
        (Replicator(), [0, 1 / 16, -1 / 16]),
        (BestResponse(), [-1 / 2, 3 / 4, -1 / 4]),
        (BrownVonNeumannNash(), [-1 / 8, 1 / 4 - 1 / 16, -1 / 16]),
        # From 3 to 1 1/4 x 1/4, from 1 to 2 1/4 x 1/2, from 3 to 2 1/2 x 1/4.
        (Smith(), [1 / 16 - 1 / 8, 1 / 8 + 1 / 8, -1 / 16 - 1 / 8]),
        (Logit(1.0), np.exp([0, 0.25, -0.25]) / np.exp([0, 0.25, -0.25]).sum() - [0.5, 0.25, 0.25]),
    ],
)
def test_fields_by_hand(field, want: list) -> None:
    (slopes,) = velocities(RPS, field, [[[0.5, 0.25, 0.25]]], symmetric=True)
    np.testing.assert_allclose(slopes[0], want, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: replicator(RPS, 5, dt=0.0), "dt is 0.0, expected > 0"),
        (lambda: replicator(RPS, 5, mutation=-1.0), "mutation is -1.0"),
        (lambda: discrete_replicator(RPS, 5, background=0.5), "sum to -0.5, expected > 0"),
        (lambda: best_response(RPS, 5, dt=2.0), r"dt is 2.0, expected in \(0, 1\]"),
        (lambda: logit(RPS, 5, temperature=0.0), "temperature is 0.0"),
        (lambda: follow(RPS, Smith(), 5, order=2), "unknown order '2'"),
    ],
)
def test_bad_input_of_flows_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
