"""Surrogates against rlax, against each other where they must agree, and around the clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from shoal.math.policy_loss import (
    adapt_penalty,
    policy_gradient,
    ppo_clip,
    ppo_dual_clip,
    ppo_penalty,
)


@pytest.fixture(scope="module")
def sample():
    """Log-probabilities now and then, and advantages, of 64 actions."""
    rng = np.random.default_rng(0)
    old, change, advantage = rng.normal(size=(3, 64)).astype(np.float32)
    return jnp.asarray(old + 0.3 * change), jnp.asarray(old), jnp.asarray(advantage)


def test_ppo_matches_rlax(sample):
    now, old, advantage = sample

    def theirs(log_prob):
        return -rlax.clipped_surrogate_pg_loss(jnp.exp(log_prob - old), advantage, 0.2)

    def ours(log_prob):
        return ppo_clip(log_prob, old, advantage, 0.2).mean()

    np.testing.assert_allclose(ours(now), theirs(now), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(ours)(now), jax.grad(theirs)(now), rtol=1e-5, atol=1e-7)


def test_gradients_of_ppo_and_policy_gradient_are_equal_at_ratio_1(sample):
    now, _, advantage = sample
    grads = [
        jax.grad(lambda x, f=f: f(x, now, advantage, 0.2).sum())(now)
        for f in (ppo_clip, policy_gradient)
    ]
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-6)
    np.testing.assert_allclose(grads[1], advantage, rtol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [(1.3, 1.0, 0.0), (0.7, 1.0, 0.7), (1.3, -1.0, -1.3), (0.7, -1.0, 0.0)],
)
def test_ppo_rewards_no_step_beyond_the_clip_but_undoes_any(ratio, advantage, slope):
    gain = lambda x: ppo_clip(x, jnp.float32(0.0), jnp.float32(advantage), 0.2)  # noqa: E731
    np.testing.assert_allclose(jax.grad(gain)(jnp.log(jnp.float32(ratio))), slope, rtol=1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (2.9, -2.0, -5.8, -5.8),  # bad and likelier, but within the bound: as ppo_clip
        (3.1, -2.0, -6.0, 0.0),  # beyond it: 3 * -2, and no pull
        (0.5, -2.0, -1.6, 0.0),  # rarer: 0.8 * -2, as ppo_clip
        (3.1, 2.0, 2.4, 0.0),  # good: 1.2 * 2, as ppo_clip
        (0.5, 2.0, 1.0, 1.0),
    ],
)
def test_dual_clip_bounds_the_pull_of_bad_actions(ratio, advantage, gain, slope):
    x = jnp.log(jnp.float32(ratio))
    value, gradient = jax.value_and_grad(
        lambda x: ppo_dual_clip(x, jnp.float32(0.0), jnp.float32(advantage), 0.2, 3.0)
    )(x)
    np.testing.assert_allclose([value, gradient], [gain, slope], rtol=1e-5, atol=1e-6)


def test_dual_clip_without_a_bound_is_the_clip(sample):
    ours = ppo_dual_clip(*sample, 0.2, jnp.inf)
    np.testing.assert_array_equal(ours, ppo_clip(*sample, 0.2))


def test_penalty_pulls_back_to_the_old_policy_by_beta_times_the_divergence():
    """Two actions of probabilities 0.8 and 0.2, once 0.5 each; the first was taken."""
    old, new = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.8, 0.2]))
    kl = (jnp.exp(old) * (old - new)).sum()
    by_hand = 0.5 * np.log(0.5 / 0.8) + 0.5 * np.log(0.5 / 0.2)
    gain = ppo_penalty(new[0], old[0], jnp.float32(2.0), kl, 3.0)
    np.testing.assert_allclose(gain, 1.6 * 2.0 - 3.0 * by_hand, rtol=1e-5)


def test_the_best_of_the_penalised_policies_is_known():
    """Two actions of advantages 1 and -1, once 0.5 each, under beta = 2."""
    advantage, beta = jnp.array([1.0, -1.0]), 2.0

    def objective(logit):
        log_prob = jax.nn.log_softmax(jnp.array([logit, 0.0]))
        old = jnp.log(jnp.array([0.5, 0.5]))
        kl = (0.5 * (old - log_prob)).sum()
        return (0.5 * ppo_penalty(log_prob, old, advantage, jnp.full(2, kl), beta)).sum()

    # Gain 2p - 1 - beta KL; its slope in the logit is 2p(1 - p) - beta (p - 1/2), and 0 where
    # p^2 = 1/2 for beta = 2.
    p = np.sqrt(0.5)
    np.testing.assert_allclose(jax.grad(objective)(float(np.log(p / (1 - p)))), 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("kl", "beta"), [(0.016, 6.0), (0.0149, 3.0), (0.01, 3.0), (0.0067, 3.0), (0.0066, 1.5)]
)
def test_penalty_doubles_beyond_its_target_and_halves_below(kl, beta):
    np.testing.assert_allclose(adapt_penalty(3.0, kl, 0.01), beta)
