"""Scores and intervals against hand arithmetic, SciPy, and their own promise of coverage."""

import numpy as np
import pytest
from scipy import stats

from shoal.math.statistics import (
    bootstrap_interval,
    iqm,
    mean_interval,
    scores,
    summary,
    wilson_interval,
)


def test_seeds_are_averaged_over_their_episodes_and_a_single_seed_is_not():
    returns = np.array([[1.0, 3.0], [4.0, 8.0], [0.0, 0.0]])
    assert scores(returns).tolist() == [2.0, 6.0, 0.0]
    assert scores(returns[:1]).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7, 8, 100])
def test_iqm_is_the_trimmed_mean(count):
    x = np.random.default_rng(count).normal(size=(2, count)) ** 3
    np.testing.assert_allclose(iqm(x), stats.trim_mean(x, 0.25, axis=-1))


def test_iqm_by_hand():
    assert iqm(np.array([100.0, 1.0, 2.0, 3.0, -50.0, 2.5, 2.5, 4.0])) == 2.5


def test_the_interval_agrees_with_scipy():
    x = np.random.default_rng(0).exponential(size=40)
    low, high = bootstrap_interval(x, resamples=20_000)
    theirs = stats.bootstrap((x,), np.mean, method="percentile", n_resamples=20_000, rng=1)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    """600 samples of 30 standard normals: percentile intervals of this size cover about 93 %."""
    samples = np.random.default_rng(5).normal(size=(600, 30))
    low, high = bootstrap_interval(samples)
    assert 0.90 < np.mean((low < 0) & (high > 0)) < 0.965
    low, high = bootstrap_interval(samples, level=0.5)
    assert 0.45 < np.mean((low < 0) & (high > 0)) < 0.55


def test_wilsons_interval_agrees_with_scipy():
    for happened, count in ((0, 7), (3, 10), (40, 41), (25, 25)):
        expected = stats.binomtest(happened, count).proportion_ci(0.9, method="wilson")
        found = wilson_interval(np.array([happened / count]), count, level=0.9)
        np.testing.assert_allclose(np.ravel(found), expected, atol=1e-12)


def test_summary():
    rng = np.random.default_rng(2)
    seeds, noise = np.array([[0.0], [10.0], [20.0], [30.0]]), rng.normal(size=(4, 500))
    wide = summary(seeds + noise)
    assert wide["mean"] == pytest.approx(15, abs=0.2)
    assert wide["iqm"] == pytest.approx(15, abs=0.2)
    # Four seeds that differ by 10: the interval speaks of seeds, however many episodes there are.
    expected = stats.t.interval(0.95, 3, 15, stats.sem([0, 10, 20, 30]))
    np.testing.assert_allclose([wide["low"], wide["high"]], expected, atol=0.5)
    many = summary(rng.normal(size=(12, 3)))  # ten and more are resampled
    assert many["high"] - many["low"] < 2 * 2.0 * 3**-0.5 / 12**0.5
    one = summary(noise[:1])
    half_width = 1.96 / np.sqrt(500)
    assert one["high"] - one["mean"] == pytest.approx(half_width, rel=0.15)
    assert summary(seeds + noise) == wide
    assert summary(np.full((3, 2), 4.5)) == {"mean": 4.5, "iqm": 4.5, "low": 4.5, "high": 4.5}


def test_leading_axes_are_independent_but_share_draws():
    x = np.random.default_rng(4).normal(size=(3, 10))
    low, high = bootstrap_interval(x)
    for i in range(3):
        alone = bootstrap_interval(x[i])
        np.testing.assert_allclose((low[i], high[i]), alone)


@pytest.mark.parametrize("seeds", [2, 5, 9])
def test_a_mean_of_few_seeds_has_the_interval_of_scipys_t(seeds):
    x = np.random.default_rng(seeds).normal(size=seeds)
    theirs = stats.t.interval(0.95, seeds - 1, x.mean(), stats.sem(x))
    assert mean_interval(x) == pytest.approx(theirs)


def test_a_mean_of_ten_seeds_has_the_bootstrap():
    x = np.random.default_rng(0).exponential(size=10)
    assert mean_interval(x) == bootstrap_interval(x)
