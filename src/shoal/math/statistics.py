"""Scores with their uncertainty, after Agarwal et al. (2021), "Deep RL at the edge of the
statistical precipice" (arXiv:2108.13264).

Returns are `[K, E]`: E evaluation episodes of each of K training seeds. What varies independently
is a training run, so a run's score is the mean of its episodes, and runs are resampled; with one
run there is nothing to say about training, and its episodes are resampled instead: the interval
then speaks of this one policy. With two to nine runs the interval is Student's t. (The paper's
bootstrap is stratified by task; `summary` speaks of one task, so that the stratum is the table.)

Comparisons speak of seeds alone. Their scores are `[W, U]`: U seeds in each of W worlds, and seeds
are resampled within each world.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95
RESAMPLES = 2000
ENOUGH_SEEDS = 10  # with fewer, percentile intervals are too narrow (Gorsane et al. 2022)
Numbers = np.ndarray | np.floating  # NumPy's own view of an array without axes


def scores(returns: Float[np.ndarray, "*P K E"]) -> Float[np.ndarray, "*P U"]:
    """What is averaged and resampled: one score a seed, or one an episode if K is 1."""
    return returns[..., 0, :] if returns.shape[-2] == 1 else returns.mean(-1)


def iqm(x: Float[np.ndarray, "*P U"]) -> Float[Numbers, "*P"]:
    """The interquartile mean over the last axis: the mean of what is left when the lowest and the
    highest `floor(U / 4)` are dropped."""
    cut = x.shape[-1] // 4
    return np.sort(x, -1)[..., cut : x.shape[-1] - cut].mean(-1)


def bootstrap_interval(
    x: Float[np.ndarray, "*P U"],
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> tuple[Float[Numbers, "*P"], Float[Numbers, "*P"]]:
    """The percentile bootstrap interval of the mean over the last axis.

    Each resample draws U of the U scores with replacement; its mean is a product of the scores
    with the counts drawn. All leading axes share the draws, so a seed is drawn as a whole curve.
    """
    count = x.shape[-1]
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    means = x @ (draws.T / count)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


def student_interval(
    x: Float[np.ndarray, "*P U"], *, level: float = LEVEL
) -> tuple[Float[Numbers, "*P"], Float[Numbers, "*P"]]:
    """Student's t interval of the mean over the last axis, for few scores of about normal spread:
    their bootstrap draws from too few values to be wide enough."""
    from scipy.special import stdtrit  # whose import takes a while

    count = x.shape[-1]
    quantile = stdtrit(count - 1, (1 + level) / 2)
    half = quantile * x.std(-1, ddof=1) / count**0.5
    return x.mean(-1) - half, x.mean(-1) + half


def mean_interval(
    x: Float[np.ndarray, "*P U"], *, seed: int = 0, level: float = LEVEL
) -> tuple[Float[Numbers, "*P"], Float[Numbers, "*P"]]:
    """The interval of the mean of U seeds: Student's t of fewer than ten, else the bootstrap."""
    if x.shape[-1] < ENOUGH_SEEDS:
        return student_interval(x, level=level)
    return bootstrap_interval(x, seed=seed, level=level)


