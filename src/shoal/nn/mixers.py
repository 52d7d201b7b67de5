"""How the values of agents make up the value of their team, for learning together and acting alone.

A mixer must not fall when an agent's value rises: then what is best for each agent is best for the
team, and acting needs no mixer (Rashid et al. 2018, arXiv:1803.11485). Each paper's own mixer is in
its file under `agents/cooperative`.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shoal.core.env import EnvSpec


class Choice(eqx.Module):
    """What a mixer reads of M steps. Agents that do not act have the value 0."""

    chosen: Float[Array, "*M N"]
    """The value of the action taken."""
    best: Float[Array, "*M N"]
    """The value of the best legal action."""
    action: Int[Array, "*M N"]
    """The action taken."""
    state: Float[Array, "*M S"] | None
    """The global state, for mixers that say that they need it."""

    @staticmethod
    def of(
        chosen: Float[Array, "*M N"],
        best: Float[Array, "*M N"],
        action: Int[Array, "*M N"],
        acts: Bool[Array, "*M N"],
        state: Float[Array, "*M S"] | None,
    ) -> "Choice":
        """A choice in which those who do not act have the value 0."""
        return Choice(jnp.where(acts, chosen, 0.0), jnp.where(acts, best, 0.0), action, state)


class Mixer(eqx.Module):
    """Maps the values of N agents to those of K units. A unit is what shares a reward: a team, or
    an agent on its own. Parameters, if any, are leaves."""

    needs_state: ClassVar[bool] = False  # whether the global state is read

    @abc.abstractmethod
    def __call__(self, choice: Choice) -> Float[Array, "*M K"]:
        """The values of the units."""

    @abc.abstractmethod
    def mean(self, x: Float[Array, "*M N"]) -> Float[Array, "*M K"]:
        """The mean over each unit's agents."""

    @abc.abstractmethod
    def any(self, x: Bool[Array, "*M N"]) -> Bool[Array, "*M K"]:
        """Whether it holds for some agent of the unit."""

    def all(self, x: Bool[Array, "*M N"]) -> Bool[Array, "*M K"]:
        """Whether it holds for every agent of the unit."""
        return ~self.any(~x)


class NoMixer(Mixer):
    """Every agent for itself: independent learners."""

    def __call__(self, choice: Choice) -> Float[Array, "*M N"]:
        return choice.chosen

    def mean(self, x: Float[Array, "*M N"]) -> Float[Array, "*M N"]:
        return x

    def any(self, x: Bool[Array, "*M N"]) -> Bool[Array, "*M N"]:
        return x


class TeamMixer(Mixer):
    """A unit is a team. Subclasses say how a team's values are mixed."""

    agents_of_team: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def per_team(self, x: Array) -> list[Array]:
        """Each team's part of `[*M, N]`."""
        if len(self.agents_of_team) == 1:
            return [x]
        return [x[..., jnp.array(agents)] for agents in self.agents_of_team]

    def mean(self, x: Float[Array, "*M N"]) -> Float[Array, "*M K"]:
        return jnp.stack([part.mean(-1) for part in self.per_team(x)], -1)

    def any(self, x: Bool[Array, "*M N"]) -> Bool[Array, "*M K"]:
        return jnp.stack([part.any(-1) for part in self.per_team(x)], -1)


def agents_of_team(spec: EnvSpec) -> tuple[tuple[int, ...], ...]:
    """The agents of each team, teams in the order of their numbers."""
    teams = sorted(set(spec.teams))
    return tuple(tuple(i for i, t in enumerate(spec.teams) if t == team) for team in teams)
