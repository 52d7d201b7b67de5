"""Retrace against the paper's sum, against rlax, on-policy, and across time limits."""

import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from shoal.math.retrace import retrace
from shoal.math.td import lambda_returns

T = 12


def trajectory(seed: int = 0):
    """Rewards, discounts, values and log-ratios of one window: a true end at 3, a limit at 7."""
    rng = np.random.default_rng(seed)
    r_t, q_tm1, v_t, log_rho = rng.normal(size=(4, T)).astype(np.float32)
    ends_t = np.isin(np.arange(T), [3, 7])
    discount_t = np.where(np.arange(T) == 3, 0.0, 0.9).astype(np.float32)
    return tuple(map(jnp.asarray, (r_t, discount_t, q_tm1, v_t, ends_t, log_rho)))


@pytest.mark.parametrize("lambda_", [0.6, 1.0])
def test_is_the_papers_sum(lambda_):
    """Equation 3 of the paper in double precision, every product written out."""
    r, discount, q, v, ends, log_rho = (np.asarray(x, np.float64) for x in trajectory())
    c = lambda_ * np.minimum(1.0, np.exp(log_rho))
    expected = q.copy()
    for s in range(T):
        for t in range(s, T):
            weight = np.prod(discount[s:t]) * np.prod(c[s + 1 : t + 1])
            expected[s] += weight * (r[t] + discount[t] * v[t] - q[t])
            if ends[t]:
                break
    np.testing.assert_allclose(retrace(*trajectory(), lambda_), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_on_policy_it_is_the_lambda_return(lambda_):
    # Every action is worth what its state is, so that expectations and samples are the same.
    r_t, discount_t, value, successor, ends_t, _ = trajectory()
    v_t = jnp.where(ends_t, successor, jnp.append(value[1:], successor[-1]))
    ours = retrace(r_t, discount_t, value, v_t, ends_t, jnp.zeros(T), lambda_)
    theirs = lambda_returns(r_t, discount_t, v_t, jnp.where(ends_t, 0.0, lambda_))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_matches_rlax_where_no_episode_is_cut():
    rng = np.random.default_rng(2)
    q = jnp.asarray(rng.normal(size=(T + 1, 4)), jnp.float32)
    action = jnp.asarray(rng.integers(4, size=T + 1), jnp.int32)
    pi, mu = (jnp.asarray(rng.dirichlet(np.ones(4), T + 1), jnp.float32) for _ in range(2))
    r_t = jnp.asarray(rng.normal(size=T), jnp.float32)
    discount_t = jnp.where(jnp.arange(T) == 5, 0.0, 0.9)
    take = lambda x: jnp.take_along_axis(x, action[:, None], 1)[:, 0]  # noqa: E731
    theirs = rlax.retrace(
        q[:-1], q[1:], action[:-1], action[1:], r_t, discount_t, pi[1:], take(mu)[1:], 0.8
    )
    log_rho = jnp.log(take(pi)) - jnp.log(take(mu))
    v_t = (pi * q).sum(1)[1:]
    q_tm1, no_end = take(q)[:-1], jnp.zeros(T, bool)
    ours = retrace(r_t, discount_t, q_tm1, v_t, no_end, log_rho[:-1], 0.8)
    np.testing.assert_allclose(ours - q_tm1, theirs, rtol=1e-4, atol=1e-5)


def test_a_time_limit_keeps_the_successors_value_and_lets_nothing_reach_back():
    for discount, target in ((0.0, 1.0), (0.5, 1.0 + 0.5 * 10.0)):
        for later in (0.0, 1000.0):
            out = retrace(
                jnp.array([1.0, later]),
                jnp.array([discount, 0.5]),
                jnp.array([3.0, 4.0]),
                jnp.array([10.0, 6.0]),
                jnp.array([True, False]),
                jnp.zeros(2),
            )
            np.testing.assert_allclose(out[0], target, rtol=1e-6)
