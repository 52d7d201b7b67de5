"""Tables in the place of networks: the distinct observations that agents have met, found again by
exact equality, and a policy of what is noted beside each."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.distributions import Categorical
from shoal.core.env import TimeStep
from shoal.core.spaces import Discrete, legal_actions


class Distinct(eqx.Module):
    """Up to S observations of each agent, in the order in which they came. What comes when the
    table is full is not taken in: it stays unknown."""

    rows: Float[Array, "N S D"]
    count: Int[Array, "N"]  # rows of each agent that hold something

    @staticmethod
    def empty(agents: int, size: int, width: int) -> "Distinct":
        """A table for `size` observations of `width` numbers each."""
        return Distinct(jnp.zeros((agents, size, width)), jnp.zeros(agents, jnp.int32))

    def find(self, obs: Float[Array, "*B N D"]) -> Bool[Array, "*B N S"]:
        """Which row an observation is: one, or none where it is unknown."""
        same = (obs[..., None, :] == self.rows).all(-1)
        return same & (jnp.arange(self.rows.shape[1]) < self.count[:, None])

    def read(
        self, values: Float[Array, "N S A"], obs: Float[Array, "*B N D"]
    ) -> Float[Array, "*B N A"]:
        """The rows of `values` that belong to these observations; zeros for the unknown."""
        found = self.find(obs).astype(values.dtype)
        return jnp.einsum("...ns,nsa->...na", found, values, precision=jax.lax.Precision.HIGHEST)

    def add(self, obs: Float[Array, "M N D"], seen: Bool[Array, "M N"]) -> "Distinct":
        """Takes in those that are `seen` and new, as long as there is room. A NaN equals nothing,
        so that what holds one is never taken in."""
        new = seen & ~self.find(obs).any(-1) & (obs == obs).all(-1)

        def of_agent(rows, count, obs, new):
            def room(loop):
                _, count, new = loop
                return new.any() & (count < len(rows))

            def take(loop):
                rows, count, new = loop
                row = obs[jnp.argmax(new)]
                return rows.at[count].set(row), count + 1, new & (obs != row).any(-1)

            return jax.lax.while_loop(room, take, (rows, count, new))[:2]

        parts = jnp.moveaxis(obs, 1, 0), new.T
        return Distinct(*jax.vmap(of_agent)(self.rows, self.count, *parts))


class Boltzmann(Policy):
    """A softmax of tabled values over the legal actions, uniform where an agent sees what its table
    does not have. Its mode is the action of highest value."""

    met: Distinct
    values: Float[Array, "N S A"]
    temperature: Float[Array, ""]
    space: Discrete

    def initial_carry(self) -> Carry:
        return None

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Categorical, Carry]:
        values = self.met.read(self.values, timestep.obs)
        legal = legal_actions(self.space, timestep.action_mask, timestep.reward.shape)
        return Categorical(values / self.temperature, legal), carry
