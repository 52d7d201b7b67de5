r"""CMA-ES: a normal distribution of parameters whose whole covariance adapts, and its width.

$$
\begin{aligned}
m &\leftarrow m + c_m \sigma \bar y, \quad y_j = C^{1/2} z_j, \quad \bar y = \sum_j w_j y_j \\
p_\sigma &\leftarrow (1 - c_\sigma)\, p_\sigma
  + \sqrt{c_\sigma (2 - c_\sigma)\, \mu_{eff}}\; C^{-1/2}\, \bar y \\
\sigma &\leftarrow \sigma \exp\Big(\frac{c_\sigma}{d_\sigma}
  \Big(\frac{|p_\sigma|}{E|N(0, I)|} - 1\Big)\Big) \\
p_c &\leftarrow (1 - c_c)\, p_c + h \sqrt{c_c (2 - c_c)\, \mu_{eff}}\; \bar y \\
C &\leftarrow (1 - c_1 - c_\mu + (1 - h)\, c_1 c_c (2 - c_c))\, C + c_1 p_c p_c^\top
  + c_\mu \sum_j w_j y_j y_j^\top
\end{aligned}
$$

where member j plays with m + sigma y_j and w_j is positive for the better half, by rank:
log((P + 1) / 2) - log rank, scaled to a sum of 1. The constants are those of Hansen 2016, The CMA
evolution strategy: a tutorial, arXiv:1604.00772, without its negative weights. C^(1/2) is computed
anew as rarely as there. A group whose members all earned the same stays as it is.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shoal.agents.evolution.evolution import Evolution, EvolutionState
from shoal.core.algorithm import Metrics
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.parallel import cond
from shoal.math.ranks import weights_by_rank

MOST = 2000  # parameters of a search: its covariance has their square, its root takes their cube
_LEAST = 1e-6  # share of the largest variance that float32 can tell from 0


class Constants(NamedTuple):
    """What follows from the number of parameters and the population, by the tutorial's names."""

    weights: np.ndarray  # [P]
    mu_eff: float
    c_s: float
    d_s: float
    c_c: float
    c_1: float
    c_mu: float
    norm: float  # what a standard normal vector has on average

    @staticmethod
    def of(size: int, population: int) -> "Constants":
        raw = np.log((population + 1) / 2) - np.log(np.arange(1, population + 1))
        weights = np.maximum(raw, 0) / np.maximum(raw, 0).sum()
        mu_eff = float(1 / (weights**2).sum())
        c_s = (mu_eff + 2) / (size + mu_eff + 5)
        d_s = 1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (size + 1)) - 1) + c_s
        c_c = (4 + mu_eff / size) / (size + 4 + 2 * mu_eff / size)
        c_1 = 2 / ((size + 1.3) ** 2 + mu_eff)
        c_mu = min(1 - c_1, 2 * (mu_eff - 1.75 + 1 / mu_eff) / ((size + 2) ** 2 + mu_eff))
        norm = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
        return Constants(weights, mu_eff, c_s, d_s, c_c, c_1, c_mu, norm)


class Covariance(eqx.Module):
    """The shape of one search, or in G groups of each, and where its mean has been heading."""

    sigma: Float[Array, "*G"]
    matrix: Float[Array, "*G D D"]
    root: Float[Array, "*G D D"]  # of the matrix, as it was when it was last computed
    path_sigma: Float[Array, "*G D"]
    path_c: Float[Array, "*G D"]


