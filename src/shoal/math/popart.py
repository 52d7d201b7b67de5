"""PopArt: values are learned at mean 0 and deviation 1, and keep what they say when the mean and
the deviation of the targets change (van Hasselt et al. 2016, arXiv:1602.07714)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def rescale_output(
    weight: Float[Array, "O I"],
    bias: Float[Array, "O"],
    old_mean: Float[Array, "*#O"] | float,
    old_std: Float[Array, "*#O"] | float,
    new_mean: Float[Array, "*#O"] | float,
    new_std: Float[Array, "*#O"] | float,
) -> tuple[Float[Array, "O I"], Float[Array, "O"]]:
    r"""The last layer, $y = W h + b$, for new statistics: $\sigma y + \mu$ stays what it was.

    $$W' = \frac{\sigma}{\sigma'} W, \qquad b' = \frac{\sigma b + \mu - \mu'}{\sigma'}$$

    Args:
        weight: $W$, of a linear layer without an activation after it.
        bias: $b$.
        old_mean, old_std: $\mu$ and $\sigma$, of each output or of all, with which the layer was
            learned.
        new_mean, new_std: $\mu'$ and $\sigma' > 0$.

    Returns:
        $W'$ and $b'$.
    """
    scale = jnp.broadcast_to(old_std / new_std, bias.shape)
    return scale[:, None] * weight, scale * bias + (old_mean - new_mean) / new_std
