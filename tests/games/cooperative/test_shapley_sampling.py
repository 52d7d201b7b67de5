"""Sampled Shapley values: exact where order does not matter, and intervals that hold."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.cooperative.characteristic import CharacteristicFunction
from shoal.games.cooperative.sampling import shapley_sampled
from shoal.games.cooperative.values import shapley

EEC = CharacteristicFunction.weighted_voting(12, [4, 4, 4, 2, 2, 1])


def test_an_additive_game_needs_no_luck() -> None:
    worth = np.arange(40.0)
    estimate = shapley_sampled(lambda members: members @ worth, 40, samples=4)
    assert np.allclose(estimate.values, worth, rtol=0, atol=1e-12)
    assert np.allclose(estimate.standard_error, 0, rtol=0, atol=1e-12)


def test_a_pair_of_opposite_orders_is_exact_for_a_quadratic_game() -> None:
    # As the k-th to come one adds 2k + 1, and in the reverse 2(N-1-k) + 1: N on average.
    estimate = shapley_sampled(lambda members: members.sum(1) ** 2.0, 30, samples=4)
    assert np.allclose(estimate.values, 30, rtol=0, atol=1e-12)


def test_estimates_share_out_all_and_repeat_by_seed() -> None:
    first = shapley_sampled(EEC.of, 6, samples=100, seed=3)
    again = shapley_sampled(EEC.of, 6, samples=100, seed=3)
    other = shapley_sampled(EEC.of, 6, samples=100, seed=4)
    assert np.isclose(first.values.sum(), 1, rtol=0, atol=1e-12)
    assert first.values.tolist() == again.values.tolist() != other.values.tolist()
    assert (first.samples, first.confidence) == (100, 0.95)


def test_intervals_hold_as_often_as_they_say() -> None:
    truth = shapley(EEC)
    runs = [shapley_sampled(EEC.of, 6, samples=200, seed=s, confidence=0.9) for s in range(100)]
    held = [(run.low[0] <= truth[0] <= run.high[0]) for run in runs]
    assert 82 <= sum(held) <= 97  # 90 expected; the binomial's standard deviation is 3
    # More orders: the interval shrinks with the square root.
    long = shapley_sampled(EEC.of, 6, samples=20_000, confidence=0.9)
    assert 7 < runs[0].standard_error[0] / long.standard_error[0] < 14


def test_chunks_do_not_change_the_moments(monkeypatch) -> None:
    whole = shapley_sampled(EEC.of, 6, samples=50, seed=1)
    monkeypatch.setattr("shoal.games.cooperative.sampling.CHUNK", 6 * 7 * 2 * 4)
    parts = shapley_sampled(EEC.of, 6, samples=50, seed=1)
    assert np.allclose(whole.values, parts.values, rtol=0, atol=1e-12)
    assert np.allclose(whole.standard_error, parts.standard_error, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: shapley_sampled(EEC.of, 6, samples=5), "samples is 5, expected an even number"),
        (lambda: shapley_sampled(EEC.of, 6, samples=2), "samples is 2"),
        (lambda: shapley_sampled(EEC.of, 0), "0 players"),
        (lambda: shapley_sampled(EEC.of, 6, confidence=1.5), "confidence is 1.5"),
        (lambda: shapley_sampled(lambda m: m.sum(1) + 1.0, 3), "gave 1 for the empty coalition"),
        (lambda: shapley_sampled(lambda m: np.zeros(3), 3), r"gave shape \[3\]"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
