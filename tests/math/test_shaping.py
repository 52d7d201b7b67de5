"""Shaping leaves what is optimal as it was: small processes, solved by value iteration."""

import jax.numpy as jnp
import numpy as np
import pytest

from shoal.math.shaping import shaped_reward

STATES, ACTIONS, GAMMA = 6, 3, 0.9


def process(seed: int):
    """Probabilities [S, A, S], rewards and discounts of each transition; entering 0 is the end."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))
    reward = rng.normal(size=(STATES, ACTIONS, STATES))
    discount = np.full((STATES, ACTIONS, STATES), GAMMA)
    discount[..., 0] = 0.0
    return probability, reward, discount


def optimal_q(probability, reward, discount):
    q = np.zeros((STATES, ACTIONS))
    for _ in range(400):
        q = (probability * (reward + discount * q.max(1))).sum(-1)
    return q


def shaped(reward, discount, potential):
    before = np.broadcast_to(potential[:, None, None], reward.shape)
    after = np.broadcast_to(potential, reward.shape)
    out = shaped_reward(*(jnp.asarray(x, jnp.float32) for x in (reward, discount, before, after)))
    return np.asarray(out, np.float64)


@pytest.mark.parametrize("seed", range(3))
def test_values_are_shifted_by_the_potential_and_the_optimal_policy_stays(seed):
    probability, reward, discount = process(seed)
    potential = 5 * np.random.default_rng(100 + seed).normal(size=STATES)  # of the end's state too
    plain = optimal_q(probability, reward, discount)
    guided = optimal_q(probability, shaped(reward, discount, potential), discount)
    np.testing.assert_allclose(guided, plain - potential[:, None], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(guided.argmax(1), plain.argmax(1))


def test_paying_the_potential_without_taking_it_back_changes_the_policy():
    probability, reward, discount = process(0)
    potential = 5 * np.random.default_rng(100).normal(size=STATES)
    bribed = optimal_q(probability, reward + potential, discount)
    assert (bribed.argmax(1) != optimal_q(probability, reward, discount).argmax(1)).any()
