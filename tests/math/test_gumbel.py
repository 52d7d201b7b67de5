"""Draws of discrete actions: one-hot on the way there, a softmax on the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.math.gumbel import straight_through_gumbel

KEY = jax.random.key(3)
LOGITS = jnp.array([0.5, -1.0, 9.0, 0.0])
LEGAL = jnp.array([True, True, False, True])


def test_draws_are_one_hot_legal_and_as_likely_as_the_softmax_says():
    draws = straight_through_gumbel(
        KEY, jnp.broadcast_to(LOGITS, (20_000, 4)), jnp.broadcast_to(LEGAL, (20_000, 4)), 0.3
    )
    assert set(np.unique(draws)) == {0.0, 1.0} and (draws.sum(-1) == 1).all()
    weights = np.exp(np.asarray(LOGITS)) * np.asarray(LEGAL)
    np.testing.assert_allclose(draws.mean(0), weights / weights.sum(), atol=0.01)  # 3 deviations


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_gradient_on_a_linear_critic_is_the_softmaxs(temperature):
    r"""Of $w \cdot a$: $p_k (w_k - w \cdot p) / \tau$ with $p = softmax((x + g) / \tau)$."""
    w = jnp.array([2.0, -1.0, 100.0, 0.5])
    value = lambda x: w @ straight_through_gumbel(KEY, x, LEGAL, temperature)  # noqa: E731
    grad = jax.grad(value)(LOGITS)
    z = np.asarray((LOGITS + jax.random.gumbel(KEY, (4,))) / temperature, np.float64)
    p = np.exp(z - z.max()) * np.asarray(LEGAL)
    p /= p.sum()
    expected = p * (np.asarray(w) - np.asarray(w) @ p) / temperature
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-6)
    assert grad[2] == 0  # illegal


def test_where_nothing_is_legal_it_is_a_number():
    nothing = jnp.zeros(4, bool)
    value = lambda x: straight_through_gumbel(KEY, x, nothing).sum()  # noqa: E731
    assert np.isfinite(jax.grad(value)(LOGITS)).all()
