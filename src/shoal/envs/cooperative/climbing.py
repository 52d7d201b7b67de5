"""The climbing game: the best cell stands beside the worst ones.

     11  -30    0
    -30    7    0
      0    6    5

Who tries the first action alone loses, and agents who learn from their own rewards come to rest at
7, 6 or 5. In 25 rounds the optimum is 275; 7 in each is 175.
Claus and Boutilier 1998, "The dynamics of reinforcement learning in cooperative multiagent
systems"; in 25 rounds Papoudakis et al. 2021, arXiv:2006.07869.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.limits import Count
from shoal.envs.cooperative.common_payoff import CommonPayoffGame


class Climbing(CommonPayoffGame):
    """Two agents, three actions each."""

    name = "coop/climbing"

    rounds: Count = eqx.field(static=True, default=25)
    """How often the game is played in an episode."""

    @property
    def payoffs(self) -> Float[Array, "3 3"]:
        return jnp.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 0.0], [0.0, 6.0, 5.0]])
