"""QTRAN's matrix game, in one round: no sum of agents' values and no monotonic mixture is the
payoff.

      8  -12  -12
    -12    0    0
    -12    0    0

Each agent's first action is the worst on average, so that VDN and QMIX settle for 0, where the
optimum is 8.
Son et al. 2019, arXiv:1905.05408, table 1.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.limits import Count
from shoal.envs.cooperative.common_payoff import CommonPayoffGame


class QtranGame(CommonPayoffGame):
    """Two agents, three actions each."""

    name = "coop/qtran"

    rounds: Count = eqx.field(static=True, default=1)
    """How often the game is played in an episode."""

    @property
    def payoffs(self) -> Float[Array, "3 3"]:
        return jnp.array([[8.0, -12.0, -12.0], [-12.0, 0.0, 0.0], [-12.0, 0.0, 0.0]])
