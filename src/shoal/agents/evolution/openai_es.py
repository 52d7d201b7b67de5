r"""Evolution strategies: try random changes of all parameters, step towards those that paid more.

$$\theta \leftarrow \theta + \mathrm{Adam}\Big(\frac{1}{P \sigma} \sum_j w_j \epsilon_j
- \lambda \theta\Big), \qquad \epsilon_j \sim N(0, I)$$

where member j plays with theta + sigma eps_j and w_j is the rank of its return, centred: from -1/2
for the worst to 1/2 for the best. Members come in pairs, eps and -eps.
Salimans et al. 2017, arXiv:1703.03864.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from shoal.agents.evolution.evolution import Evolution, EvolutionState
from shoal.core.algorithm import Metrics
from shoal.core.descend import ADAM, rows_of
from shoal.core.limits import NonNegative, Positive
from shoal.math.ranks import centered_ranks


class OpenAIES(Evolution):
    """Evolution strategies for teams, with noise of one width in every direction."""

    learning_rate: Positive = 0.02
    """Adam's step size."""
    weight_decay: NonNegative = 0.005
    """Weight of the pull of parameters towards 0."""

    mirrored: ClassVar[bool] = True
    rule: ClassVar[optax.GradientTransformation] = ADAM

    def spread(self, search: Any, noise: Float[Array, "M G D"]) -> Float[Array, "M G D"]:
        return self.sigma * noise

    def step(
        self,
        state: EvolutionState,
        noise: Float[Array, "P G D"],
        fitness: Float[Array, "P G"],
        behaviours: Float[Array, "P G K"] | None,
    ) -> tuple[Float[Array, "G D"], Any, Metrics]:
        return self.descent(state, noise, ranks(fitness)), state.search, {}

    def descent(
        self, state: EvolutionState, noise: Float[Array, "P G D"], weights: Float[Array, "P G"]
    ) -> Float[Array, "G D"]:
        """Away from the members of small weight, and towards 0."""
        mean = rows_of(state.params["mean"], weights.shape[1])
        ascent = jnp.einsum("pg,pgd->gd", weights, noise) / (self.population * self.sigma)
        return self.weight_decay * mean - ascent


def ranks(fitness: Float[Array, "P G"]) -> Float[Array, "P G"]:
    """Centred ranks within each group's search."""
    return jax.vmap(centered_ranks, 1, 1)(fitness)


def openai_es(**overrides: Any) -> OpenAIES:
    """Evolution strategies. `overrides` are fields of `OpenAIES`.

    When to use it:
        Rewards that are sparse, delayed or of whole episodes alone; many processes, which need send
        numbers only.

    What breaks it:
        Large networks and few episodes: a generation tells one number a member. In simple_spread it
        stays far behind gradients after as many steps.
    """
    return OpenAIES(**overrides)
