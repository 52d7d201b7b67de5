"""Alpha-rank: the published case, limits by hand, and an independent chain."""

import math
from itertools import product

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.evolutionary import alpha_rank as module
from shoal.games.evolutionary.alpha_rank import alpha_rank, sink_components
from shoal.games.normal_form import NormalForm

# Han et al. 2013, as in OpenSpiel's alpharank_test.py.
R, T, P, S, DELTA, EPS = 1.0, 2.0, 0.0, -1.0, 4.0, 0.25
HAN = [
    [R - EPS / 2, R - EPS, 0, S + DELTA - EPS, R - EPS],
    [R, R, S, S, S],
    [0, T, P, P, P],
    [T - DELTA, T, P, P, P],
    [R, T, P, P, P],
]
RPS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
SEXES = NormalForm.bimatrix([[3, 0], [0, 2]], [[2, 0], [0, 3]])
UNEQUAL = NormalForm.bimatrix([[2, 0], [0, 1]], [[2, 0], [0, 1]])


def test_the_published_case() -> None:
    found = alpha_rank(HAN, 0.1, 20)
    want = [0.40966787, 0.07959841, 0.20506998, 0.08505983, 0.22060390]
    np.testing.assert_allclose(found.distribution, want, rtol=0, atol=5e-9)  # 8 digits are given
    assert found.residual < 1e-15 and found.ranking[0][0] == (0,)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 10.0, 1e6, 1e300, math.inf])
def test_rock_paper_scissors(alpha: float) -> None:
    np.testing.assert_allclose(alpha_rank(RPS, alpha).distribution, 1 / 3, rtol=1e-9)
    pairs = alpha_rank(NormalForm.symmetric(RPS), alpha)
    np.testing.assert_allclose(pairs.marginals, np.full((2, 3), 1 / 3), rtol=1e-9)


def by_eigenvectors(game: NormalForm, alpha: float, m: int) -> np.ndarray:
    profiles = list(product(*map(range, game.num_actions)))
    chain = np.zeros((len(profiles),) * 2)
    for (s, a), (r, b) in product(enumerate(profiles), enumerate(profiles)):
        changed = [i for i in range(len(a)) if a[i] != b[i]]
        if len(changed) == 1:
            gain = alpha * (game.payoffs[(changed[0], *b)] - game.payoffs[(changed[0], *a)])
            chain[s, r] = 1 / sum(math.exp(-k * gain) for k in range(m))
    chain /= sum(n - 1 for n in game.num_actions)
    chain += np.diag(1 - chain.sum(1))
    values, vectors = np.linalg.eig(chain.T)
    pi = vectors[:, np.abs(values - 1).argmin()].real
    return pi / pi.sum()


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (2, 3, 2)])
def test_a_population_each_against_the_plain_formula(shape: tuple, monkeypatch) -> None:
    game = NormalForm(np.random.default_rng(1).normal(size=(len(shape), *shape)))
    want = by_eigenvectors(game, 0.4, 7)
    found = alpha_rank(game, 0.4, 7)
    np.testing.assert_allclose(found.distribution, want, rtol=0, atol=1e-12)
    assert found.profiles[1] == (0,) * (len(shape) - 1) + (1,)
    monkeypatch.setattr(module, "DENSE", 1)
    sparse = alpha_rank(game, 0.4, 7)
    assert sparse.method == "sparse factorisation"
    np.testing.assert_allclose(sparse.distribution, want, rtol=0, atol=1e-12)


def test_open_spiel_agrees() -> None:
    theirs = pytest.importorskip("open_spiel.python.egt.alpharank")
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(6, 6)), rng.normal(size=(2, 3, 4))
    single = theirs.compute([one], m=15, alpha=0.3, use_local_selection_model=False)[2]
    np.testing.assert_allclose(alpha_rank(one, 0.3, 15).distribution, single, rtol=0, atol=1e-12)
    meeting = theirs.compute([one], m=15, alpha=0.3)[2]  # its default
    found = alpha_rank(one, 0.3, 15, selection="pair").distribution
    np.testing.assert_allclose(found, meeting, rtol=0, atol=1e-12)
    assert np.abs(found - single).max() > 0.01
    pair = theirs.compute(list(two), m=15, alpha=0.3)[2]
    np.testing.assert_allclose(
        alpha_rank(NormalForm(two), 0.3, 15).distribution, pair, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("game", "losses", "want"),
    [
        (NormalForm.symmetric([[3, 0], [5, 1]]), "payoff", [0, 0, 0, 1]),  # prisoner's dilemma
        (SEXES, "payoff", [0.5, 0, 0, 0.5]),  # either way out costs 2 a mutant
        (UNEQUAL, "payoff", [1, 0, 0, 0]),  # one way out costs 2, the other 1
        (UNEQUAL, "count", [0.5, 0, 0, 0.5]),
        # The column's first move to 2 is a tie, once m / 1 as slow as the row's way back.
        (NormalForm.bimatrix([[1, 0], [0, 0]], [[0, 0], [0, 0]]), "payoff", None),
        (NormalForm.zero_sum([[1, -1], [-1, 1]]), "payoff", [0.25] * 4),
    ],
    ids=["dilemma", "sexes", "unequal", "unequal by count", "ties", "pennies"],
)
def test_infinite_alpha_by_hand_and_as_a_limit(game, losses: str, want: list | None) -> None:
    found = alpha_rank(game, population=6, losses=losses)
    if want is not None:
        np.testing.assert_allclose(found.distribution, want, rtol=0, atol=1e-12)
    if losses == "payoff":
        np.testing.assert_allclose(
            found.distribution, alpha_rank(game, 300.0, 6).distribution, rtol=0, atol=1e-9
        )
    assert found.residual < 1e-12


