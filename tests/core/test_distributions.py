"""Densities and entropies against SciPy; what does not exist is neither drawn nor counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from shoal.core.distributions import Categorical, DiagonalNormal

LOGITS = np.array([[2.0, -1.0, 0.5, 30.0], [0.0, 0.0, 1.0, -2.0]], np.float32)  # [N, A]
MASK = np.array([[True, True, True, False], [True, False, True, True]])


def probabilities(logits, mask):
    return scipy.special.softmax(np.where(mask, logits, -np.inf), -1)


@pytest.fixture(scope="module")
def draws():
    """20,000 draws of a masked distribution, `[20000, N]`."""
    distribution = Categorical(jnp.asarray(LOGITS), jnp.asarray(MASK))
    return np.asarray(jax.vmap(distribution.sample)(jax.random.split(jax.random.key(0), 20_000)))


def test_categorical_matches_scipy():
    for mask in (None, MASK):
        exact = probabilities(LOGITS, True if mask is None else mask)
        ours = Categorical(jnp.asarray(LOGITS), None if mask is None else jnp.asarray(mask))
        for action in ([0, 2], [1, 3], [2, 0]):
            expected = np.log([exact[0, action[0]], exact[1, action[1]]])
            np.testing.assert_allclose(ours.log_prob(jnp.array(action)), expected, rtol=1e-5)
        entropy = [scipy.stats.entropy(p) for p in exact]
        np.testing.assert_allclose(ours.entropy(), entropy, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(ours.mode(), exact.argmax(-1))


def test_illegal_actions_are_never_drawn_and_others_as_often_as_they_should(draws):
    exact = probabilities(LOGITS.astype(float), MASK)
    for agent in range(2):
        counts = np.bincount(draws[:, agent], minlength=4)
        assert counts[~MASK[agent]].sum() == 0
        legal = MASK[agent]
        test = scipy.stats.chisquare(counts[legal], 20_000 * exact[agent][legal])
        assert test.pvalue > 1e-3


def test_a_lone_legal_action_is_certain():
    mask = jnp.eye(4, dtype=bool)[None]  # [1, N = 4, A = 4]
    alone = Categorical(jax.random.normal(jax.random.key(0), (1, 4, 4)), mask)
    action = jnp.arange(4)[None]
    np.testing.assert_array_equal(alone.sample(jax.random.key(1)), action)
    np.testing.assert_allclose(alone.log_prob(action), 0.0, atol=1e-6)
    np.testing.assert_allclose(alone.entropy(), 0.0, atol=1e-6)


def test_gradients_are_finite_where_actions_are_illegal():
    def loss(logits):
        masked = Categorical(logits, jnp.asarray(MASK))
        return masked.log_prob(jnp.array([0, 2])).sum() + masked.entropy().sum()

    grads = jax.grad(loss)(jnp.asarray(LOGITS))
    assert np.isfinite(grads).all()
    np.testing.assert_array_equal(np.asarray(grads)[~MASK], 0.0)


def test_normal_matches_scipy_over_the_dimensions_that_exist():
    mean = np.array([[0.3, -1.0, 2.0], [1.0, 0.0, 50.0]], np.float32)
    log_std = np.array([[0.1, -0.7, 0.4], [-0.2, 0.3, 5.0]], np.float32)
    mask = np.array([[True, True, True], [True, True, False]])
    ours = DiagonalNormal(jnp.asarray(mean), jnp.asarray(log_std), jnp.asarray(mask))
    action = mean + np.array([[0.5, -0.2, 1.0], [0.1, 0.9, -30.0]], np.float32)
    exact = scipy.stats.norm(mean, np.exp(log_std))
    log_prob = np.where(mask, exact.logpdf(action), 0).sum(-1)
    entropy = np.where(mask, exact.entropy(), 0).sum(-1)
    np.testing.assert_allclose(ours.log_prob(jnp.asarray(action)), log_prob, rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), entropy, rtol=1e-5)
    np.testing.assert_array_equal(ours.mode(), mean)


def test_normal_draws_have_the_mean_and_width_asked_for():
    ours = DiagonalNormal(
        jnp.full((1, 2), 3.0), jnp.log(jnp.array([[0.5, 2.0]])), jnp.ones((1, 2), bool)
    )
    x = jax.vmap(ours.sample)(jax.random.split(jax.random.key(0), 20_000))[:, 0]
    np.testing.assert_allclose(x.mean(0), 3.0, atol=4 * 2.0 / np.sqrt(20_000))
    np.testing.assert_allclose(x.std(0), [0.5, 2.0], rtol=0.03)
