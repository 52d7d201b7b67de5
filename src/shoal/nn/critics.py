"""Values of states and of actions, for learning alone."""

import abc
import math
from collections.abc import Iterable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from shoal.core.algorithm import Carry
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.spaces import Box, Discrete
from shoal.math.td import action_value
from shoal.nn.agent_network import AgentNetwork, Seen
from shoal.nn.convolution import Image
from shoal.nn.retention import RetentionNetwork
from shoal.nn.sharing import Groups

View = Literal["local", "global", "both"]


def global_state(timestep: TimeStep, pixels: int = 0) -> Float[Array, "*B S"]:
    """The global state, or all observations where an environment has none; the first `pixels`
    numbers of an observation are images, and everyone's come first."""
    if timestep.global_state is not None:
        return timestep.global_state
    return everyone(timestep.obs, pixels)


def everyone(obs: Float[Array, "*B N D"], pixels: int) -> Float[Array, "*B S"]:
    """All observations in a row, the images of each, which come first in it, before the rest."""
    parts = jnp.split(obs, [pixels], -1)
    return jnp.concatenate([x.reshape(*x.shape[:-2], -1) for x in parts], -1)


def pixels_of(spec: EnvSpec) -> int:
    """How many numbers of an observation are images."""
    return sum(math.prod(image) for image in spec.images)


def state_inputs(spec: EnvSpec) -> tuple[int, tuple[Image, ...]]:
    """The size of the global state, and the images that it begins with."""
    if spec.state_size:
        return spec.state_size, ()
    return spec.num_agents * spec.obs_size, spec.images * spec.num_agents


class ValueCritic(eqx.Module):
    """The value of the state for each agent.

    `local` reads what the agent sees. `global` reads the state and has an output an agent. `both`
    reads the state and what the agent sees (the agent-specific state of MAPPO).
    """

    network: AgentNetwork | RetentionNetwork
    view: View = eqx.field(static=True)
    pixels: int = eqx.field(static=True)  # of the images of one observation

    @staticmethod
    def of(
        spec: EnvSpec, groups: Groups, view: View, *, key: PRNGKeyArray, **shape: Any
    ) -> "ValueCritic":
        """A critic for that environment; `shape` is that of an `AgentNetwork`."""
        state = state_inputs(spec)
        size, images, outputs = {
            "local": (spec.obs_size, spec.images, 1),
            "global": (*state, spec.num_agents),
            "both": (spec.obs_size + state[0], spec.images, 1),
        }[view]
        groups = Groups((0,)) if view == "global" else groups
        network = AgentNetwork(size, outputs, groups, images=images, key=key, **shape)
        return ValueCritic(network, view, pixels_of(spec))

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


class StateAction(eqx.Module):
    """What critics of actions may read of a step: what agents see, and what the others do."""

    obs: Float[Array, "*B N D"]
    state: Float[Array, "*B S"] | None
    action: Array  # [*B N ...]
    active: Bool[Array, "*B N"]  # who does anything


class ActionCritic(eqx.Module):
    """An ensemble of K values of each agent's own action.

    An action that is read has one value: C is 1. Of discrete actions that are not read all are
    valued: C is A.
    """

    space: eqx.AbstractVar[Box | Discrete]

    @abc.abstractmethod
    def initial_carry(self) -> Carry:
        """The recurrent state of one environment at the start of an episode."""

    @abc.abstractmethod
    def step(self, pair: StateAction, carry: Carry) -> tuple[Float[Array, "K *B N C"], Carry]:
        """Values at one time step, and the carry after it."""

    @abc.abstractmethod
    def unroll(
        self,
        pair: StateAction,
        carry: Carry,
        starts: Bool[Array, "T B"],
        action: Array | None = None,
    ) -> Float[Array, "K T B N C"]:
        """Values at T time steps; the carry is fresh where `starts`. With an `action` each agent
        does that, while the others do what they do in the pair."""

    @abc.abstractmethod
    def after(
        self, now: StateAction, following: StateAction, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "K T B N C"]:
        """Values in what followed each of T steps, which the carry has seen."""

    def taken(
        self, pair: StateAction, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "K T B N"]:
        """Values of the actions of T time steps."""
        return self.of_actions(self.unroll(pair, carry, starts), pair.action)

    def of_actions(self, q: Float[Array, "K T B N C"], action: Array) -> Float[Array, "K T B N"]:
        """Of the values of C actions that of the one."""
        return jax.vmap(action_value, (0, None))(q, action)


