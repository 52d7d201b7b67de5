"""Advantages: by hand, against rlax where no episode is cut, and across time limits."""

import jax
import jax.numpy as jnp
import numpy as np
import rlax

from shoal.math.gae import gae
from shoal.math.td import lambda_returns


def test_two_steps_by_hand():
    # delta = [1 + 0.5 * 4 - 3, 2 + 0.5 * 6 - 4] = [0, 1]; A_1 = 1, A_0 = 0 + 0.5 * 0.8 * 1.
    out = gae(
        jnp.array([1.0, 2.0]),
        jnp.full(2, 0.5),
        jnp.array([3.0, 4.0]),
        jnp.array([4.0, 6.0]),
        jnp.zeros(2, bool),
        0.8,
    )
    np.testing.assert_allclose(out, [0.4, 1.0], rtol=1e-6)


def test_a_true_end_takes_no_value_and_a_time_limit_takes_the_successors():
    # Both end after the first step with a true successor worth 10; the second step is of another
    # episode and must not reach back. delta_0 = 1 + discount_0 * 10 - 3.
    discount = jnp.array([[0.0, 0.5], [0.5, 0.5]])  # [T, 2]: terminated, truncated
    same = lambda *x: jnp.repeat(jnp.array(x)[:, None], 2, 1)  # noqa: E731
    out = gae(same(1.0, 2.0), discount, same(3.0, 4.0), same(10.0, 6.0), same(True, False), 0.8)
    np.testing.assert_allclose(out, [[-2.0, 3.0], [1.0, 1.0]], rtol=1e-6)


def test_a_step_with_lambda_1_does_not_read_the_successors_value():
    # Lambda 1 at the middle state: A_0 = 1 + 0.5 * (2 + 0.5 * 6) - 3, whatever that state's value.
    for unknown in (-100.0, 4.0):
        out = gae(
            jnp.array([1.0, 2.0]),
            jnp.full(2, 0.5),
            jnp.array([3.0, unknown]),
            jnp.array([unknown, 6.0]),
            jnp.zeros(2, bool),
            jnp.array([1.0, 0.3]),
        )
        np.testing.assert_allclose(out[0], 0.5, rtol=1e-5)


def test_matches_rlax_where_no_episode_is_cut():
    rng = np.random.default_rng(0)
    T, B = 20, 3
    reward, value = rng.normal(size=(T, B)), rng.normal(size=(T + 1, B))
    terminated = rng.random((T, B)) < 0.2
    reward, value = jnp.float32(reward), jnp.float32(value)
    discount = jnp.float32(0.97 * ~terminated)
    ours = gae(reward, discount, value[:-1], value[1:], jnp.asarray(terminated), 0.9)
    theirs = jax.vmap(
        lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, 0.9, v), 1, 1
    )(reward, discount, value)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_lambda_0_is_one_step_and_lambda_1_the_return_over_the_value():
    rng = np.random.default_rng(1)
    r_t, v_tm1 = (jnp.asarray(rng.normal(size=12), jnp.float32) for _ in range(2))
    successor = jnp.asarray(rng.normal(size=12), jnp.float32)
    ends_t = jnp.isin(jnp.arange(12), jnp.array([3, 7]))  # a true end, then a time limit
    discount_t = jnp.where(jnp.arange(12) == 3, 0.0, 0.9)
    v_t = jnp.where(ends_t, successor, jnp.append(v_tm1[1:], successor[-1]))
    one_step = r_t + discount_t * v_t - v_tm1
    out = gae(r_t, discount_t, v_tm1, v_t, ends_t, 0.0)
    np.testing.assert_allclose(out, one_step, rtol=1e-6)
    returns = lambda_returns(r_t, discount_t, v_t, jnp.where(ends_t, 0.0, 1.0))
    out = gae(r_t, discount_t, v_tm1, v_t, ends_t, 1.0)
    np.testing.assert_allclose(out, returns - v_tm1, rtol=1e-4, atol=1e-5)
