"""A gradient step by hand: scaled to a norm, skipped where it is not finite."""

import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.descend import apply_gradient, descend, init_optimizer

PARAMS = {"a": jnp.array([1.0, 2.0]), "b": jnp.array(3.0)}
GRADS = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(-4.0)}  # of norm 5


def test_the_first_step_of_adam_is_the_learning_rate_against_the_gradients_sign():
    stepped, _, norm = apply_gradient(
        PARAMS, GRADS, init_optimizer(PARAMS), learning_rate=0.1, max_grad_norm=10.0
    )
    np.testing.assert_allclose(norm, 5.0)
    np.testing.assert_allclose(stepped["a"], [0.9, 2.0], rtol=1e-5)
    np.testing.assert_allclose(stepped["b"], 3.1, rtol=1e-5)


def test_one_factor_scales_all_gradients_to_the_largest_norm():
    _, optimizer, norm = apply_gradient(
        PARAMS, GRADS, init_optimizer(PARAMS), learning_rate=0.1, max_grad_norm=1.0
    )
    np.testing.assert_allclose(norm, 5.0)  # what it was before
    np.testing.assert_allclose(optimizer.moments.mu["a"], [0.1 * 0.6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(optimizer.moments.mu["b"], 0.1 * -0.8, rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(bad):
    def step(params, optimizer, slope):
        def loss(p):
            return slope * p["a"].sum() + p["b"], {}

        return descend(loss, params, optimizer, learning_rate=0.1, max_grad_norm=1.0)[:2]

    good, before = step(PARAMS, init_optimizer(PARAMS), 1.0)
    after, once = step(good, before, bad)
    after, twice = step(after, once, bad)
    for old, new in ((good, after), (before.moments.mu, twice.moments.mu)):
        np.testing.assert_array_equal(old["a"], new["a"])
        np.testing.assert_array_equal(old["b"], new["b"])
    assert (once.skipped, once.skipped_in_a_row) == (1, 1)
    assert (twice.skipped, twice.skipped_in_a_row) == (2, 2)
    moved, third = step(after, twice, 1.0)
    assert (third.skipped, third.skipped_in_a_row) == (2, 0)
    assert (moved["a"] < after["a"]).all()
