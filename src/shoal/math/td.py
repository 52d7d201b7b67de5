"""Temporal differences of action values: one-step and multi-step targets of Q-learning.

A successor is valued by the action that one estimate picks and another estimate judges
(van Hasselt et al. 2016, arXiv:1509.06461); `n_step_returns` and `lambda_returns` join such values
over several steps.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def action_value(q_tm1: Float[Array, "*B A"], a_tm1: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """The value of the action that was taken."""
    chosen = a_tm1[..., None] == jnp.arange(q_tm1.shape[-1])
    return jnp.where(chosen, q_tm1, 0.0).sum(-1)


def greedy_action(q: Float[Array, "*B A"], legal: Bool[Array, "*B A"]) -> Int[Array, "*B"]:
    """The legal action of highest value; 0 where nothing is legal."""
    return jnp.argmax(jnp.where(legal, q, -jnp.inf), -1)


def double_q_value(
    q_t: Float[Array, "*B A"],
    q_t_selector: Float[Array, "*B A"],
    legal_t: Bool[Array, "*B A"],
) -> Float[Array, "*B"]:
    r"""$q_t(\arg\max_{a \text{ legal}} q^{selector}_t(a))$: the value of a successor.

    With `q_t_selector = q_t` it is the maximum of plain Q-learning.
    """
    return action_value(q_t, greedy_action(q_t_selector, legal_t))


def n_step_returns(
    r_t: Float[Array, "T *B"],
    discount_t: Float[Array, "T *B"],
    v_t: Float[Array, "T *B"],
    ends_t: Bool[Array, "T *#B"],
    n: int,
) -> Float[Array, "T *B"]:
    r"""Targets for the actions that led from step t-1 to step t (Sutton and Barto 2018, 7.1).

    $$G^1_{t-1} = r_t + \gamma_t v_t, \qquad
    G^n_{t-1} = r_t + \gamma_t \left((1 - e_t) G^{n-1}_t + e_t v_t\right)$$

    with fewer steps where the last one comes before.

    Args:
        r_t: rewards.
        discount_t: $\gamma$, or 0 where the episode truly ended.
        v_t: values of the true successors.
        ends_t: whether the episode ended here, truly or by a time limit: nothing after it counts.
        n: the number of rewards in a target, at least 1.
    """
    if n < 1:
        raise ValueError(f"n_step_returns: n must be at least 1, and is {n}")
    stops_t = jnp.broadcast_to(ends_t, v_t.shape).at[-1].set(True)

    def longer(_, g_tm1):
        return r_t + discount_t * jnp.where(stops_t, v_t, jnp.roll(g_tm1, -1, axis=0))

    return jax.lax.fori_loop(1, n, longer, r_t + discount_t * v_t)


def lambda_returns(
    r_t: Float[Array, "T *B"],
    discount_t: Float[Array, "T *B"],
    v_t: Float[Array, "T *B"],
    lambda_t: Float[Array, "T *B"],
) -> Float[Array, "T *B"]:
    r"""Targets for the actions that led from step t-1 to step t (Sutton and Barto 2018, 12.18).

    $$G_{t-1} = r_t + \gamma_t \left((1 - \lambda_t) v_t + \lambda_t G_t\right)$$

    and $G_T = v_T$ after the last step.

    Args:
        r_t: rewards.
        discount_t: $\gamma$, or 0 where the episode truly ended.
        v_t: values of the true successors.
        lambda_t: how much of the steps after this one counts; 0 where they are of another episode.
    """

    def step(g_t, inputs):
        r, discount, v, lambda_ = inputs
        g_tm1 = r + discount * ((1 - lambda_) * v + lambda_ * g_t)
        return g_tm1, g_tm1

    return jax.lax.scan(step, v_t[-1], (r_t, discount_t, v_t, lambda_t), reverse=True)[1]


def settled_returns(
    r_t: Float[Array, "T *B"],
    discount_t: Float[Array, "T *B"],
    v_t: Float[Array, "T *B"],
    known_t: Bool[Array, "T *B"],
    ends_t: Bool[Array, "T *B"],
    lambda_: Float[Array, ""] | float,
) -> tuple[Float[Array, "T *B"], Bool[Array, "T *B"]]:
    r"""$\lambda$-returns where some successors have no value: those in which the learner does not
    act, because it is another's turn. There the return runs on to the next one that has.

    Args:
        r_t, discount_t, v_t: as in `lambda_returns`.
        known_t: whether `v_t` means something.
        ends_t: whether the steps after this one belong to something else.
        lambda_: mixing of horizons, in [0, 1], where there is a choice.

    Returns:
        The returns, and which of them rest on known values alone; the others, which the last step
        or an end leaves open, should weigh nothing.
    """
    runs_on_t = ~known_t & ~ends_t
    as_float = known_t.astype(jnp.float32)
    ones = jnp.ones_like(as_float)
    settled = lambda_returns(0 * ones, ones, as_float, runs_on_t.astype(jnp.float32)) > 0
    next_settled = jnp.concatenate([settled[1:], settled[:1]])
    lambda_t = jnp.where(runs_on_t, 1.0, lambda_ * (next_settled & ~ends_t))
    return lambda_returns(r_t, discount_t, v_t, lambda_t), settled


def settled_n_step_returns(
    r_t: Float[Array, "T *B"],
    discount_t: Float[Array, "T *B"],
    v_t: Float[Array, "T *B"],
    known_t: Bool[Array, "T *B"],
    ends_t: Bool[Array, "T *B"],
    n: int,
) -> tuple[Float[Array, "T *B"], Bool[Array, "T *B"]]:
    """Returns of `n` steps where some successors have no value, as in `settled_returns`; those of
    fewer steps, for want of more, are not settled either unless an end is the reason."""
    y, settled = settled_returns(r_t, discount_t, v_t, known_t, ends_t, 0.0)
    if n == 1:
        return y, settled
    v_t = jnp.where(known_t, v_t, jnp.roll(y, -1, axis=0))
    y = n_step_returns(r_t, discount_t, v_t, ends_t, n)
    one = jnp.ones_like(y)
    settled = n_step_returns(0 * one, one, 1.0 * settled, ends_t, n) > 0
    full = (jnp.arange(len(y)) + n <= len(y)).reshape(-1, *[1] * (y.ndim - 1))
    ending = jnp.cumsum(ends_t[::-1], axis=0)[::-1] > 0
    return y, settled & (full | ending)
