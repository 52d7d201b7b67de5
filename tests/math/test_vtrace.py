"""V-trace against the paper's sums, against rlax, on-policy, and across time limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from shoal.math.gae import gae
from shoal.math.td import lambda_returns
from shoal.math.vtrace import vtrace

T = 12


def trajectory(seed: int = 0):
    """Rewards, discounts, values and log-ratios of one window: a true end at 3, a limit at 7."""
    rng = np.random.default_rng(seed)
    r_t, v_tm1, successor, log_rho = rng.normal(size=(4, T)).astype(np.float32)
    ends_t = np.isin(np.arange(T), [3, 7])
    v_t = np.where(ends_t, successor, np.append(v_tm1[1:], successor[-1])).astype(np.float32)
    discount_t = np.where(np.arange(T) == 3, 0.0, 0.9).astype(np.float32)
    return tuple(map(jnp.asarray, (r_t, discount_t, v_tm1, v_t, ends_t, log_rho)))


def the_papers_sum(r, discount, v_tm1, v_t, ends, log_rho, rho_clip, c_clip):
    """Equations 1 and 4 of the paper in double precision, every product written out."""
    r, discount, v_tm1, v_t, log_rho = (
        np.asarray(x, np.float64) for x in (r, discount, v_tm1, v_t, log_rho)
    )
    rho, c = np.minimum(rho_clip, np.exp(log_rho)), np.minimum(c_clip, np.exp(log_rho))
    target = v_tm1.copy()
    for s in range(T):
        for t in range(s, T):
            weight = np.prod(discount[s:t]) * np.prod(c[s:t])
            target[s] += weight * rho[t] * (r[t] + discount[t] * v_t[t] - v_tm1[t])
            if ends[t]:
                break
    last = np.asarray(ends) | (np.arange(T) == T - 1)
    after = np.where(last, v_t, np.append(target[1:], 0.0))
    return target, rho * (r + discount * after - v_tm1)


@pytest.mark.parametrize(("rho_clip", "c_clip"), [(1.0, 1.0), (2.0, 0.5), (np.inf, 3.0)])
def test_is_the_papers_sum(rho_clip, c_clip):
    data = trajectory()
    ours = vtrace(*data, rho_clip=rho_clip, c_clip=c_clip)
    for mine, theirs in zip(ours, the_papers_sum(*data, rho_clip, c_clip)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_on_policy_it_is_gae_and_the_lambda_return(lambda_):
    r_t, discount_t, v_tm1, v_t, ends_t, _ = trajectory()
    target, advantage = vtrace(r_t, discount_t, v_tm1, v_t, ends_t, jnp.zeros(T), lambda_)
    expected = gae(r_t, discount_t, v_tm1, v_t, ends_t, lambda_)
    np.testing.assert_allclose(advantage, expected, rtol=1e-5, atol=1e-6)
    returns = lambda_returns(r_t, discount_t, v_t, jnp.where(ends_t, 0.0, lambda_))
    np.testing.assert_allclose(target, returns, rtol=1e-5, atol=1e-6)


def test_matches_rlax_where_a_time_limit_sets_lambda_to_0():
    r_t, discount_t, v_tm1, v_t, ends_t, log_rho = trajectory(1)
    lambda_t = jnp.where(ends_t, 0.0, 0.8)
    theirs = rlax.vtrace_td_error_and_advantage(
        v_tm1, v_t, r_t, discount_t, jnp.exp(log_rho), lambda_t, 1.5, 1.5
    )
    target, advantage = vtrace(*trajectory(1), 0.8, rho_clip=1.5)
    np.testing.assert_allclose(target - v_tm1, theirs.errors, rtol=1e-4, atol=1e-5)
    # There rlax's advantage, unlike its error, takes the value of the next episode's first state.
    same = ~np.asarray(ends_t) | (np.asarray(discount_t) == 0)
    assert same.sum() == T - 1
    np.testing.assert_allclose(advantage[same], theirs.pg_advantage[same], rtol=1e-4, atol=1e-5)


def test_a_time_limit_keeps_the_successors_value_and_lets_nothing_reach_back():
    # Ratio 2 at every action, clipped to 1. Both end after the first step; the true successor is
    # worth 10, and the next episode's rewards are of no account.
    for discount, target in ((0.0, 1.0), (0.5, 1.0 + 0.5 * 10.0)):
        for later in (0.0, 1000.0):
            out, advantage = vtrace(
                jnp.array([1.0, later]),
                jnp.array([discount, 0.5]),
                jnp.array([3.0, 4.0]),
                jnp.array([10.0, 6.0]),
                jnp.array([True, False]),
                jnp.log(jnp.full(2, 2.0)),
            )
            np.testing.assert_allclose(out[0], target, rtol=1e-6)
            np.testing.assert_allclose(advantage[0], target - 3.0, rtol=1e-6)


def test_an_action_that_the_policy_never_takes_teaches_nothing():
    r_t, discount_t, v_tm1, v_t, ends_t, _ = trajectory()
    target, advantage = vtrace(r_t, discount_t, v_tm1, v_t, ends_t, jnp.full(T, -jnp.inf))
    np.testing.assert_array_equal(target, v_tm1)
    np.testing.assert_array_equal(advantage, jnp.zeros(T))


def test_a_batch_is_its_members():
    members = [trajectory(seed) for seed in range(3)]
    batch = jax.tree.map(lambda *x: jnp.stack(x, 1), *members)
    for together, alone in zip(vtrace(*batch), zip(*(vtrace(*m) for m in members))):
        np.testing.assert_allclose(together, jnp.stack(alone, 1), rtol=1e-5, atol=1e-6)
