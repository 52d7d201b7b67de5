"""Who shares parameters with whom: an argument of every algorithm, a property of none."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from shoal.core.env import EnvSpec
from shoal.core.limits import check_value

Sharing = Literal["shared", "independent", "role", "auto"]


class Groups(eqx.Module):
    """G groups of agents; a network has a leading axis G and each agent uses its group's slice."""

    of_agent: tuple[int, ...] = eqx.field(static=True)

    @staticmethod
    def of(spec: EnvSpec, sharing: Sharing) -> "Groups":
        """`shared`: all agents one group. `independent`: one each. `role`: one a role.
        `auto`: by role, which is `shared` where all agents are of one kind."""
        check_value("sharing", sharing, Sharing)
        agents = range(spec.num_agents)
        if sharing == "shared":
            return Groups(tuple(0 for _ in agents))
        if sharing == "independent":
            return Groups(tuple(agents))
        roles = sorted(set(spec.roles))
        return Groups(tuple(roles.index(r) for r in spec.roles))

    @property
    def count(self) -> int:
        return max(self.of_agent) + 1

    @property
    def members(self) -> list[list[int]]:
        """The agents of each group, in order."""
        return [[i for i, g in enumerate(self.of_agent) if g == k] for k in range(self.count)]

    @property
    def largest(self) -> int:
        """How many agents the largest group has."""
        return max(len(agents) for agents in self.members)

    @property
    def place_in_group(self) -> tuple[int, ...]:
        """The number of each agent among those of its group."""
        place = {agent: k for agents in self.members for k, agent in enumerate(agents)}
        return tuple(place[i] for i in range(len(self.of_agent)))

    def split(self, x: Shaped[Array, "M N ..."]) -> list[Array]:
        """Each group's samples on one flat axis: G arrays `[M * n, ...]`, n its agents."""
        if self.count == 1:
            return [x.reshape(-1, *x.shape[2:])]
        parts = [jnp.stack([x[:, i] for i in agents], 1) for agents in self.members]
        return [part.reshape(-1, *x.shape[2:]) for part in parts]

    def join(self, parts: list[Array], num_agents: int) -> Shaped[Array, "M N ..."]:
        """The inverse of `split`. One group may serve any number of agents."""
        if self.count == 1:
            return parts[0].reshape(-1, num_agents, *parts[0].shape[1:])
        members = self.members
        parts = [x.reshape(-1, len(m), *x.shape[1:]) for x, m in zip(parts, members)]
        return jnp.stack([parts[g][:, members[g].index(i)] for i, g in enumerate(self.of_agent)], 1)