def test_infinite_alpha_of_one_population_is_the_limit() -> None:
    for seed in range(4):
        gains = np.random.default_rng(seed).integers(-3, 4, (5, 5)).astype(float)
        found = alpha_rank(gains, population=9).distribution
        np.testing.assert_allclose(found, alpha_rank(gains, 1e5, 9).distribution, rtol=0, atol=1e-9)
    near = alpha_rank(HAN, 1e6, 20).distribution
    np.testing.assert_allclose(alpha_rank(HAN, population=20).distribution, near, rtol=0, atol=1e-9)


def test_chains_that_fall_apart_at_large_alpha_have_an_answer() -> None:
    """OpenSpiel's sweep crashed there (its #1616): two strict equilibria, floats of e**-49000."""
    for alpha in (500.0, 1e5, 1e300):
        np.testing.assert_allclose(
            alpha_rank(SEXES, alpha).distribution, [0.5, 0, 0, 0.5], rtol=0, atol=1e-12
        )
    assert sink_components(SEXES) == [[(0, 0)], [(1, 1)]]
    ring = NormalForm.symmetric(RPS)
    assert len(sink_components(ring)) == 1


@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0), (1e12, 0), (1e-4, 1e8)])
def test_units_do_not_matter_at_infinite_alpha(scale: float, shift: float | int) -> None:
    for game in (SEXES, UNEQUAL, NormalForm.symmetric([[3, 0], [5, 1]])):
        moved = NormalForm(np.asarray(game.payoffs) * scale + shift)
        want = alpha_rank(game).distribution
        np.testing.assert_allclose(alpha_rank(moved).distribution, want, rtol=0, atol=1e-12)
        assert sink_components(moved) == sink_components(game)


@pytest.mark.parametrize("alpha", [1.0, math.inf])
def test_one_profile_and_one_player(alpha: float) -> None:
    assert alpha_rank([[7.0]], alpha).distribution.tolist() == [1]
    alone = alpha_rank(NormalForm([[0.0, 90.0]]), alpha)
    np.testing.assert_allclose(alone.distribution, [0, 1], rtol=0, atol=1e-12)


def test_a_mutant_that_meets_a_resident_by_hand() -> None:
    """Of two actions the shares are as their ways in; u is alpha (A[1, 0] - A[0, 1]) one way."""
    gains, m = np.array([[0.3, 1.0], [2.0, -5.0]]), 8
    for alpha in (0.0, 0.1, 2.0):
        up = 1 / sum(math.exp(-k * alpha) for k in range(m))  # 2.0 - 1.0 is 1
        down = 1 / sum(math.exp(k * alpha) for k in range(m))
        found = alpha_rank(gains, alpha, m, selection="pair")
        assert found.distribution == pytest.approx([down / (up + down), up / (up + down)])
    for seed in range(4):
        gains = np.random.default_rng(seed).integers(-3, 4, (5, 5)).astype(float)
        limit = alpha_rank(gains, population=9, selection="pair").distribution
        near = alpha_rank(gains, 1e5, 9, selection="pair").distribution
        np.testing.assert_allclose(limit, near, rtol=0, atol=1e-9)


def test_symmetric_games_take_one_population_when_asked() -> None:
    game = NormalForm.symmetric(HAN)
    one = alpha_rank(game, 0.1, 20, symmetric=True)
    assert one.distribution.tolist() == alpha_rank(HAN, 0.1, 20).distribution.tolist()
    assert len(alpha_rank(game, 0.1, 20).profiles) == 25


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: alpha_rank(RPS, -1.0), "alpha is -1.0, expected at least 0"),
        (lambda: alpha_rank(RPS, population=1), "population is 1"),
        (lambda: alpha_rank(RPS, losses="payof"), "did you mean 'payoff'"),
        (lambda: alpha_rank(RPS, selection="pairs"), "did you mean 'pair'"),
        (lambda: alpha_rank([[1, 2]]), "square"),
        (lambda: alpha_rank(SEXES, symmetric=True), "not symmetric"),
        (lambda: alpha_rank(NormalForm(1e-12 * SEXES.payoffs), symmetric=True), "not symmetric"),
        (lambda: alpha_rank(NormalForm(np.ones((2, 40, 40)))), "1600 profiles, at most 1000"),
    ],
)
def test_bad_input_of_alpha_rank_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
