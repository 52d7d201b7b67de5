"""Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def gae(
    r_t: Float[Array, "T *S"],
    discount_t: Float[Array, "T *S"],
    v_tm1: Float[Array, "T *S"],
    v_t: Float[Array, "T *S"],
    ends_t: Bool[Array, "T *#S"],
    lambda_t: Float[Array, "T *#S"] | Float[Array, ""] | float,
) -> Float[Array, "T *S"]:
    r"""Advantages of the actions that led from step t-1 to step t.

    $$\delta_t = r_t + \gamma_t v_t - v_{t-1}, \qquad
    A_{t-1} = \delta_t + \gamma_t \lambda_t (1 - e_t) A_t$$

    Args:
        r_t: rewards.
        discount_t: $\gamma$, or 0 where the episode truly ended.
        v_tm1: values of the states that were acted in.
        v_t: values of the true successors, not of the states after a reset.
        ends_t: whether the episode ended here, truly or by a time limit: nothing after it counts.
        lambda_t: the mixing of horizons, in [0, 1]: one number, or one a step. Where it is 1, $v_t$
            cancels out: so for a learner that does not act at step t.

    Works on any trailing batch axes S as well.
    """
    delta_t = r_t + discount_t * v_t - v_tm1
    decay_t = discount_t * lambda_t * (1.0 - ends_t)

    def step(advantage, inputs):
        delta, decay = inputs
        advantage = delta + decay * advantage
        return advantage, advantage

    zero = jnp.zeros_like(delta_t[0])
    return jax.lax.scan(step, zero, (delta_t, decay_t), reverse=True, unroll=8)[1]
