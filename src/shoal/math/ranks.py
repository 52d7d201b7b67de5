"""Ranks in place of raw fitness, so that no outlier steers a population (Salimans et al. 2017,
arXiv:1703.03864; Wierstra et al. 2014)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def centered_ranks(fitness: Float[Array, "P"]) -> Float[Array, "P"]:
    """Ranks scaled to [-1/2, 1/2], the best at 1/2; they add up to 0.

    Equals share the mean of their ranks, so that where all are equal each has 0. NaN is worst.
    """
    fitness = jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)
    worse = (fitness[None, :] < fitness[:, None]).sum(1)
    better = (fitness[None, :] > fitness[:, None]).sum(1)
    return (worse - better) / (2.0 * (fitness.size - 1))
