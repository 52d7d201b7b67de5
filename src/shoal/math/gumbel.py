"""Draws of discrete actions through which a gradient passes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.math.td import greedy_action

_ILLEGAL = -1e9


def straight_through_gumbel(
    key: PRNGKeyArray,
    logits: Float[Array, "*B A"],
    legal: Bool[Array, "*B A"],
    temperature: Float[Array, ""] | float = 1.0,
) -> Float[Array, "*B A"]:
    r"""One-hot draws $a \sim \mathrm{softmax}(x)$ with the gradient of a softmax:

    $$a = \mathrm{onehot}(\arg\max_k x_k + g_k), \qquad
    \partial a := \partial\, \mathrm{softmax}((x + g) / \tau)$$

    with $g$ of the standard Gumbel distribution. What is illegal is never drawn and has no
    gradient. A low temperature $\tau$ gives a gradient of less bias and more variance.
    Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712.

    Args:
        logits: x, of A actions.
        legal: which of them may be drawn.
        temperature: $\tau$, above 0.
    """
    noisy = logits + jax.random.gumbel(key, logits.shape)
    soft = jax.nn.softmax(jnp.where(legal, noisy / temperature, _ILLEGAL))
    hard = jax.nn.one_hot(greedy_action(noisy, legal), logits.shape[-1])
    return hard + (soft - jax.lax.stop_gradient(soft))