class QCritic(ActionCritic):
    """Critics of one network each.

    `local` reads what the agent sees, `global` the state and what everyone does, in the order of
    agents. An action in a box is read; with `reads_own` a discrete one is read too, as a one-hot
    row, which may stand in the place of its number and has a gradient.
    """

    space: Box | Discrete
    networks: tuple[AgentNetwork, ...]
    view: Literal["local", "global"] = eqx.field(static=True)
    reads_own: bool = eqx.field(static=True)  # always in a box

    @staticmethod
    def of(
        spec: EnvSpec,
        space: Box | Discrete,
        groups: Groups,
        view: Literal["local", "global"],
        *,
        reads_own: bool = False,
        keys: Key[Array, "K"],
        **shape: Any,
    ) -> "QCritic":
        """Critics for that environment; `shape` is that of an `AgentNetwork`."""
        size, images = (spec.obs_size, spec.images) if view == "local" else state_inputs(spec)
        reads_own |= isinstance(space, Box)
        size += space.size * (spec.num_agents if view == "global" else int(reads_own))
        values = 1 if reads_own else space.size
        networks = [AgentNetwork(size, values, groups, images=images, key=k, **shape) for k in keys]
        return QCritic(space, tuple(networks), view, reads_own)

    def initial_carry(self) -> Carry:
        return tuple(network.initial_carry() for network in self.networks)

    def _with(self, carry: Carry) -> Iterable[tuple[AgentNetwork, Carry]]:
        """Each network with its own recurrent state, which may be none at all."""
        return zip(self.networks, carry or [None] * len(self.networks))

    def _inputs(self, pair: StateAction, action: Array | None = None) -> Float[Array, "*B N in"]:
        """What agents see, and what each does itself, by default what it does in the pair, among
        what the others do there."""
        own = self.space.numbers(pair.action if action is None else action)
        own = own if self.reads_own else jnp.zeros_like(own)
        if self.view == "local":
            return jnp.concatenate([pair.obs, own], -1) if self.reads_own else pair.obs
        assert pair.state is not None
        batch, n = pair.obs.shape[:-2], pair.obs.shape[-2]
        state = jnp.broadcast_to(pair.state[..., None, :], (*batch, n, pair.state.shape[-1]))
        done = jnp.where(pair.active[..., None], self.space.numbers(pair.action), 0.0)
        # Everyone's place is the same for all, as it is in the state.
        joint = jnp.where(
            jnp.eye(n, dtype=bool)[..., None], *(x[..., None, :, :] for x in (own, done))
        )
        return jnp.concatenate([state, joint.reshape(*batch, n, n * self.space.size)], -1)

    def step(self, pair: StateAction, carry: Carry) -> tuple[Float[Array, "K *B N C"], Carry]:
        x = self._inputs(pair)
        out = [network.step(x, c) for network, c in self._with(carry)]
        return jnp.stack([q for q, _ in out]), tuple(after for _, after in out)

    def unroll(
        self,
        pair: StateAction,
        carry: Carry,
        starts: Bool[Array, "T B"],
        action: Array | None = None,
    ) -> Float[Array, "K T B N C"]:
        x = self._inputs(pair, action)
        return jnp.stack([net.unroll(x, c, starts) for net, c in self._with(carry)])

    def after(
        self, now: StateAction, following: StateAction, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "K T B N C"]:
        x, next_x = self._inputs(now), self._inputs(following)
        return jnp.stack([net.after(x, next_x, c, starts) for net, c in self._with(carry)])

    def of_actions(self, q: Float[Array, "K T B N C"], action: Array) -> Float[Array, "K T B N"]:
        return q[..., 0] if self.reads_own else super().of_actions(q, action)

    def jointly(
        self, now: StateAction, following: StateAction
    ) -> tuple[Float[Array, "K T B N"], Float[Array, "K T B N C"], tuple[Seen, ...]]:
        """Values of the actions of T steps and values in what followed, from one pass over both at
        once, which batch norms take for one batch; and what they have then seen."""
        x = jnp.concatenate([self._inputs(now), self._inputs(following)])
        weight = jnp.concatenate([now.active, following.active]).astype(jnp.float32)
        values, seen = zip(*[network.train(x, weight) for network in self.networks])
        q, next_q = jnp.split(jnp.stack(values), 2, 1)
        return self.of_actions(q, now.action), next_q, seen

    def remember(self, seen: tuple[Seen, ...]) -> "QCritic":
        """The same critics with other running statistics."""
        networks = tuple(net.remember(s) for net, s in zip(self.networks, seen))
        return QCritic(self.space, networks, self.view, self.reads_own)
