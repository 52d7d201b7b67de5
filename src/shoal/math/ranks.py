"""Ranks in place of raw fitness, so that no outlier steers a population (Salimans et al. 2017,
arXiv:1703.03864; Wierstra et al. 2014)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def centered_ranks(fitness: Float[Array, "P"]) -> Float[Array, "P"]:
    """Ranks scaled to [-1/2, 1/2], the best at 1/2; they add up to 0.

    Equals share the mean of their ranks, so that where all are equal each has 0. NaN is worst.
    """
    worse, better = _worse_and_better(fitness)
    return (worse - better) / (2.0 * (fitness.size - 1))


def weights_by_rank(fitness: Float[Array, "P"], weights: np.ndarray) -> Float[Array, "P"]:
    """Each member's own of `weights`, a constant `[P]` that begins with the best one's.

    Equals share the mean of theirs. NaN is worst.
    """
    worse, better = _worse_and_better(fitness)
    equal = fitness.size - worse - better  # itself as well
    sums = jnp.asarray(np.concatenate([[0.0], np.cumsum(weights)]), jnp.float32)
    return (sums[better + equal] - sums[better]) / equal


def _worse_and_better(fitness: Float[Array, "P"]) -> tuple[Int[Array, "P"], Int[Array, "P"]]:
    """How many are worse than each, and how many are better."""
    fitness = jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)
    worse = (fitness[None, :] < fitness[:, None]).sum(1)
    return worse, (fitness[None, :] > fitness[:, None]).sum(1)
