"""Scores with their uncertainty, after Agarwal et al. (2021), "Deep RL at the edge of the
statistical precipice" (arXiv:2108.13264).

Returns are `[K, E]`: E evaluation episodes of each of K training seeds. What varies independently
is a training run, so a run's score is the mean of its episodes, and runs are resampled; with one
run there is nothing to say about training, and its episodes are resampled instead: the interval
then speaks of this one policy. (The paper's bootstrap is stratified by task; here each task has
a table of its own, so the stratum is the table.)
"""

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
RESAMPLES = 2000
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


def summary(
    returns: Float[np.ndarray, "K E"], *, seed: int = 0, level: float = LEVEL
) -> dict[str, float]:
    """`mean` and `iqm` of the scores, and the interval `low`..`high` of the mean at `level`."""
    x = scores(np.asarray(returns, float))
    low, high = bootstrap_interval(x, seed=seed, level=level)
    return {"mean": float(x.mean()), "iqm": float(iqm(x)), "low": float(low), "high": float(high)}
