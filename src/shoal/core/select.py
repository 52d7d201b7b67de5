"""Some of an environment's agents, as if they were all there are: for algorithms and policies that
are each meant for a part of them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.distributions import Distribution
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.spaces import ActionSpace, Factored

Agents = tuple[int, ...]


def spec_for(spec: EnvSpec, agents: Agents) -> EnvSpec:
    """The spec of an environment that has these agents alone, padded no further than they need."""

    def of(values: tuple) -> tuple:
        return tuple(values[i] for i in agents)

    return dataclasses.replace(
        spec,
        agents=of(spec.agents),
        obs_sizes=of(spec.obs_sizes),
        action=spec.action.part(agents),
        teams=of(spec.teams),
        roles=of(spec.roles),
    )


def take_agents(timestep: TimeStep, spec: EnvSpec, agents: Agents) -> TimeStep:
    """What is shown to these agents, in the shapes of `spec_for(spec, agents)`."""
    index, own = jnp.array(agents), spec_for(spec, agents)
    mask = timestep.action_mask
    if mask is not None:
        mask = _narrow(mask[..., index, :], spec.action, own.action)
    return TimeStep(
        obs=timestep.obs[..., index, : own.obs_size],
        reward=timestep.reward[..., index],
        terminated=timestep.terminated[..., index],
        truncated=timestep.truncated[..., index],
        active=timestep.active[..., index],
        action_mask=mask,
        global_state=timestep.global_state,
        metrics=timestep.metrics,
    )


def _narrow(
    mask: Bool[Array, "*B n A"], space: ActionSpace, own: ActionSpace
) -> Bool[Array, "*B n a"]:
    """Masks in the narrower padding of a part of the agents."""
    if isinstance(space, Factored) and isinstance(own, Factored):
        options = space.split(mask)[..., : own.num_factors, : own.num_options]
        return options.reshape(*options.shape[:-2], own.size)
    return mask[..., : own.size]


def take_action(action: Action, spec: EnvSpec, agents: Agents) -> Action:
    """The actions of these agents, in their own padding."""
    if not spec.action.shape:
        return action[..., jnp.array(agents)]
    width = spec_for(spec, agents).action.shape[0]
    return action[..., jnp.array(agents), :width]


def join_actions(parts: list[Action], spec: EnvSpec, agents: tuple[Agents, ...]) -> Action:
    """The actions of all agents from those of each part, in the padding of all."""
    axis = -1 - len(spec.action.shape)
    if spec.action.shape:
        width = spec.action.shape[0]
        pad = [(0, 0)] * (parts[0].ndim - 1)
        parts = [jnp.pad(x, [*pad, (0, width - x.shape[-1])]) for x in parts]
    return jnp.take(jnp.concatenate(parts, axis), _place(agents), axis)


def _place(agents: tuple[Agents, ...]) -> Array:
    """Where each agent stands when the parts are put one behind the other."""
    order = [i for part in agents for i in part]
    return jnp.array([order.index(i) for i in range(len(order))])


class JointDistribution(Distribution):
    """The actions of all agents, each part of them by a distribution of its own."""

    parts: tuple[Distribution, ...]
    spec: EnvSpec
    agents: tuple[Agents, ...] = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Array:
        keys = jax.random.split(key, len(self.parts))
        drawn = [part.sample(k) for part, k in zip(self.parts, keys)]
        return join_actions(drawn, self.spec, self.agents)

    def mode(self) -> Array:
        return join_actions([part.mode() for part in self.parts], self.spec, self.agents)

    def log_prob(self, action: Array) -> Float[Array, "*B N"]:
        own = [take_action(action, self.spec, ids) for ids in self.agents]
        return self._joined([part.log_prob(a) for part, a in zip(self.parts, own)])

    def entropy(self) -> Float[Array, "*B N"]:
        return self._joined([part.entropy() for part in self.parts])

    def kl(self, other: "JointDistribution") -> Float[Array, "*B N"]:
        return self._joined([part.kl(q) for part, q in zip(self.parts, other.parts)])

    def _joined(self, parts: list[Array]) -> Float[Array, "*B N"]:
        return jnp.concatenate(parts, -1)[..., _place(self.agents)]
