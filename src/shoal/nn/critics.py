"""Values of states and of actions, for learning alone."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.spaces import Box
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.sharing import Groups

View = Literal["local", "global", "both"]
Pair = tuple[Float[Array, "*B N D"], Float[Array, "*B N A"]]


def global_state(timestep: TimeStep, pixels: int = 0) -> Float[Array, "*B S"]:
    """The global state, or all observations where an environment has none; the first `pixels`
    numbers of an observation are images, and everyone's come first."""
    if timestep.global_state is not None:
        return timestep.global_state
    parts = jnp.split(timestep.obs, [pixels], -1)
    return jnp.concatenate([x.reshape(*x.shape[:-2], -1) for x in parts], -1)


class ValueCritic(eqx.Module):
    """The value of the state for each agent.

    `local` reads what the agent sees. `global` reads the state and has an output an agent. `both`
    reads the state and what the agent sees (the agent-specific state of MAPPO).
    """

    network: AgentNetwork
    view: View = eqx.field(static=True)
    pixels: int = eqx.field(static=True)  # of the images of one observation

    @staticmethod
    def of(
        spec: EnvSpec, groups: Groups, view: View, *, key: PRNGKeyArray, **shape: Any
    ) -> "ValueCritic":
        """A critic for that environment; `shape` is that of an `AgentNetwork`."""
        n, pixels = spec.num_agents, sum(math.prod(image) for image in spec.images)
        state = (spec.state_size, ()) if spec.state_size else (n * spec.obs_size, spec.images * n)
        size, images, outputs = {
            "local": (spec.obs_size, spec.images, 1),
            "global": (*state, n),
            "both": (spec.obs_size + state[0], spec.images, 1),
        }[view]
        groups = Groups((0,)) if view == "global" else groups
        network = AgentNetwork(size, outputs, groups, images=images, key=key, **shape)
        return ValueCritic(network, view, pixels)

    def initial_carry(self) -> Carry:
        return self.network.initial_carry()

    def _inputs(self, timestep: TimeStep) -> Float[Array, "*B V D"]:
        """What the V networks read: V is N, or 1 of a global critic."""
        if self.view == "local":
            return timestep.obs
        state = global_state(timestep, self.pixels)[..., None, :]
        if self.view == "global":
            return state
        state = jnp.broadcast_to(state, (*timestep.obs.shape[:-1], state.shape[-1]))
        return jnp.concatenate([timestep.obs, state], -1)

    def _values(self, out: Array) -> Float[Array, "*B N"]:
        return out[..., 0, :] if self.view == "global" else out[..., 0]

    def step(self, timestep: TimeStep, carry: Carry) -> tuple[Float[Array, "B N"], Carry]:
        """Values at one time step, and the carry after it."""
        out, carry = self.network.step(self._inputs(timestep), carry)
        return self._values(out), carry

    def unroll(
        self, timestep: TimeStep, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "T B N"]:
        """Values at T time steps; the carry is fresh where `starts`."""
        return self._values(self.network.unroll(self._inputs(timestep), carry, starts))


class QCritic(eqx.Module):
    """An ensemble of K values of each agent's own action, in what the agent sees."""

    networks: tuple[AgentNetwork, ...]
    space: Box

    def initial_carry(self) -> Carry:
        return tuple(network.initial_carry() for network in self.networks)

    def _with(self, carry: Carry) -> Iterable[tuple[AgentNetwork, Carry]]:
        """Each network with its own recurrent state, which may be none at all."""
        return zip(self.networks, carry or [None] * len(self.networks))

    def _inputs(
        self, obs: Float[Array, "*B N D"], action: Float[Array, "*B N A"]
    ) -> Float[Array, "*B N in"]:
        action = jnp.where(self.space.mask, self.space.to_unit(action), 0.0)
        return jnp.concatenate([obs, action], -1)

    def step(
        self, obs: Float[Array, "*B N D"], action: Float[Array, "*B N A"], carry: Carry
    ) -> tuple[Float[Array, "K *B N"], Carry]:
        """Values at one time step, and the carry after it."""
        x = self._inputs(obs, action)
        out = [network.step(x, c) for network, c in self._with(carry)]
        return jnp.stack([q[..., 0] for q, _ in out]), tuple(after for _, after in out)

    def unroll(
        self,
        obs: Float[Array, "T B N D"],
        action: Float[Array, "T B N A"],
        carry: Carry,
        starts: Bool[Array, "T B"],
    ) -> Float[Array, "K T B N"]:
        """Values at T time steps; the carry is fresh where `starts`."""
        x = self._inputs(obs, action)
        each = [network.unroll(x, c, starts) for network, c in self._with(carry)]
        return jnp.stack(each)[..., 0]

    def after(
        self, now: Pair, following: Pair, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "K T B N"]:
        """Values of what was seen and done after each of T steps: pairs of observations and
        actions, now and then."""
        x, next_x = self._inputs(*now), self._inputs(*following)
        each = [network.after(x, next_x, c, starts) for network, c in self._with(carry)]
        return jnp.stack(each)[..., 0]
