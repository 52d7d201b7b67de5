"""How the values of agents make up the value of their team, for learning together and acting alone.

Acting needs no mixer where what is best for each agent is best for the team, as it is where the
team's value never falls when an agent's rises (Rashid et al. 2018, arXiv:1803.11485). Each paper's
own mixer is in its file under `agents/cooperative`.
"""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.env import EnvSpec
from shoal.math.td import action_value, double_q_value


class Choice(eqx.Module):
    """What a mixer reads of M steps. Agents that do not act have the value 0 and the action -1."""

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
        q: Float[Array, "*M N A"],
        action: Int[Array, "*M N"],
        legal: Bool[Array, "*M N A"],
        acts: Bool[Array, "*M N"],
        state: Float[Array, "*M S"] | None,
    ) -> "Choice":
        """What those who act choose, by the values of all actions."""
        chosen = jnp.where(acts, action_value(q, action), 0.0)
        best = jnp.where(acts, double_q_value(q, q, legal), 0.0)
        return Choice(chosen, best, jnp.where(acts, action, -1), state)

    def one_hot(self, num_actions: int) -> Float[Array, "*M NA"]:
        """Everyone's action as networks read it: zeros for who does not act."""
        return jax.nn.one_hot(self.action, num_actions).reshape(*self.action.shape[:-1], -1)


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


Mix = Callable[[Choice, Float[Array, "M S"]], Float[Array, "M"]]
"""The value of one team of a choice of its agents and of the state."""


class NetworkMixer(TeamMixer):
    """A network for each team, which reads the state and what the team's own agents choose."""

    needs_state = True

    mixes: tuple[Mix, ...]

    @staticmethod
    def of(
        spec: EnvSpec, make: Callable[[int, PRNGKeyArray], Mix], key: PRNGKeyArray
    ) -> "NetworkMixer":
        """What `make(n, key)` gives for every team of n agents."""
        teams = agents_of_team(spec)
        keys = jax.random.split(key, len(teams))
        return NetworkMixer(teams, tuple(make(len(team), k) for team, k in zip(teams, keys)))

    def __call__(self, choice: Choice) -> Float[Array, "*M K"]:
        flat = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), choice)
        state = flat.state
        assert state is not None
        parts = [self.per_team(x) for x in (flat.chosen, flat.best, flat.action)]
        values = [
            mix(Choice(chosen, best, action, state), state)
            for mix, chosen, best, action in zip(self.mixes, *parts)
        ]
        return jnp.stack(values, -1).reshape(*choice.chosen.shape[:-1], len(values))


def agents_of_team(spec: EnvSpec) -> tuple[tuple[int, ...], ...]:
    """The agents of each team, teams in the order of their numbers."""
    teams = sorted(set(spec.teams))
    return tuple(tuple(i for i, t in enumerate(spec.teams) if t == team) for team in teams)
