"""Who shares parameters with whom: an argument of every algorithm, a property of none."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from shoal.core.env import EnvSpec
from shoal.core.errors import unknown

SHARING = ("shared", "independent", "role", "auto")


class Groups(eqx.Module):
    """G groups of agents; a network has a leading axis G and each agent uses its group's slice."""

    of_agent: tuple[int, ...] = eqx.field(static=True)

    @staticmethod
    def of(spec: EnvSpec, sharing: str) -> "Groups":
        """`shared`: all agents one group. `independent`: one each. `role`: one a role.
        `auto`: by role, which is `shared` where all agents are of one kind."""
        if sharing not in SHARING:
            raise unknown("parameter sharing", sharing, SHARING)
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
    def _members(self) -> np.ndarray:
        """Int `[G, n]`: the agents of each group, short groups filled with their first member."""
        lists = [[i for i, g in enumerate(self.of_agent) if g == k] for k in range(self.count)]
        n = max(map(len, lists))
        return np.array([m + [m[0]] * (n - len(m)) for m in lists])

    def split(self, x: Array) -> Array:
        """`[M, N, ...]` to `[G, M * n, ...]`: each group's samples on one flat axis."""
        members = self._members
        if self.count == 1:
            return x.reshape(1, -1, *x.shape[2:])
        x = jnp.stack([jnp.stack([x[:, i] for i in row], 1) for row in members])
        return x.reshape(self.count, -1, *x.shape[3:])

    def join(self, x: Array, num_agents: int) -> Array:
        """The inverse of `split`: `[G, M * n, ...]` to `[M, N, ...]`."""
        members = self._members
        x = x.reshape(self.count, -1, members.shape[1], *x.shape[2:])
        if self.count == 1:
            return x[0]
        first = [tuple(np.argwhere(members == i)[0]) for i in range(num_agents)]
        return jnp.stack([x[g, :, j] for g, j in first], 1)
