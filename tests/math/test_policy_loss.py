"""Surrogates against rlax, against each other where they must agree, and around the clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from shoal.math.policy_loss import policy_gradient, ppo_clip


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
