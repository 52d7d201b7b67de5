"""Potential-based shaping: rewards that guide a learner and leave what is optimal as it was
(Ng, Harada and Russell 1999, ICML)."""

from jaxtyping import Array, Float


def shaped_reward(
    r_t: Float[Array, "*S"],
    discount_t: Float[Array, "*S"],
    potential_tm1: Float[Array, "*S"],
    potential_t: Float[Array, "*S"],
) -> Float[Array, "*S"]:
    r"""$r_t + \gamma_t \Phi(s_t) - \Phi(s_{t-1})$.

    A return is shifted by $-\Phi$ of the state that it begins in, whatever is done there, and so
    is every value: $Q'(s, a) = Q(s, a) - \Phi(s)$.

    Args:
        r_t: rewards.
        discount_t: the learner's $\gamma$, or 0 where the episode truly ended: the potential after
            an end counts as 0, without which the end would be worth more or less than it is.
        potential_tm1: $\Phi$ of the states that were acted in.
        potential_t: $\Phi$ of the true successors, not of the states after a reset.
    """
    return r_t + discount_t * potential_t - potential_tm1
