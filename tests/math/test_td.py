"""Temporal differences against rlax and against arithmetic by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from shoal.math.td import (
    action_value,
    double_q_value,
    lambda_returns,
    n_step_returns,
    settled_returns,
)

GAMMA = 0.9


def draw(*shape: int, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_double_q_agrees_with_rlax():
    q_tm1, q_t, selector = (draw(20, 4, seed=i) for i in range(3))
    a_tm1 = jnp.arange(20, dtype=jnp.int32) % 4
    r_t, discount_t = draw(20, seed=3), jnp.where(jnp.arange(20) % 3 == 0, 0.0, GAMMA)
    value = double_q_value(q_t, selector, jnp.ones((20, 4), bool))
    error = r_t + discount_t * value - action_value(q_tm1, a_tm1)
    theirs = jax.vmap(rlax.double_q_learning)(q_tm1, a_tm1, r_t, discount_t, q_t, selector)
    np.testing.assert_allclose(error, theirs, rtol=1e-5, atol=1e-6)


def test_an_illegal_action_never_values_a_successor():
    q_t = jnp.array([[1.0, 5.0, 2.0]])
    selector = jnp.array([[0.0, 9.0, 3.0]])
    legal = jnp.array([[True, False, True]])
    assert double_q_value(q_t, selector, legal)[0] == 2.0
    assert double_q_value(q_t, selector, ~legal)[0] == 5.0


def test_negative_values_do_not_lose_to_illegal_ones():
    q_t = jnp.array([[-4.0, -3.0]])
    assert double_q_value(q_t, q_t, jnp.array([[True, False]]))[0] == -4.0


def test_lambda_returns_agree_with_rlax():
    r_t, v_t = draw(7), draw(7, seed=1)
    discount_t = jnp.array([GAMMA, GAMMA, 0.0, GAMMA, GAMMA, GAMMA, GAMMA])
    lambda_t = jnp.array([0.5, 1.0, 0.3, 0.0, 0.9, 0.2, 0.7])
    ours = lambda_returns(r_t, discount_t, v_t, lambda_t)
    np.testing.assert_allclose(
        ours, rlax.lambda_returns(r_t, discount_t, v_t, lambda_t), rtol=1e-5, atol=1e-6
    )


def test_lambda_0_looks_one_step_ahead():
    r_t, v_t = draw(5), draw(5, seed=1)
    discount_t = jnp.full(5, GAMMA)
    known, ends = jnp.ones(5, bool), jnp.zeros(5, bool)
    returns, settled = settled_returns(r_t, discount_t, v_t, known, ends, 0.0)
    np.testing.assert_allclose(returns, r_t + GAMMA * v_t, rtol=1e-6)
    assert settled.all()


def test_nothing_counts_beyond_an_end():
    r_t, v_t = jnp.array([1.0, 2.0, 4.0]), jnp.array([10.0, 20.0, 40.0])
    ends = jnp.array([False, True, False])
    returns, settled = settled_returns(r_t, jnp.full(3, GAMMA), v_t, jnp.ones(3, bool), ends, 1.0)
    last = 4 + 0.9 * 40
    middle = 2 + 0.9 * 20
    np.testing.assert_allclose(returns, [1 + 0.9 * middle, middle, last], rtol=1e-6)
    assert settled.all()


def test_returns_run_on_over_another_agents_turns():
    """Acts at steps 0 and 3; in between it is others' turn and their values mean nothing."""
    nonsense = 1e6
    r_t = jnp.array([1.0, 2.0, 4.0, 8.0, 16.0])
    v_t = jnp.array([nonsense, nonsense, 30.0, nonsense, nonsense])
    known = jnp.array([False, False, True, False, False])
    returns, settled = settled_returns(r_t, jnp.full(5, GAMMA), v_t, known, jnp.zeros(5, bool), 0.0)
    at_2 = 4 + 0.9 * 30
    np.testing.assert_allclose(returns[2], at_2, rtol=1e-6)
    np.testing.assert_allclose(returns[0], 1 + 0.9 * (2 + 0.9 * at_2), rtol=1e-6)
    np.testing.assert_array_equal(settled, [True, True, True, False, False])


def test_a_return_cut_off_on_anothers_turn_is_not_settled_and_spoils_none_before():
    nonsense = 1e6
    r_t = jnp.array([1.0, 2.0, 4.0])
    v_t = jnp.array([10.0, nonsense, 30.0])
    known = jnp.array([True, False, True])
    ends = jnp.array([False, True, False])
    returns, settled = settled_returns(r_t, jnp.full(3, GAMMA), v_t, known, ends, 0.8)
    np.testing.assert_array_equal(settled, [True, False, True])
    np.testing.assert_allclose(returns[0], 1 + 0.9 * 10, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 7, 20])
def test_n_step_returns_agree_with_rlax(n):
    r_t, v_t = draw(7), draw(7, seed=1)
    discount_t = jnp.array([GAMMA, GAMMA, 0.0, GAMMA, GAMMA, GAMMA, GAMMA])
    ours = n_step_returns(r_t, discount_t, v_t, discount_t == 0, n)
    theirs = rlax.n_step_bootstrapped_returns(r_t, discount_t, v_t, min(n, 7))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_as_many_steps_as_there_are_is_lambda_1_and_one_is_lambda_0():
    r_t, v_t = draw(6, 2), draw(6, 2, seed=1)
    discount_t, ends_t = jnp.full((6, 2), GAMMA), jnp.zeros((6, 1), bool)
    for n, lambda_ in ((1, 0.0), (6, 1.0)):
        ours = n_step_returns(r_t, discount_t, v_t, ends_t, n)
        theirs = lambda_returns(r_t, discount_t, v_t, jnp.full((6, 2), lambda_))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_n_steps_stop_at_a_time_limit_with_the_true_successors_value():
    r_t, v_t = jnp.array([1.0, 2.0, 4.0, 8.0]), jnp.array([10.0, 20.0, 30.0, 40.0])
    ends_t = jnp.array([False, True, False, False])
    out = n_step_returns(r_t, jnp.full(4, 0.5), v_t, ends_t, 3)
    cut, last = 2 + 0.5 * 20, 8 + 0.5 * 40
    np.testing.assert_allclose(out, [1 + 0.5 * cut, cut, 4 + 0.5 * last, last], rtol=1e-6)


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        n_step_returns(draw(3), draw(3), draw(3), jnp.zeros(3, bool), 0)
