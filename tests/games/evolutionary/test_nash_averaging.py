"""Nash averaging and diversity: the published case, invariance, and certificates."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.evolutionary.diversity import (
    effective_diversity,
    expected_cardinality,
    response_diversity,
)
from shoal.games.evolutionary.nash_averaging import nash_averaging

RPS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])


@pytest.mark.parametrize(
    ("gains", "strategy", "ratings"),
    [
        ([[0, -1, -1], [1, 0, -1], [1, 1, 0]], [0, 0, 1], [-1, -1, 0]),
        (RPS, [1 / 3] * 3, [0, 0, 0]),
        (RPS * 1e-4, [1 / 3] * 3, [0, 0, 0]),
        (np.zeros((4, 4)), [1 / 4] * 4, [0] * 4),
        # Biased: each is played by what the other two gain from each other.
        ([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]], np.array([1, 10, 5]) / 16, [0] * 3),
        # Rock twice: the two share what one had, and nobody's rating changes.
        (RPS[[0, 1, 2, 0]][:, [0, 1, 2, 0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], [0] * 4),
        # Three that tie; a fourth, worse than two, wins by 3 of the first: so x_1 <= 1/4.
        ([[0, 0, 0, -3], [0, 0, 0, 1], [0, 0, 0, 1], [3, -1, -1, 0]], [2, 3, 3, 0], [0] * 4),
    ],
    ids=["dominance", "rps", "small rps", "ties", "biased", "twice", "bound"],
)
def test_ratings(gains, strategy, ratings) -> None:
    found = nash_averaging(gains)
    want = np.array(strategy, float)
    np.testing.assert_allclose(found.strategy, want / want.sum(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.ratings, ratings, rtol=0, atol=1e-9)
    assert found.regret < 1e-9 and found.entropy_gap < 1e-9


@pytest.mark.parametrize("size", [5, 12, 25])
def test_certificates_of_tournaments(size: int) -> None:
    rng = np.random.default_rng(size)
    wins = np.triu(rng.choice([-1, 0, 1], (size, size)), 1)
    found = nash_averaging(wins - wins.T)
    assert found.regret < 1e-9 and found.entropy_gap < 1e-9
    assert found.strategy.min() >= 0 and found.strategy.sum() == pytest.approx(1, abs=1e-12)
    assert found.entropy == pytest.approx(
        -sum(p * np.log(p) for p in found.strategy if p > 0), abs=1e-12
    )


def test_diversity_of_rock_paper_scissors() -> None:
    assert expected_cardinality(RPS) == pytest.approx(1.5, abs=1e-12)
    assert effective_diversity(RPS) == pytest.approx(1 / 3, abs=1e-12)
    direct = np.trace(np.eye(3) - np.linalg.inv(RPS @ RPS.T + np.eye(3)))
    assert expected_cardinality(RPS) == pytest.approx(direct, abs=1e-12)


def test_copies_add_no_diversity() -> None:
    twice = RPS[[0, 0, 1, 2]][:, [0, 0, 1, 2]]
    assert effective_diversity(twice) == pytest.approx(1 / 3, abs=1e-9)
    assert effective_diversity([[0, -1], [1, 0]]) == 0
    assert effective_diversity([[0, -1], [1, 0]], [0.5, 0.5]) == 0.25
    assert expected_cardinality(np.ones((5, 1))) == pytest.approx(5 / 6, abs=1e-12)  # one direction
    assert expected_cardinality(1e9 * np.eye(4)) == pytest.approx(4, abs=1e-12)


@pytest.mark.parametrize(
    ("row", "want"),
    [([1, 1], np.sqrt(0.5)), ([0.3, 0.7], 0), ([2, 0], 1), ([-1, -1], np.sqrt(4.5))],
)
def test_response_diversity_is_a_distance(row: list, want: float) -> None:
    assert response_diversity(np.eye(2), row) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nash_averaging([[0, 1], [1, 0]]), "not antisymmetric: .* sum to 2"),
        (lambda: nash_averaging([[0, 1]]), r"shape \[1, 2\], expected a square"),
        (lambda: nash_averaging([[0, np.nan], [0, 0]]), "not all finite"),
        (lambda: effective_diversity(RPS, [1, 0]), r"shape \[2\], expected \[3\]"),
        (lambda: effective_diversity(RPS, [1, 1, 0]), "not a distribution"),
        (lambda: response_diversity(RPS, [1, 0]), r"row has shape \[2\], expected \[3\]"),
        (lambda: expected_cardinality([1, 0]), r"shape \[2\], expected a matrix"),
    ],
)
def test_bad_input_of_ratings_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
