"""Finite populations: closed forms of fixation, extreme selection, rare mutations, whole chains."""

from itertools import combinations

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.evolutionary.finite import (
    Moran,
    PairwiseComparison,
    fixation_probability,
    log_constant_fixation,
    log_fixation,
    mixed_gains,
    rare_mutations,
)
from shoal.games.evolutionary.population_chain import compositions, population_chain
from shoal.games.normal_form import NormalForm

# Han et al. 2013, as in OpenSpiel's alpharank_test.py: proposers of commitments and four others.
R, T, P, S, DELTA, EPS = 1.0, 2.0, 0.0, -1.0, 4.0, 0.25
HAN = [
    [R - EPS / 2, R - EPS, 0, S + DELTA - EPS, R - EPS],
    [R, R, S, S, S],
    [0, T, P, P, P],
    [T - DELTA, T, P, P, P],
    [R, T, P, P, P],
]
HAN_SHARES = [0.40966787, 0.07959841, 0.20506998, 0.08505983, 0.22060390]
RPS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]


@pytest.mark.parametrize("process", [PairwiseComparison(3.0), Moran(0.5), Moran(0.5, "linear")])
@pytest.mark.parametrize("population", [2, 10, 1000])
def test_neutral_drift(process, population: int) -> None:
    rho = fixation_probability(np.ones((2, 2)), 0, 1, population, process)
    assert rho == pytest.approx(1 / population, rel=1e-12)


@pytest.mark.parametrize("fitness", [1.1, 2.0, 0.9])
def test_a_mutant_of_constant_fitness(fitness: float) -> None:
    want = (1 - 1 / fitness) / (1 - fitness**-30)
    gains = np.log([[fitness, fitness], [1, 1]])
    assert fixation_probability(gains, 0, 1, 30, Moran(1.0)) == pytest.approx(want, rel=1e-12)
    linear = fixation_probability([[fitness] * 2, [1, 1]], 0, 1, 30, Moran(1.0, "linear"))
    assert linear == pytest.approx(want, rel=1e-12)
    closed = np.exp(log_constant_fixation(np.log([fitness]), 30))
    np.testing.assert_allclose(closed, want, rtol=1e-12)


def test_selection_of_any_strength() -> None:
    ratios = np.full((1, 999), 1e6)  # a mutant that always loses
    np.testing.assert_allclose(log_fixation(ratios), -999e6, rtol=1e-12)
    np.testing.assert_allclose(
        log_constant_fixation(np.array([-1e6, 1e6]), 1000), [-999e6, 0], 1e-12
    )
    for u in (-3.0, -1e-9, 0.0, 1e-13, 0.2, 40.0):
        both = log_fixation(np.full((1, 49), -u)), log_constant_fixation(np.array([u]), 50)
        np.testing.assert_allclose(*both, rtol=1e-11, atol=1e-11)


def test_weak_selection_follows_nowaks_law() -> None:
    """Z rho = 1 + w (alpha Z - beta) / 6 (Nowak, Sasaki, Taylor, Fudenberg 2004)."""
    a, b, c, d, size, w = 3.0, 1.0, 4.0, 2.5, 20, 1e-6
    first = (a + 2 * b - c - 2 * d) * size - (2 * a + b + c - 4 * d)
    for process in (PairwiseComparison(w), Moran(w), Moran(w, "linear")):
        rho = fixation_probability([[a, b], [c, d]], 0, 1, size, process)
        assert (size * rho - 1) / w == pytest.approx(first / 6, rel=1e-3)


def test_groups_of_three_by_counting() -> None:
    game = NormalForm(_public_goods())
    population, mutants = 6, 2
    members = [0] * mutants + [1] * (population - mutants)
    mine, theirs = mixed_gains(game, 0, 1, population)
    for focal, got in ((0, mine), (population - 1, theirs)):
        others = [members[i] for i in range(population) if i != focal]
        gains = [game.payoffs[(0, members[focal], *pair)] for pair in combinations(others, 2)]
        assert got[mutants - 1] == pytest.approx(np.mean(gains), rel=1e-14)


def _public_goods() -> np.ndarray:
    """Action 0 gives 1; gifts times 2.5, squared for a little curvature, are shared by three."""
    payoffs = np.zeros((3, 2, 2, 2))
    for actions in np.ndindex(2, 2, 2):
        gifts = 3 - sum(actions)
        for i in range(3):
            payoffs[(i, *actions)] = 2.5 * gifts**2 / 3 - (actions[i] == 0)
    return payoffs


