"""Upgoing policy update: an actor learns from the steps that follow for as long as they go better
than expected, as in AlphaStar (Vinyals et al. 2019, doi:10.1038/s41586-019-1724-z)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.math.td import lambda_returns


def upgo_returns(
    r_t: Float[Array, "T *S"],
    discount_t: Float[Array, "T *S"],
    v_tm1: Float[Array, "T *S"],
    v_t: Float[Array, "T *S"],
    ends_t: Bool[Array, "T *#S"],
) -> Float[Array, "T *S"]:
    r"""Returns of the actions that led from step t-1 to step t, of which the policy gradient takes
    $\rho_{t-1} (G_{t-1} - v_{t-1})$.

    $$G_{t-1} = r_t + \gamma_t \begin{cases}
    G_t & \text{if } r_{t+1} + \gamma_{t+1} v_{t+1} \geq v_t \text{ and the episode goes on} \\
    v_t & \text{otherwise} \end{cases}$$

    Args:
        r_t: rewards.
        discount_t: $\gamma$, or 0 where the episode truly ended.
        v_tm1: values of the states that were acted in.
        v_t: values of the true successors, not of the states after a reset.
        ends_t: whether the episode ended here, truly or by a time limit: nothing after it counts.
    """
    better_tm1 = r_t + discount_t * v_t >= v_tm1
    better_t = jnp.roll(better_tm1, -1, axis=0)  # the last step is followed by its value alone
    return lambda_returns(r_t, discount_t, v_t, (better_t & ~ends_t).astype(v_t.dtype))
