"""Evolutionarily stable strategies: known games, copositivity, and the definition itself."""

from fractions import Fraction as F
from itertools import product

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.evolutionary.stability import evolutionarily_stable, is_ess, strictly_copositive
from shoal.games.normal_form import NormalForm, rational


def rock_paper_scissors(win: int, loss: int) -> list:
    return [[0, -loss, win], [win, 0, -loss], [-loss, win, 0]]


@pytest.mark.parametrize(
    ("gains", "stable"),
    [
        ([[-1, 4], [0, 2]], [[F(2, 3), F(1, 3)]]),  # hawk and dove, V / C = 4 / 6
        ([[1, 4], [0, 2]], [[1, 0]]),  # V > C
        ([[3, 0], [5, 1]], [[0, 1]]),  # prisoner's dilemma
        ([[2, 0], [0, 1]], [[1, 0], [0, 1]]),
        (rock_paper_scissors(2, 1), [[F(1, 3)] * 3]),
        (rock_paper_scissors(1, 1), []),
        (rock_paper_scissors(1, 2), []),
        (np.eye(4), np.eye(4, dtype=int)),
        (1 - np.eye(4), [[F(1, 4)] * 4]),
        (np.zeros((3, 3)), []),
        # Three birds: hawk, dove and bourgeois, who owns half of the time.
        ([[-1, 4, 1.5], [0, 2, 1], [-0.5, 3, 2]], [[0, 0, 1]]),
    ],
    ids=[
        *("hawk dove", "war", "dilemma", "coordination", "good rps", "rps", "bad rps"),
        *("eye", "anti-coordination", "flat", "bourgeois"),
    ],
)
def test_all_stable_strategies(gains, stable) -> None:
    found = evolutionarily_stable(gains)
    assert [list(x) for x in found.exact] == [list(x) for x in stable]
    assert found.supports == [tuple(np.flatnonzero(x)) for x in stable]
    assert all(is_ess(gains, x) for x in found.exact)
    assert evolutionarily_stable(NormalForm.symmetric(gains)).supports == found.supports


@pytest.mark.parametrize(("cross", "want"), [(0.5, True), (1, False), (2, False), (-5, True)])
def test_mutants_that_do_as_well_must_not_do_well_together(cross: float, want: bool) -> None:
    # The first action meets mutants 2 and 3 as equals; mixed, they gain (cross - 1) / 2 each other.
    gains = [[0, 0, 0], [0, -1, cross], [0, cross, -1]]
    assert is_ess(gains, [1, 0, 0]) is want


def test_the_criterion_is_the_definition() -> None:
    """Against all mutants on a grid, near the strategy, in rational numbers."""
    grid = [
        np.array([F(i, 12), F(j, 12), F(12 - i - j, 12)]) for i in range(13) for j in range(13 - i)
    ]
    seen = set()
    for seed in range(12):
        gains = rational(np.random.default_rng(seed).integers(-2, 3, (3, 3)))
        tried = [np.array(x) for x in product([F(0), F(1)], repeat=3) if sum(x) == 1]
        for x in tried + evolutionarily_stable(gains.astype(float)).exact:
            near = [x + F(1, 1000) * (z - x) for z in grid if any(z != x)]
            want = all((x - y) @ gains @ y > 0 for y in near)
            assert is_ess(gains.astype(float), x) is want, (seed, x)
            seen.add((want, (x == 0).sum()))
    assert {(True, 2), (False, 2), (True, 1)} <= seen  # pure, not stable, mixed


@pytest.mark.parametrize(
    ("matrix", "want"),
    [
        ([[1, 0], [0, 1]], True),
        ([[1, -1], [-1, 1]], False),  # 0 at (1, 1)
        ([[1, -2], [-2, 5]], True),
        ([[1, -3], [-3, 5]], False),
        ([[1, 9], [9, 0]], False),
        ([[1, 9, 9], [9, 1, 9], [9, 9, 1]], True),
        # Positive on each face of two, 3 - 6 x 0.6 < 0 in the middle.
        ([[1, -0.6, -0.6], [-0.6, 1, -0.6], [-0.6, -0.6, 1]], False),
        ([[1, -0.5, -0.5], [-0.5, 1, -0.5], [-0.5, -0.5, 1]], False),  # 0 in the middle
        ([[1, -0.4, -0.4], [-0.4, 1, -0.4], [-0.4, -0.4, 1]], True),
    ],
)
def test_strict_copositivity(matrix: list, want: bool) -> None:
    assert strictly_copositive(rational(matrix)) is want


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: is_ess(np.eye(2), [1, 0, 0]), r"shape \[3\], expected \[2\]"),
        (lambda: is_ess(np.eye(2), [0.7, 0.7]), "not a distribution"),
        (lambda: is_ess(np.eye(2), [float("nan"), 1]), "shares are not all finite"),
        (lambda: evolutionarily_stable(np.eye(15)), "15 actions, the search takes at most 14"),
        (lambda: evolutionarily_stable(NormalForm.zero_sum([[1, 0], [0, 0]])), "not symmetric"),
        (lambda: evolutionarily_stable(NormalForm(np.ones((3, 2, 2, 2)))), "needs 2 players"),
    ],
)
def test_bad_input_of_evolution_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