def wilson_interval(
    share: Float[np.ndarray, "*P"], count: int, *, level: float = LEVEL
) -> tuple[Float[Numbers, "*P"], Float[Numbers, "*P"]]:
    """Wilson's score interval (1927) of how likely something is that happened in that share of
    `count` independent trials. It has a width at 0 and 1 too.

        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    return np.maximum((middle - half) / whole, 0.0), np.minimum((middle + half) / whole, 1.0)


def summary(
    returns: Float[np.ndarray, "K E"], *, seed: int = 0, level: float = LEVEL
) -> dict[str, float]:
    """`mean` and `iqm` of the scores, and the interval `low`..`high` of the mean at `level`."""
    return summaries({"": returns}, seed=seed, level=level)[""]


def summaries(
    columns: Mapping[str, Float[np.ndarray, "K E"]], *, seed: int = 0, level: float = LEVEL
) -> dict[str, dict[str, float]]:
    """`summary` of each of many columns of the same seeds and episodes."""
    if not columns:
        return {}
    returns = np.stack([np.asarray(column, float) for column in columns.values()])
    x, seeds = scores(returns), returns.shape[-2]
    interval = mean_interval if seeds > 1 else bootstrap_interval
    low, high = interval(x, seed=seed, level=level)
    found = np.stack([x.mean(-1), iqm(x), low, high], -1).tolist()
    words = ("mean", "iqm", "low", "high")
    return {name: dict(zip(words, each)) for name, each in zip(columns, found)}


# Comparisons ----------------------------------------------------------------------------------


def mean(x: Float[np.ndarray, "*P W U"]) -> Float[Numbers, "*P"]:
    """The mean over worlds of the means over seeds."""
    return x.mean((-2, -1))


def median(x: Float[np.ndarray, "*P W U"]) -> Float[Numbers, "*P"]:
    """The median over worlds of the means over seeds; of one world, the median over seeds."""
    return np.median(x[..., 0, :] if x.shape[-2] == 1 else x.mean(-1), -1)


def pooled_iqm(x: Float[np.ndarray, "*P W U"]) -> Float[Numbers, "*P"]:
    """The interquartile mean of all seeds of all worlds."""
    return iqm(x.reshape(*x.shape[:-2], -1))


def optimality_gap(x: Float[np.ndarray, "*P W U"]) -> Float[Numbers, "*P"]:
    """By how much scores miss 1, on average; what is above 1 counts as 1."""
    return 1 - np.minimum(x, 1).mean((-2, -1))


Statistic = Callable[[np.ndarray], Numbers]
AGGREGATES: Mapping[str, Statistic] = {"mean": mean, "median": median, "iqm": pooled_iqm}


def stratified_draws(
    worlds: int, seeds: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> Int[np.ndarray, "R W U"]:
    """Which seed stands in each place of each resample, drawn within each world."""
    shape = (resamples, worlds, seeds)
    return np.random.default_rng(seed).integers(seeds, size=shape)


def stratified_interval(
    statistic: Statistic,
    x: Float[np.ndarray, "*P W U"],
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> tuple[Float[Numbers, "*P"], Float[Numbers, "*P"]]:
    """The stratified percentile bootstrap interval of a statistic of `[..., W, U]`. All leading
    axes share the draws, so that a seed is drawn as a whole curve."""
    worlds, seeds = x.shape[-2:]
    draws = stratified_draws(worlds, seeds, seed=seed, resamples=resamples)
    drawn = x[..., np.arange(worlds)[:, None], draws]  # [*P, R, W, U]
    low, high = np.quantile(statistic(drawn), [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


def probability_of_improvement(x: Float[np.ndarray, "W U"], y: Float[np.ndarray, "W V"]) -> float:
    """The chance that a seed of X beats a seed of Y in the same world, averaged over worlds:
    `mean_w U_w / (U V)` with the Mann-Whitney statistic `U_w`; a draw is half a win."""
    return float(_wins(x, y).mean())


def improvement_interval(
    x: Float[np.ndarray, "W U"],
    y: Float[np.ndarray, "W V"],
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """The stratified bootstrap interval of `probability_of_improvement`; X's and Y's seeds are
    drawn apart. How often each was drawn weighs the table of wins, which is made once."""
    wins, rng = _wins(x, y), np.random.default_rng(seed)
    worlds, m, n = wins.shape
    weight_x = rng.multinomial(m, np.full(m, 1 / m), (resamples, worlds)) / m
    weight_y = rng.multinomial(n, np.full(n, 1 / n), (resamples, worlds)) / n
    chances = np.einsum("rwu,wuv,rwv->r", weight_x, wins, weight_y, optimize=True) / worlds
    low, high = np.quantile(chances, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _wins(x: Float[np.ndarray, "W U"], y: Float[np.ndarray, "W V"]) -> Float[np.ndarray, "W U V"]:
    """1 where x beats y, 1/2 where they draw."""
    return (np.sign(x[:, :, None] - y[:, None, :]) + 1) / 2


def performance_profile(
    x: Float[np.ndarray, "W U"], thresholds: Float[np.ndarray, "T"]
) -> Float[np.ndarray, "T"]:
    """The share of seeds, over all worlds, that score more than each threshold."""
    return (x.ravel()[None, :] > thresholds[:, None]).mean(-1)


def profile_interval(
    x: Float[np.ndarray, "W U"], thresholds: Float[np.ndarray, "T"], *, seed: int = 0
) -> tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T"]]:
    """The stratified bootstrap interval of `performance_profile`, threshold by threshold."""
    worlds, seeds = x.shape
    draws = np.random.default_rng(seed).multinomial(
        seeds, np.full(seeds, 1 / seeds), (RESAMPLES, worlds)
    )
    above = (x.ravel()[None, :] > thresholds[:, None]).astype(float)
    shares = above @ draws.reshape(RESAMPLES, -1).T / x.size
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return low, high
