"""Stationary distributions: by hand, against eigenvectors, and their limits against small T."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.evolutionary.markov import imbalance, limit, stationary, stationary_sparse


def random_chain(size: int, seed: int) -> np.ndarray:
    chain = np.random.default_rng(seed).uniform(size=(size, size)) ** 4
    return chain / chain.sum(1, keepdims=True)


def by_eigenvectors(chain: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eig(chain.T)
    pi = vectors[:, np.abs(values - 1).argmin()].real
    return pi / pi.sum()


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_both_methods_agree_with_eigenvectors(size: int) -> None:
    chain = random_chain(size, size)
    want = by_eigenvectors(chain)
    np.testing.assert_allclose(np.exp(stationary(np.log(chain))), want, rtol=0, atol=1e-13)
    np.testing.assert_allclose(stationary_sparse(chain), want, rtol=0, atol=1e-13)
    assert imbalance(chain, want) < 1e-13 < imbalance(chain, np.eye(size)[0]) + (size == 1)


def test_rates_that_no_float_holds() -> None:
    # Up with e**-5000, down with e**-3000: balance is in the ratio e**-2000.
    log_rates = np.array([[0, -5000.0, -np.inf], [-3000, 0, -5000], [-np.inf, -3000, 0]])
    np.testing.assert_allclose(stationary(log_rates), [0, -2000, -4000], rtol=0, atol=1e-9)


def test_states_that_are_left_for_good_have_no_share() -> None:
    chain = np.array([[0.5, 0.5, 0], [0, 0.7, 0.3], [0, 0.1, 0.9]])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            np.exp(stationary(np.log(chain))), [0, 0.25, 0.75], rtol=0, atol=1e-15
        )
    np.testing.assert_allclose(stationary_sparse(chain), [0, 0.25, 0.75], rtol=0, atol=1e-15)


@pytest.mark.parametrize("seed", range(8))
def test_the_limit_is_that_of_small_temperatures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 4, (6, 6)).astype(float)  # small, so that ties are many
    factors = np.log(rng.uniform(0.5, 2.0, (6, 6)))
    want = np.exp(stationary(factors - costs / 0.01))
    np.testing.assert_allclose(limit(costs, factors), want, rtol=0, atol=1e-12)


def test_the_limit_of_two_ways_by_hand() -> None:
    # Out of the first state at cost 2, out of the second at cost 1: all time in the first.
    costs = np.array([[0.0, 2.0], [1.0, 0.0]])
    assert limit(costs, np.zeros((2, 2))).tolist() == [1.0, 0.0]
    even = limit(np.array([[0.0, 1.0], [1.0, 0.0]]), np.log([[1.0, 3.0], [1.0, 1.0]]))
    np.testing.assert_allclose(even, [0.25, 0.75], rtol=0, atol=1e-15)


def test_several_answers_are_refused() -> None:
    costs = np.array([[0, np.inf], [np.inf, 0]])
    for call in (
        lambda: stationary(-costs),
        lambda: limit(costs, np.zeros((2, 2))),
        lambda: stationary_sparse(np.eye(2)),
    ):
        with pytest.raises(UserError, match="2 sets of states that are never left"):
            call()
