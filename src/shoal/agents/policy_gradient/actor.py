"""A policy that samples: a network whose output is a distribution over actions."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.distributions import Categorical, DiagonalNormal, Distribution
from shoal.core.env import TimeStep
from shoal.core.spaces import ActionSpace, Box
from shoal.nn.agent_network import AgentNetwork


class Actor(Policy):
    """A stochastic policy for discrete or box actions."""

    network: AgentNetwork
    log_std: Float[Array, "G A"] | None
    space: ActionSpace

    def initial_carry(self) -> Carry:
        return self.network.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Distribution, Carry]:
        out, carry = self.network.step(timestep.obs, carry)
        return self.distribution(out, timestep.action_mask), carry

    def distribution(
        self, out: Float[Array, "*B N A"], action_mask: Bool[Array, "*B N A"] | None
    ) -> Distribution:
        """From the network's output. Box actions: a mean around the middle, a width a dimension."""
        if isinstance(self.space, Box):
            assert self.log_std is not None
            half = (self.space.high - self.space.low) / 2
            mean = self.space.low + half * (1 + out)
            log_std = self.log_std[jnp.array(self.network.groups.of_agent)] + jnp.log(half)
            return DiagonalNormal(
                mean, jnp.broadcast_to(log_std, mean.shape), jnp.asarray(self.space.mask)
            )
        return Categorical(out, action_mask)
