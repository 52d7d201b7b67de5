"""State values: from each agent's view or from the whole state, and the scale they are kept in."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.parallel import pmean
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.sharing import Groups


class Critic(eqx.Module):
    """Values of all agents: from each one's own view, or from the global state at once."""

    network: AgentNetwork
    central: bool = eqx.field(static=True)
    pixels: int = eqx.field(static=True, default=0)  # of the images of one observation

    def inputs(self, timestep: TimeStep) -> Float[Array, "*B V D"]:
        """What the V networks read: V is N, or 1 of a central critic."""
        if not self.central:
            return timestep.obs
        if timestep.global_state is not None:
            return timestep.global_state[..., None, :]
        parts = jnp.split(timestep.obs, [self.pixels], -1)  # everyone's images come first
        return jnp.concatenate([x.reshape(*x.shape[:-2], 1, -1) for x in parts], -1)

    def shape(self, out: Array) -> Float[Array, "*B N"]:
        """The network's output as one value an agent."""
        return out[..., 0, :] if self.central else out[..., 0]

    def step(self, timestep: TimeStep, carry: Carry) -> tuple[Float[Array, "B N"], Carry]:
        out, carry = self.network.step(self.inputs(timestep), carry)
        return self.shape(out), carry

    def unroll(
        self, inputs: Array, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "T B N"]:
        return self.shape(self.network.unroll(inputs, carry, starts))


def make_critic(
    spec: EnvSpec, groups: Groups, central: bool, *, key: PRNGKeyArray, **shape: Any
) -> Critic:
    """A critic of what each agent sees, or a central one: of the global state, or of all that is
    seen where a world has none. `shape` is that of an `AgentNetwork`."""
    if not central:
        network = AgentNetwork(spec.obs_size, 1, groups, images=spec.images, key=key, **shape)
        return Critic(network, central)
    n, pixels = spec.num_agents, sum(math.prod(image) for image in spec.images)
    seen = (spec.state_size, ()) if spec.state_size else (n * spec.obs_size, spec.images * n)
    network = AgentNetwork(seen[0], n, Groups((0,)), images=seen[1], key=key, **shape)
    return Critic(network, central, pixels)


class ValueScale(eqx.Module):
    """A running mean and deviation of returns, so that the critic learns numbers near one.

    An exponential average with its start corrected for, as in van Hasselt et al. 2016
    (arXiv:1602.07714) without the rescaling of weights.
    """

    mean: Float[Array, "N"]
    square: Float[Array, "N"]
    weight: Float[Array, ""]

    @staticmethod
    def init(num_agents: int) -> "ValueScale":
        return ValueScale(jnp.zeros(num_agents), jnp.zeros(num_agents), jnp.zeros(()))

    def _moments(self) -> tuple[Array, Array]:
        known = self.weight > 0
        weight = jnp.where(known, self.weight, 1.0)
        mean = self.mean / weight
        variance = jnp.maximum(self.square / weight - mean**2, 1e-4)
        return mean, jnp.where(known, jnp.sqrt(variance), 1.0)

    def normalise(self, x: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
        mean, std = self._moments()
        return (x - mean) / std

    def restore(self, x: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
        mean, std = self._moments()
        return x * std + mean

    def update(
        self, x: Float[Array, "T B N"], weight: Float[Array, "T B N"], rate: float = 0.01
    ) -> "ValueScale":
        """Moves a little towards the moments of `x`; where one is not finite, not at all."""
        total = jnp.maximum(pmean(weight.sum((0, 1))), 1e-8)
        mean, square = pmean(((x * weight).sum((0, 1)), (x**2 * weight).sum((0, 1))))
        moved = ValueScale(
            (1 - rate) * self.mean + rate * mean / total,
            (1 - rate) * self.square + rate * square / total,
            (1 - rate) * self.weight + rate,
        )
        finite = jnp.isfinite(square).all()
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, self)
