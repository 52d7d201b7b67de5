"""How the values of agents make up the value of their team, for learning together and acting alone.

A mixer must not fall when an agent's value rises: then what is best for each agent is best for the
team, and acting needs no mixer (Rashid et al. 2018, arXiv:1803.11485).
"""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.env import EnvSpec


class Mixer(eqx.Module):
    """Maps the values of N agents to those of K units. A unit is what shares a reward: a team, or
    an agent on its own. Parameters, if any, are leaves."""

    needs_state: ClassVar[bool] = False  # whether the global state is read

    unit_of_agent: tuple[int, ...] = eqx.field(static=True)

    @abc.abstractmethod
    def __call__(
        self, q: Float[Array, "*M N"], global_state: Float[Array, "*M S"] | None
    ) -> Float[Array, "*M K"]:
        """Values of the units. Agents that do not act have the value 0."""

    @property
    def members(self) -> np.ndarray:
        """Bool `[N, K]`: who belongs to which unit."""
        unit = np.asarray(self.unit_of_agent)
        return unit[:, None] == np.arange(unit.max() + 1)

    def sum(self, x: Float[Array, "*M N"]) -> Float[Array, "*M K"]:
        """The sum over each unit's members."""
        return jnp.where(self.members, x[..., None], 0.0).sum(-2)

    def mean(self, x: Float[Array, "*M N"]) -> Float[Array, "*M K"]:
        """The mean over each unit's members."""
        return self.sum(x) / self.members.sum(0)

    def any(self, x: Bool[Array, "*M N"]) -> Bool[Array, "*M K"]:
        """Whether it holds for some member."""
        return jnp.any(self.members & x[..., None], -2)

    def all(self, x: Bool[Array, "*M N"]) -> Bool[Array, "*M K"]:
        """Whether it holds for every member."""
        return ~self.any(~x)


class NoMixer(Mixer):
    """Every agent for itself: independent learners."""

    def __call__(
        self, q: Float[Array, "*M N"], global_state: Float[Array, "*M S"] | None
    ) -> Float[Array, "*M N"]:
        return q


class SumMixer(Mixer):
    r"""$Q_{team} = \sum_i Q_i$ (Sunehag et al. 2017, arXiv:1706.05296)."""

    def __call__(
        self, q: Float[Array, "*M N"], global_state: Float[Array, "*M S"] | None
    ) -> Float[Array, "*M K"]:
        return self.sum(q)


def team_of_agent(spec: EnvSpec) -> tuple[int, ...]:
    """The team of each agent, numbered from 0 without gaps."""
    teams = sorted(set(spec.teams))
    return tuple(teams.index(t) for t in spec.teams)


MIXERS: dict[str, Callable[[EnvSpec, PRNGKeyArray], Mixer]] = {
    "none": lambda spec, key: NoMixer(tuple(range(spec.num_agents))),
    "sum": lambda spec, key: SumMixer(team_of_agent(spec)),
}
