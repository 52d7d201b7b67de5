"""Any payoff tensor as a game of one team, `r = U(a_1, ..., a_N)` for every agent."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.core.errors import require
from shoal.core.limits import Count, Natural
from shoal.envs.cooperative.common_payoff import CommonPayoffGame
from shoal.games.normal_form import payoff_array

FEWEST, MOST = 2, 6  # agents


def _tensor(payoffs: Any) -> Float[Array, "*A"]:
    """Payoffs of 2 to 6 agents; arrays of JAX may be traced, and their values are not looked at."""
    array = payoffs if isinstance(payoffs, jax.Array) else payoff_array(payoffs)
    shape = list(array.shape)
    require(
        FEWEST <= len(shape) <= MOST and 0 not in shape,
        f"payoffs have shape {shape}, expected [A1, ..., AN] for {FEWEST} to {MOST} agents",
    )
    return jnp.asarray(array, jnp.float32)


class MatrixGame(CommonPayoffGame):
    """A payoff tensor of yours; two agents who must do the same unless given."""

    name = "coop/matrix"

    payoffs: Float[Array, "*A"] = eqx.field(default=((2.0, 0.0), (0.0, 1.0)), converter=_tensor)
    """What each cell pays every agent, `[A1, ..., AN]`, an axis for each of 2 to 6 agents."""
    rounds: Count = eqx.field(static=True, default=1)
    """How often the game is played in an episode."""
    num_agents: Natural = eqx.field(static=True, default=0)
    """How many agents the payoffs must be for; 0 for as many as they have axes."""

    def __check_init__(self):
        rank = self.payoffs.ndim
        require(
            self.num_agents in (0, rank),
            f"num_agents is {self.num_agents}, but payoffs of shape {list(self.payoffs.shape)} "
            f"are for {rank} agents",
        )
