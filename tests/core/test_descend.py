"""A gradient step by hand: scaled to a norm, skipped where it is not finite, row by row."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from shoal.core.descend import apply_gradient, descend, init_optimizer, skip_counts

PARAMS = {"net": {"a": jnp.array([1.0, 2.0]), "b": jnp.array(3.0)}}
GRADS = {"net": {"a": jnp.array([3.0, 0.0]), "b": jnp.array(-4.0)}}  # of norm 5


def fresh(params=PARAMS, groups=1):
    return {name: init_optimizer(network, groups) for name, network in params.items()}


def test_the_first_step_of_adam_is_the_learning_rate_against_the_gradients_sign():
    stepped, _, norms = apply_gradient(
        PARAMS, GRADS, fresh(), learning_rate=0.1, max_grad_norm=10.0
    )
    np.testing.assert_allclose(norms["grad_norm"], 5.0)
    np.testing.assert_allclose(stepped["net"]["a"], [0.9, 2.0], rtol=1e-5)
    np.testing.assert_allclose(stepped["net"]["b"], 3.1, rtol=1e-5)


def test_one_factor_scales_all_gradients_to_the_largest_norm():
    _, optimizers, norms = apply_gradient(
        PARAMS, GRADS, fresh(), learning_rate=0.1, max_grad_norm=1.0
    )
    np.testing.assert_allclose(norms["grad_norm"], 5.0)  # what it was before
    mu = optimizers["net"].moments.mu
    np.testing.assert_allclose(mu, [[0.1 * 0.6, 0.0, 0.1 * -0.8]], rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(bad):
    def step(params, optimizers, slope):
        def loss(p):
            return slope * p["net"]["a"].sum() + p["net"]["b"], {}

        return descend(loss, params, optimizers, learning_rate=0.1, max_grad_norm=1.0)[:2]

    def counts(optimizers):
        return tuple(map(int, skip_counts(optimizers).values()))  # in all, and in a row

    good, before = step(PARAMS, fresh(), 1.0)
    after, once = step(good, before, bad)
    after, twice = step(after, once, bad)
    for old, new in ((good, after), (before["net"].moments, twice["net"].moments)):
        jax.tree.map(np.testing.assert_array_equal, old, new)
    assert counts(once) == (1, 1) and counts(twice) == (2, 2)
    moved, third = step(after, twice, 1.0)
    assert counts(third) == (2, 0)
    assert (moved["net"]["a"] < after["net"]["a"]).all()


# Two groups in rows, of gradients with norms 5 and 50.

ROWS = {"net": {"a": jnp.array([[1.0], [2.0]]), "b": jnp.array([[3.0], [4.0]])}}
SLOPES = {"net": {"a": jnp.array([[3.0], [30.0]]), "b": jnp.array([[-4.0], [-40.0]])}}


def test_each_group_is_clipped_by_its_own_norm():
    _, optimizers, norms = apply_gradient(
        ROWS, SLOPES, fresh(ROWS, 2), learning_rate=0.1, max_grad_norm=5.0
    )
    mu = optimizers["net"].moments.mu
    np.testing.assert_allclose(mu, [[0.3, -0.4], [0.3, -0.4]], rtol=1e-5)
    np.testing.assert_allclose(norms["grad_norm"], np.sqrt((5**2 + 50**2) / 2), rtol=1e-6)


def test_a_group_without_a_finite_gradient_waits_alone_and_its_moments_with_it():
    """The other one steps as it would have in a network of its own, also afterwards."""
    bad = jax.tree.map(lambda x: x.at[0].set(jnp.nan), SLOPES)
    alone, alone_slopes = (jax.tree.map(lambda x: x[1:], tree) for tree in (ROWS, SLOPES))
    both, one = (ROWS, fresh(ROWS, 2)), (alone, fresh(alone))
    for gradient in (SLOPES, bad, SLOPES):
        before = both
        both = apply_gradient(both[0], gradient, both[1], learning_rate=0.1)[:2]
        one = apply_gradient(one[0], alone_slopes, one[1], learning_rate=0.1)[:2]
        if gradient is bad:
            for old, new in zip(jax.tree.leaves(before[0]), jax.tree.leaves(both[0])):
                np.testing.assert_array_equal(old[0], new[0])
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[1:], y), both[0], one[0])
    np.testing.assert_array_equal(both[1]["net"].skipped, [1, 0])
    np.testing.assert_array_equal(both[1]["net"].skipped_in_a_row, [0, 0])


def test_each_network_is_clipped_by_itself_and_has_a_norm_and_a_rule_of_its_own():
    params = {"actor": jnp.array([1.0]), "critic": jnp.array([1.0])}
    optimizers = {"actor": init_optimizer(params["actor"], 1, optax.identity())}
    optimizers["critic"] = init_optimizer(params["critic"])
    stepped, _, metrics = descend(
        lambda p: (0.5 * p["actor"][0] + 40 * p["critic"][0], {"seen": jnp.float32(7)}),
        params,
        optimizers,
        learning_rate=0.1,
        max_grad_norm=1.0,
        name="joint_",
    )
    np.testing.assert_allclose(stepped["actor"], [1 - 0.1 * 0.5], rtol=1e-6)
    np.testing.assert_allclose(stepped["critic"], [0.9], rtol=1e-4)
    expected = {"joint_loss": 40.5, "joint_actor_grad_norm": 0.5, "joint_critic_grad_norm": 40}
    assert {k: float(v) for k, v in metrics.items()} == expected | {"seen": 7}


def test_networks_without_an_optimizer_stay():
    params = {"net": jnp.array([1.0]), "fixed": jnp.array([2.0])}
    stepped, _, _ = descend(
        lambda p: (p["net"][0] * p["fixed"][0], {}),
        params,
        {"net": init_optimizer(params["net"])},
        learning_rate=0.1,
    )
    np.testing.assert_array_equal(stepped["fixed"], [2.0])
    assert stepped["net"][0] < 1


def test_what_is_frozen_stays_with_its_moments():
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones((1, 2))}
    optimizers = {"a": init_optimizer(params["a"], 2), "b": init_optimizer(params["b"], 1)}
    grads = {"a": jnp.array([[1.0] * 3, [jnp.nan] * 3]), "b": jnp.ones((1, 2))}
    frozen = {"a": jnp.array([False, True])}
    new, moved, _ = apply_gradient(params, grads, optimizers, learning_rate=0.1, frozen=frozen)
    assert (new["a"][0] < 1).all() and (new["a"][1] == 1).all() and (new["b"] < 1).all()
    assert (moved["a"].moments.mu[1] == 0).all() and (moved["a"].moments.mu[0] > 0).all()
    assert moved["a"].skipped.sum() == 0  # not even the NaN of who is frozen counts
