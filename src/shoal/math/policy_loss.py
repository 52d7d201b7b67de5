"""Surrogates of the policy gradient. Each takes the log-probability of the action now and when it
was taken, and returns what to *maximise*; `sample_kl` is how far the policy has moved since.
All are element-wise: any shape, or one number. `adapt_penalty` belongs to `ppo_penalty`."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def sample_kl(log_prob: Float[Array, "*S"], old_log_prob: Float[Array, "*S"]) -> Float[Array, "*S"]:
    r"""$\rho - 1 - \log \rho$ with $\rho = \pi/\pi_{old}$. Its mean over the old policy is
    $\mathrm{KL}(\pi_{old} \| \pi)$, and the mean of its gradient is that divergence's. It is never
    negative and varies less than $-\log \rho$ (Schulman 2020, joschu.net/blog/kl-approx.html).
    """
    log_ratio = log_prob - old_log_prob
    return jnp.expm1(log_ratio) - log_ratio


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


def ppo_dual_clip(
    log_prob: Float[Array, "*S"],
    old_log_prob: Float[Array, "*S"],
    advantage: Float[Array, "*S"],
    epsilon: Float[Array, ""] | float,
    ratio_clip: Float[Array, ""] | float = 3.0,
) -> Float[Array, "*S"]:
    r"""$\max(L, c A)$ where $A < 0$ and $L$ elsewhere, $L$ being `ppo_clip`: a bad action that has
    become much likelier than it was, $\rho > c$, does not pull without bound.

    Ye et al. 2020, arXiv:1912.09729.

    Args:
        ratio_clip: $c > 1 + \epsilon$; the default is the paper's.
    """
    surrogate = ppo_clip(log_prob, old_log_prob, advantage, epsilon)
    return jnp.where(advantage < 0, jnp.maximum(surrogate, ratio_clip * advantage), surrogate)


def ppo_penalty(
    log_prob: Float[Array, "*S"],
    old_log_prob: Float[Array, "*S"],
    advantage: Float[Array, "*S"],
    kl: Float[Array, "*S"],
    beta: Float[Array, "*S"] | float,
) -> Float[Array, "*S"]:
    r"""$\rho A - \beta \, \mathrm{KL}(\pi_{old} \| \pi)$ with $\rho = \pi/\pi_{old}$.

    Schulman et al. 2017, arXiv:1707.06347, equation 8; `adapt_penalty` chooses $\beta$.

    Args:
        kl: the divergence of the whole distributions in the states that were acted in.
    """
    return jnp.exp(log_prob - old_log_prob) * advantage - beta * kl


def adapt_penalty(
    beta: Float[Array, "*S"] | float,
    kl: Float[Array, "*S"] | float,
    target_kl: Float[Array, ""] | float,
) -> Float[Array, "*S"]:
    r"""The next $\beta$ of `ppo_penalty`, after an update that moved the policy by `kl` on average.

    Twice as much if $\mathrm{kl} > 1.5 \, \mathrm{target}$, half if
    $\mathrm{kl} < \mathrm{target} / 1.5$, otherwise the same.
    """
    far, near = kl > 1.5 * target_kl, kl < target_kl / 1.5
    return jnp.asarray(beta) * jnp.where(far, 2.0, jnp.where(near, 0.5, 1.0))


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
