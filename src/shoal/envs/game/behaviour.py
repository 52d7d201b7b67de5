"""What a policy does, as probabilities: the bridge from learners to solvers."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.core.algorithm import Policy


@eqx.filter_jit
def probabilities(
    policy: Policy, obs: Float[Array, "*B N D"], mask: Bool[Array, "*B N A"]
) -> Float[Array, "*B N A"]:
    """The probability of every action of every agent, of a policy that does not remember."""
    found, _ = policy(obs, None, action_mask=mask, key=jax.random.key(0))
    num_actions = mask.shape[-1]
    actions = jnp.arange(num_actions).reshape(num_actions, *[1] * (mask.ndim - 1))
    every = jnp.broadcast_to(actions, (num_actions, *mask.shape[:-1]))
    return jnp.where(mask, jnp.moveaxis(jnp.exp(jax.vmap(found.log_prob)(every)), 0, -1), 0.0)
