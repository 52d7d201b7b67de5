"""Action values and the epsilon-greedy policy over them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.cooperative.q_policy import EpsilonGreedy, QNetwork, QPolicy
from shoal.core.spaces import Discrete
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.sharing import Groups

T, B, N, D, A = 4, 3, 2, 2, 3


def network(recurrent: int = 0, agent_id: bool = False) -> QNetwork:
    size_in = D + N * agent_id
    key = jax.random.key(0)
    inner = AgentNetwork(size_in, A, Groups((0, 0)), hidden=(4,), recurrent=recurrent, key=key)
    return QNetwork(inner, agent_id)


def draw(*shape: int, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# The distribution.


def greedy(epsilon: float, count: int = 20_000) -> EpsilonGreedy:
    """Action 1 is best but illegal, then 3, then 0; action 2 is illegal too."""
    q = jnp.broadcast_to(jnp.array([2.0, 9.0, 1.0, 5.0]), (count, 1, 4))
    legal = jnp.broadcast_to(jnp.array([True, False, False, True]), (count, 1, 4))
    return EpsilonGreedy(q, legal, epsilon)


def test_the_mode_is_the_best_legal_action_whatever_epsilon():
    for epsilon in (0.0, 0.5, 1.0):
        assert (greedy(epsilon, 5).mode() == 3).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_samples_come_as_often_as_the_probabilities_say(epsilon):
    distribution = greedy(epsilon)
    actions = np.asarray(distribution.sample(jax.random.key(0)))
    shares = np.bincount(actions.ravel(), minlength=4) / actions.size
    expected = [epsilon / 2, 0, 0, 1 - epsilon / 2]
    assert shares[1] == shares[2] == 0
    np.testing.assert_allclose(shares, expected, atol=0.015)
    np.testing.assert_allclose(distribution.probs[0, 0], expected, atol=1e-6)


def test_agents_explore_on_their_own():
    q = jnp.broadcast_to(jnp.array([1.0, 0.0]), (20_000, 2, 2))
    a = np.asarray(EpsilonGreedy(q, jnp.ones_like(q, bool), 0.5).sample(jax.random.key(2)))
    np.testing.assert_allclose((a[:, 0] & a[:, 1]).mean(), 0.25**2, atol=0.01)


def test_log_prob_and_entropy_are_those_of_the_mixture():
    distribution = greedy(0.4, 1)
    np.testing.assert_allclose(distribution.log_prob(jnp.array([[0]])), np.log(0.2), rtol=1e-5)
    np.testing.assert_allclose(distribution.log_prob(jnp.array([[3]])), np.log(0.8), rtol=1e-5)
    entropy = -0.2 * np.log(0.2) - 0.8 * np.log(0.8)
    np.testing.assert_allclose(distribution.entropy(), entropy, rtol=1e-5)


# The policy.


def test_padded_actions_are_never_taken():
    """Agent 1 has one action; its environment gives no mask."""
    policy = QPolicy(network(), Discrete((A, 1)), 1.0)
    distribution, carry = policy(draw(500, N, D), None, action_mask=None)
    actions = np.asarray(distribution.sample(jax.random.key(0)))
    assert carry is None
    assert set(actions[:, 0].tolist()) == {0, 1, 2}
    assert (actions[:, 1] == 0).all() and (distribution.mode()[:, 1] == 0).all()


def test_a_policy_acts_for_one_environment_as_for_many():
    policy = QPolicy(network(recurrent=5), Discrete((A, A)), 0.0)
    obs, mask = draw(B, N, D), jnp.ones((B, N, A), bool)
    carry = draw(B, N, 5, seed=1)
    many, many_carry = policy(obs, carry, action_mask=mask)
    one, one_carry = policy(obs[1], carry[1], action_mask=mask[1])
    np.testing.assert_allclose(one.q, many.q[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one_carry, many_carry[1], rtol=1e-5, atol=1e-6)


def test_agents_that_share_a_network_differ_only_by_their_number():
    obs = jnp.broadcast_to(draw(1, D), (1, N, D))
    same, _ = network(agent_id=False).step(obs, None)
    different, _ = network(agent_id=True).step(obs, None)
    np.testing.assert_allclose(same[0, 0], same[0, 1], rtol=1e-6)
    assert np.abs(different[0, 0] - different[0, 1]).max() > 0.01


# Recurrence. Episodes start where `STARTS`; the first one goes on from before.

STARTS = np.zeros((T, B), bool)
STARTS[2, 0] = STARTS[1, 2] = STARTS[0, 1] = True


@pytest.fixture(scope="module")
def by_hand():
    """Values of T steps and of their successors, one step at a time."""
    net = network(recurrent=5)
    step = eqx.filter_jit(net.step)
    obs, next_obs, carry = draw(T, B, N, D), draw(T, B, N, D, seed=1), draw(B, N, 5, seed=2)
    q, q_next, h = [], [], carry
    for t in range(T):
        h = jnp.where(STARTS[t][:, None, None], 0.0, h)
        now, h = step(obs[t], h)
        q.append(now)
        q_next.append(step(next_obs[t], h)[0])
    return net, obs, next_obs, carry, np.stack(q), np.stack(q_next)


def test_an_unroll_is_the_same_as_step_by_step(by_hand):
    net, obs, _, carry, q, _ = by_hand
    np.testing.assert_allclose(net.unroll(obs, carry, jnp.asarray(STARTS)), q, atol=1e-5)


def test_successors_are_read_with_the_memory_of_their_own_step(by_hand):
    net, obs, next_obs, carry, _, q_next = by_hand
    ours = net.after(obs, next_obs, carry, jnp.asarray(STARTS))
    np.testing.assert_allclose(ours, q_next, atol=1e-5)


def test_where_nothing_was_reset_a_successor_is_the_next_step(by_hand):
    net, obs, _, carry, _, _ = by_hand
    starts = jnp.zeros((T, B), bool)
    q = net.unroll(obs, carry, starts)
    q_next = net.after(obs[:-1], obs[1:], carry, starts[:-1])
    np.testing.assert_allclose(q_next, q[1:], atol=1e-5)
