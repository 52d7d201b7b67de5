"""V-trace: advantages and targets of values from another policy's steps, as in IMPALA
(Espeholt et al. 2018, arXiv:1802.01561)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.math.gae import gae


def vtrace(
    r_t: Float[Array, "T *S"],
    discount_t: Float[Array, "T *S"],
    v_tm1: Float[Array, "T *S"],
    v_t: Float[Array, "T *S"],
    ends_t: Bool[Array, "T *#S"],
    log_rho_tm1: Float[Array, "T *S"],
    lambda_t: Float[Array, "T *#S"] | Float[Array, ""] | float = 1.0,
    *,
    rho_clip: Float[Array, ""] | float = 1.0,
    c_clip: Float[Array, ""] | float = 1.0,
) -> tuple[Float[Array, "T *S"], Float[Array, "T *S"]]:
    r"""Targets of $v_{t-1}$ and policy-gradient advantages of the actions that led from step t-1
    to step t.

    $$\rho = \min(\bar\rho, \pi/\mu), \qquad c = \min(\bar c, \pi/\mu), \qquad
    \delta_t = r_t + \gamma_t v_t - v_{t-1}$$
    $$E_{t-1} = \rho_{t-1} \delta_t + \gamma_t \lambda_t (1 - e_t) c_{t-1} E_t, \qquad
    G_{t-1} = v_{t-1} + E_{t-1}$$
    $$A_{t-1} = \rho_{t-1} \left(\delta_t + \gamma_t \lambda_t (1 - e_t) E_t\right)$$

    Where $\pi = \mu$, $A$ is the advantage of `gae` and $G$ the $\lambda$-return. With
    $\lambda = 1$, which is the paper's, $A_{t-1} = \rho_{t-1} (r_t + \gamma_t G_t - v_{t-1})$.

    Args:
        r_t: rewards.
        discount_t: $\gamma$, or 0 where the episode truly ended.
        v_tm1: values of the states that were acted in.
        v_t: values of the true successors, not of the states after a reset.
        ends_t: whether the episode ended here, truly or by a time limit: nothing after it counts.
        log_rho_tm1: $\log \pi - \log \mu$ of the actions taken: the policy that learns over the
            one that acted.
        lambda_t: the mixing of horizons, in [0, 1]: one number, or one a step.
        rho_clip: $\bar\rho$, which decides whose values these are: those of $\mu$ near 0 and of
            $\pi$ at infinity.
        c_clip: $\bar c \leq \bar\rho$, how far the steps that follow reach back.

    Returns:
        The targets $G$ and the advantages $A$.
    """
    ratio_tm1 = jnp.exp(log_rho_tm1)
    rho_tm1, c_tm1 = jnp.minimum(rho_clip, ratio_tm1), jnp.minimum(c_clip, ratio_tm1)
    v_rho_tm1, v_rho_t = rho_tm1 * v_tm1, rho_tm1 * v_t
    error_tm1 = gae(rho_tm1 * r_t, discount_t, v_rho_tm1, v_rho_t, ends_t, lambda_t * c_tm1)
    error_t = jnp.concatenate([error_tm1[1:], jnp.zeros_like(error_tm1[:1])])
    delta_t = r_t + discount_t * v_t - v_tm1
    advantage_tm1 = rho_tm1 * (delta_t + discount_t * lambda_t * (1.0 - ends_t) * error_t)
    return v_tm1 + error_tm1, advantage_tm1
