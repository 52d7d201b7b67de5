"""Surrogates of the policy gradient. Each takes the log-probability of the action now and when it
was taken, and returns what to *maximise*. All are element-wise: any shape, or one number."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def ppo_clip(
    log_prob: Float[Array, "*S"],
    old_log_prob: Float[Array, "*S"],
    advantage: Float[Array, "*S"],
    epsilon: Float[Array, ""] | float,
) -> Float[Array, "*S"]:
    r"""$\min(\rho A, \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon) A)$ with $\rho = \pi/\pi_{old}$.

    Schulman et al. 2017, arXiv:1707.06347.
    """
    ratio = jnp.exp(log_prob - old_log_prob)
    return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - epsilon, 1 + epsilon) * advantage)


def policy_gradient(
    log_prob: Float[Array, "*S"],
    old_log_prob: Float[Array, "*S"],
    advantage: Float[Array, "*S"],
    epsilon: Float[Array, ""] | float,
) -> Float[Array, "*S"]:
    r"""$\log \pi \, A$: the likelihood-ratio gradient of A2C (Mnih et al. 2016, arXiv:1602.01783).

    `old_log_prob` and `epsilon` are not used; they are there so that surrogates can be exchanged.
    """
    del old_log_prob, epsilon
    return log_prob * advantage