class CMAES(Evolution):
    """A search whose shape adapts in all directions, for networks of few parameters."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        mean = eqx.filter_eval_shape(self.start_mean, spec, jax.eval_shape(jax.random.key, 0))
        size = sum(x.size for x in jax.tree.leaves(mean)) // mean.network.groups.count
        require(
            size <= MOST,
            f"the network has {size:,} parameters and cma_es has a covariance of all of them, "
            f"expected at most {MOST:,}: make hidden narrower, or use snes",
        )

    def start(self, spec: EnvSpec, mean: Float[Array, "G D"]) -> Covariance:
        groups, size = mean.shape
        plain = jnp.broadcast_to(jnp.eye(size), (groups, size, size))
        sigma = jnp.broadcast_to(jnp.asarray(self.sigma, jnp.float32), (groups,))
        return Covariance(sigma, plain, plain, jnp.zeros_like(mean), jnp.zeros_like(mean))

    def spread(self, search: Covariance, noise: Float[Array, "M G D"]) -> Float[Array, "M G D"]:
        return search.sigma[:, None] * jnp.einsum("mgd,gde->mge", noise, search.root)

    def step(
        self,
        state: EvolutionState,
        noise: Float[Array, "P G D"],
        fitness: Float[Array, "P G"],
        behaviours: Float[Array, "P G K"] | None,
    ) -> tuple[Float[Array, "G D"], Any, Metrics]:
        constants = Constants.of(noise.shape[-1], self.population)
        adapt = jax.vmap(lambda s, z, f: adapted(constants, s, z, f, state.generation), (0, 1, 1))
        found = adapt(state.search, noise, fitness)
        differ = jax.vmap(_differ, 1)(fitness)
        search, ascent = jax.tree.map(
            lambda new, old: jnp.where(differ.reshape(-1, *[1] * (new.ndim - 1)), new, old),
            found,
            (state.search, jnp.zeros_like(found[1])),
        )
        size = noise.shape[-1]
        rate = 10 * size * (constants.c_1 + constants.c_mu)
        due = (state.generation + 1) % max(1, int(1 / rate)) == 0
        # One by one: on a CPU, LAPACK shares a batch among the threads of all devices.
        root = cond(
            due, lambda s: jnp.stack([square_root(x) for x in s.matrix]), lambda s: s.root, search
        )
        search = eqx.tree_at(lambda s: s.root, search, root)
        return -ascent, search, {"sigma": search.sigma.mean()}


def _differ(fitness: Float[Array, "P"]) -> Bool[Array, ""]:
    """Whether any member is better than another; those that are lost are as bad as each other."""
    fitness = jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)
    return fitness.max() > fitness.min()


def adapted(
    k: Constants,
    search: Covariance,
    noise: Float[Array, "P D"],
    fitness: Float[Array, "P"],
    generation: Int[Array, ""],
) -> tuple[Covariance, Float[Array, "D"]]:
    """One group's search after a generation, with the old root; and how far its mean moves."""
    w = weights_by_rank(fitness, k.weights)
    y = noise @ search.root
    mean_y, mean_z = w @ y, w @ noise  # <z> is C^(-1/2) <y>
    path_sigma = (1 - k.c_s) * search.path_sigma
    path_sigma += math.sqrt(k.c_s * (2 - k.c_s) * k.mu_eff) * mean_z
    length = jnp.linalg.norm(path_sigma)
    settled = jnp.sqrt(1 - (1 - k.c_s) ** (2.0 * (generation + 1)))
    h = (length / settled < (1.4 + 2 / (noise.shape[1] + 1)) * k.norm).astype(jnp.float32)
    path_c = (1 - k.c_c) * search.path_c
    path_c += h * math.sqrt(k.c_c * (2 - k.c_c) * k.mu_eff) * mean_y
    kept = 1 - k.c_1 - k.c_mu + (1 - h) * k.c_1 * k.c_c * (2 - k.c_c)
    matrix = kept * search.matrix + k.c_1 * jnp.outer(path_c, path_c) + k.c_mu * (y.T * w) @ y
    sigma = search.sigma * jnp.exp(k.c_s / k.d_s * (length / k.norm - 1))
    return Covariance(sigma, matrix, search.root, path_sigma, path_c), search.sigma * mean_y


def square_root(matrix: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """The symmetric root of a covariance."""
    values, vectors = jnp.linalg.eigh(matrix)
    values = jnp.maximum(values, _LEAST * values[-1])
    return (vectors * jnp.sqrt(values)) @ vectors.T


def cma_es(**overrides: Any) -> CMAES:
    """Covariance matrix adaptation. `overrides` are fields of `CMAES`.

    When to use it:
        As `openai_es`, for small networks whose parameters must change together.

    What breaks it:
        Networks of many parameters, which are refused: the covariance has a number for each pair.
    """
    return CMAES(**overrides)
