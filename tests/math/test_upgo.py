"""Upgoing returns by hand and against AlphaStar's own recipe, rlax's lambda returns."""

import jax.numpy as jnp
import numpy as np
import rlax

from shoal.math.upgo import upgo_returns


def test_four_steps_by_hand():
    # One-step values 1 + 0.5 * 4, 2 + 0.5 * 2, 0 + 0.5 * 8, 3 + 0.5 * 6 = 3, 3, 4, 6 against the
    # states' 9, 4, 2, 8: the second and the fourth step disappoint, the third does better.
    v_tm1, v_t = jnp.array([9.0, 4.0, 2.0, 8.0]), jnp.array([4.0, 2.0, 8.0, 6.0])
    out = upgo_returns(
        jnp.array([1.0, 2.0, 0.0, 3.0]), jnp.full(4, 0.5), v_tm1, v_t, jnp.zeros(4, bool)
    )
    # G_3 = 3 + 0.5 * 6 and G_2 = 0 + 0.5 * v = 4, for step 3 disappoints; G_1 = 2 + 0.5 * G_2,
    # for step 2 does not; G_0 = 1 + 0.5 * v = 3, for step 1 does.
    np.testing.assert_allclose(out, [3.0, 4.0, 4.0, 6.0], rtol=1e-6)


def test_a_chain_of_good_surprises_is_the_plain_return():
    r_t = jnp.array([1.0, 2.0, 4.0])
    out = upgo_returns(
        r_t, jnp.full(3, 0.5), jnp.zeros(3), jnp.array([0.0, 0.0, 8.0]), jnp.zeros(3, bool)
    )
    np.testing.assert_allclose(out, [1 + 0.5 * 6, 2 + 0.5 * 8, 4 + 0.5 * 8], rtol=1e-6)


def test_a_time_limit_keeps_the_successors_value_and_lets_nothing_reach_back():
    for discount, target in ((0.0, 1.0), (0.5, 1.0 + 0.5 * 10.0)):
        out = upgo_returns(
            jnp.array([1.0, 1000.0]),
            jnp.array([discount, 0.5]),
            jnp.array([3.0, 4.0]),
            jnp.array([10.0, 6.0]),
            jnp.array([True, False]),
        )
        np.testing.assert_allclose(out[0], target, rtol=1e-6)


def test_matches_alphastars_recipe():
    rng = np.random.default_rng(0)
    r_t, value = (jnp.asarray(rng.normal(size=n), jnp.float32) for n in (20, 21))
    discount_t = jnp.where(jnp.arange(20) % 7 == 6, 0.0, 0.9)
    better = r_t[1:] + discount_t[1:] * value[2:] >= value[1:-1]
    lambda_t = jnp.append(better, True).astype(jnp.float32)
    theirs = rlax.lambda_returns(r_t, discount_t, value[1:], lambda_t)
    ours = upgo_returns(r_t, discount_t, value[:-1], value[1:], discount_t == 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
