"""Retrace: targets of action values from another policy's steps
(Munos et al. 2016, arXiv:1606.02647)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.math.gae import gae


def retrace(
    r_t: Float[Array, "T *S"],
    discount_t: Float[Array, "T *S"],
    q_tm1: Float[Array, "T *S"],
    v_t: Float[Array, "T *S"],
    ends_t: Bool[Array, "T *#S"],
    log_rho_tm1: Float[Array, "T *S"],
    lambda_t: Float[Array, "T *#S"] | Float[Array, ""] | float = 1.0,
) -> Float[Array, "T *S"]:
    r"""Targets of $q_{t-1}$, the values of the actions that led from step t-1 to step t.

    $$G_{t-1} = r_t + \gamma_t \left(v_t + c_t (1 - e_t) (G_t - q_t)\right), \qquad
    c_t = \lambda_t \min(1, \pi(a_t)/\mu(a_t))$$

    Args:
        r_t: rewards.
        discount_t: $\gamma$, or 0 where the episode truly ended.
        q_tm1: values of the actions that were taken.
        v_t: values of the true successors, $\sum_a \pi(a) q_t(a)$.
        ends_t: whether the episode ended here, truly or by a time limit: nothing after it counts.
        log_rho_tm1: $\log \pi - \log \mu$ of the actions taken: the policy that learns over the
            one that acted.
        lambda_t: the mixing of horizons, in [0, 1]: one number, or one a step.
    """
    ratio_t = jnp.exp(jnp.roll(log_rho_tm1, -1, axis=0))  # after the last step nothing is added
    c_t = lambda_t * jnp.minimum(1.0, ratio_t)
    return q_tm1 + gae(r_t, discount_t, q_tm1, v_t, ends_t, c_t)
