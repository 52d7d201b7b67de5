"""Policies that families of algorithms share: a network whose output is a distribution."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.distributions import Categorical, DiagonalNormal, Distribution, EpsilonGreedy
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.spaces import ActionSpace, Box, legal_actions
from shoal.nn.agent_network import AgentNetwork


class Actor(Policy):
    """A stochastic policy for discrete or box actions."""

    network: AgentNetwork
    log_std: Float[Array, "G A"] | None
    space: ActionSpace

    @staticmethod
    def of(network: AgentNetwork, spec: EnvSpec, init_log_std: Float[Array, ""] | float) -> "Actor":
        """An actor of that network; box actions have a width a group and dimension."""
        log_std = None
        if isinstance(spec.action, Box):
            log_std = jnp.full((network.groups.count, spec.action.size), init_log_std)
        return Actor(network, log_std, spec.action)

    def initial_carry(self) -> Carry:
        return self.network.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Distribution, Carry]:
        out, carry = self.network.step(timestep.obs, carry)
        return self._distribution(out, timestep.action_mask), carry

    def unroll(
        self, timestep: TimeStep, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Distribution:
        """The distributions of T steps, `[T, B, ...]`; the carry is fresh where `starts`."""
        out = self.network.unroll(timestep.obs, carry, starts)
        return self._distribution(out, timestep.action_mask)

    def _distribution(
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


class QPolicy(Policy):
    """Greedy in its mode, epsilon-greedy in its samples, by the action values of a network."""

    network: AgentNetwork
    space: ActionSpace
    epsilon: Float[Array, ""] | float

    def initial_carry(self) -> Carry:
        return self.network.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Distribution, Carry]:
        q, carry = self.network.step(timestep.obs, carry)
        legal = legal_actions(self.space, timestep.action_mask, timestep.obs)
        return EpsilonGreedy(q, legal, self.epsilon), carry
