"""Policies as probabilities and probabilities as policies: learners and solvers meet here."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Policy, require_decentralised
from shoal.core.distributions import Categorical
from shoal.core.env import TimeStep


@eqx.filter_jit
def probabilities(
    policy: Policy, obs: Float[Array, "*B N D"], mask: Bool[Array, "*B N A"]
) -> Float[Array, "*B N A"]:
    """The probability of every action of every agent, of a policy that does not remember. Raises
    `UserError` where it is centralised."""
    require_decentralised(policy, "a game's measure")
    found, _ = policy(TimeStep.of(obs, action_mask=mask), None, jax.random.key(0))
    num_actions = mask.shape[-1]
    actions = jnp.arange(num_actions).reshape(num_actions, *[1] * (mask.ndim - 1))
    every = jnp.broadcast_to(actions, (num_actions, *mask.shape[:-1]))
    return jnp.where(mask, jnp.moveaxis(jnp.exp(jax.vmap(found.log_prob)(every)), 0, -1), 0.0)


class TablePolicy(Policy):
    """Acts by a table: what an agent sees says which row. Agents that see zeros act at random."""

    table: Float[Array, "N D A"]
    """The probabilities of each agent's actions for each entry of its observation."""

    def initial_carry(self) -> None:
        return None

    def __call__(
        self, timestep: TimeStep, carry: None, key: PRNGKeyArray | None = None
    ) -> tuple[Categorical, None]:
        probs = jnp.einsum("...nd,nda->...na", timestep.obs, self.table)
        return Categorical(jnp.log(jnp.maximum(probs, 1e-30)), timestep.action_mask), None
