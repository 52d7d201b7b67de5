"""The penalty game: two best cells, and a penalty for agents who choose one each.

     k   0  10
     0   2   0
    10   0   k        k <= 0

The lower k, the safer looks the 2 in the middle. In 25 rounds the optimum is 250; 2 in each is 50.
Claus and Boutilier 1998, "The dynamics of reinforcement learning in cooperative multiagent
systems"; in 25 rounds, with k from -100 to 0, Papoudakis et al. 2021, arXiv:2006.07869.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.limits import Count, NonPositive
from shoal.envs.cooperative.common_payoff import CommonPayoffGame


class Penalty(CommonPayoffGame):
    """Two agents, three actions each."""

    name = "coop/penalty"

    k: NonPositive = -100.0
    """What miscoordination costs: the hardest of the benchmark's values unless given; at 0 nothing
    is at stake."""
    rounds: Count = eqx.field(static=True, default=25)
    """How often the game is played in an episode."""

    @property
    def payoffs(self) -> Float[Array, "3 3"]:
        rows = [[self.k, 0.0, 10.0], [0.0, 2.0, 0.0], [10.0, 0.0, self.k]]
        return jnp.array(rows, jnp.float32)