def test_rare_mutations_of_han() -> None:
    found = rare_mutations(HAN, 20, PairwiseComparison(0.1))
    np.testing.assert_allclose(found.distribution, HAN_SHARES, rtol=0, atol=5e-9)  # 8 digits
    assert found.residual < 1e-15
    np.testing.assert_allclose(found.transitions.sum(1), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("beta", [0.01, 1.0, 1e4])
def test_rock_paper_scissors_keeps_thirds(beta: float) -> None:
    found = rare_mutations(RPS, 30, PairwiseComparison(beta))
    np.testing.assert_allclose(found.distribution, 1 / 3, rtol=1e-9)


def test_two_strategies_balance() -> None:
    gains = np.array([[1.0, 0.2], [0.7, 0.9]])
    found = rare_mutations(gains, 12, PairwiseComparison(0.8))
    mine, theirs = mixed_gains(NormalForm.symmetric(gains), 0, 1, 12)
    # pi_0 / pi_1 = rho_10 / rho_01 = prod T+ / T-.
    ratio = np.exp(0.8 * (mine - theirs).sum())
    assert found.distribution[0] / found.distribution[1] == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize("process", [PairwiseComparison(0.7), Moran(0.3), Moran(0.3, "linear")])
def test_the_chain_of_two_strategies_is_in_detailed_balance(process) -> None:
    found = population_chain([[1.0, 0.2], [0.7, 0.9]], 9, process, mutation=0.05)
    assert found.states[:, 0].tolist() == list(range(10))
    moves = found.transitions.toarray()
    up, down = np.diag(moves, 1), np.diag(moves, -1)
    weights = np.concatenate([[1], np.cumprod(up / down)])
    np.testing.assert_allclose(found.distribution, weights / weights.sum(), rtol=1e-10)
    np.testing.assert_allclose(moves.sum(1), 1, rtol=0, atol=1e-14)
    # By hand, one of 9 has the first strategy, gains 0.2 against 0.9 x 7/8 + 0.7 / 8.
    if isinstance(process, PairwiseComparison):
        gap = 0.2 - (0.9 * 7 + 0.7) / 8
        meets = 0.95 * (8 / 9) * (1 / 8) / (1 + np.exp(-0.7 * gap))
        assert up[1] == pytest.approx(meets + 0.05 * 8 / 9, rel=1e-13)


@pytest.mark.parametrize("process", [PairwiseComparison(0.1), Moran(0.1)])
def test_few_mutations_are_the_limit_of_the_chain(process) -> None:
    gains = np.array(HAN)[:3, :3]
    want = rare_mutations(gains, 8, process).distribution
    gap = [
        np.abs(population_chain(gains, 8, process, rate).shares - want).max()
        for rate in (1e-3, 1e-5)
    ]
    assert gap[1] < 1e-3 and gap[1] < gap[0] / 50  # it falls with the rate


@pytest.mark.parametrize(("population", "mutation"), [(12, 1e-9), (12, 1e-14), (100, 1e-12)])
def test_mutations_so_rare_that_1_less_them_rounds(population: int, mutation: float) -> None:
    """A chain that nearly falls apart keeps its digits, though a step changes the shares by less
    than what a float can tell."""
    for gains in (RPS, np.array(HAN)[:3, :3]):
        want = rare_mutations(gains, population, PairwiseComparison(0.1)).distribution
        found = population_chain(gains, population, PairwiseComparison(0.1), mutation)
        slack = 1e-12 + 100 * population * mutation
        np.testing.assert_allclose(found.shares, want, rtol=0, atol=slack)


def test_the_chain_of_three_agrees_with_eigenvectors() -> None:
    found = population_chain(np.array(HAN)[:3, :3], 6, Moran(0.4), mutation=0.02)
    values, vectors = np.linalg.eig(found.transitions.toarray().T)
    want = vectors[:, np.abs(values - 1).argmin()].real
    np.testing.assert_allclose(found.distribution, want / want.sum(), rtol=0, atol=1e-12)
    assert found.residual < 1e-14 and found.shares.sum() == pytest.approx(1, abs=1e-12)


def test_a_hundred_members_of_three_strategies() -> None:
    found = population_chain(RPS, 100, PairwiseComparison(1.0), mutation=0.01)
    assert found.states.shape == (5151, 3) and found.residual < 1e-14
    np.testing.assert_allclose(found.shares, 1 / 3, rtol=0, atol=1e-10)


def test_compositions() -> None:
    assert compositions(2, 2).tolist() == [[0, 2], [1, 1], [2, 0]]
    assert compositions(3, 1).tolist() == [[3]]
    assert len({tuple(c) for c in compositions(4, 3).tolist() if sum(c) == 4}) == 15


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rare_mutations(RPS, 1, Moran(1.0)), "population is 1, expected at least 2"),
        (lambda: fixation_probability(RPS, 3, 0, 9, Moran(1.0)), r"mutant is 3, .* in 0\.\.2"),
        (lambda: rare_mutations(RPS, 9, Moran(0.9, "linear")), "fitness falls to -0"),
        (lambda: Moran(1.0, "lineal"), "did you mean 'linear'"),
        (lambda: Moran(-1.0), "beta is -1.0, expected at least 0"),
        (lambda: PairwiseComparison(float("nan")), "beta is nan, expected at least 0"),
        (lambda: rare_mutations(NormalForm.zero_sum(RPS[:2]), 9, Moran(1.0)), "different numbers"),
        (lambda: population_chain(RPS, 9, Moran(1.0), 0.0), r"mutation is 0.0, expected in \(0, 1"),
        (lambda: population_chain(RPS, 1000, Moran(1.0), 0.1), "501501 states, .* rare_mutations"),
    ],
)
def test_bad_input_of_populations_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
