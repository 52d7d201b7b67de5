r"""Separable natural evolution strategy: a normal distribution of parameters, each with a width of
its own, that climbs the natural gradient of what its members earn.

$$
\begin{aligned}
\mu &\leftarrow \mu + \eta_\mu\, \sigma \sum_j u_j z_j \\
\sigma &\leftarrow \sigma \exp\Big(\frac{\eta_\sigma}{2} \sum_j u_j (z_j^2 - 1)\Big),
  \qquad z_j \sim N(0, I)
\end{aligned}
$$

where member j plays with mu + sigma z_j. The utility u_j goes by the rank of its return alone:
max(0, log(P / 2 + 1) - log rank), scaled to a sum of 1, less 1 / P.
Schaul, Glasmachers and Schmidhuber 2011 (GECCO); Wierstra et al. 2014, JMLR 15, arXiv:1106.4487.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.agents.evolution.evolution import Evolution, EvolutionState
from shoal.core.algorithm import Metrics
from shoal.core.env import EnvSpec
from shoal.core.limits import NonNegative
from shoal.math.ranks import weights_by_rank


class SNES(Evolution):
    """A search whose width adapts in each direction of its own."""

    sigma_rate: NonNegative = 1.0
    """How fast widths adapt, in units of the paper's (3 + log D) / (5 sqrt D) for D parameters."""

    def start(self, spec: EnvSpec, mean: Float[Array, "G D"]) -> Float[Array, "G D"]:
        """The logarithm of each parameter's width."""
        return jnp.full_like(mean, jnp.log(self.sigma))

    def spread(
        self, search: Float[Array, "G D"], noise: Float[Array, "M G D"]
    ) -> Float[Array, "M G D"]:
        return jnp.exp(search) * noise

    def step(
        self,
        state: EvolutionState,
        noise: Float[Array, "P G D"],
        fitness: Float[Array, "P G"],
        behaviours: Float[Array, "P G K"] | None,
    ) -> tuple[Float[Array, "G D"], Any, Metrics]:
        table = utilities(self.population)
        utility = jax.vmap(lambda f: weights_by_rank(f, table), 1, 1)(fitness)
        ascent = jnp.einsum("pg,pgd->gd", utility, noise)
        widening = jnp.einsum("pg,pgd->gd", utility, noise**2 - 1)
        size = noise.shape[-1]
        rate = self.sigma_rate * (3 + math.log(size)) / (5 * math.sqrt(size))
        log_sigma = state.search + rate / 2 * widening
        sigma = jnp.exp(state.search)
        return -sigma * ascent, log_sigma, {"sigma": jnp.exp(log_sigma).mean()}


def utilities(population: int) -> np.ndarray:
    """What each rank counts, from the best to the worst; they add up to 0."""
    raw = np.maximum(0, np.log(population / 2 + 1) - np.log(np.arange(1, population + 1)))
    return raw / raw.sum() - 1 / population


def snes(**overrides: Any) -> SNES:
    """Separable natural evolution strategy. `overrides` are fields of `SNES`.

    When to use it:
        As `openai_es`, with widths that adapt and one setting to choose.

    What breaks it:
        Parameters that must change together: each has a width of its own, but no correlations.
    """
    return SNES(**overrides)
