"""Learners that share no parameters share nothing: neither scales, nor norms, nor accidents."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from probes import Probe, ProbeState, collect

from shoal.agents.policy_gradient.ppo import ippo
from shoal.core.spaces import Box
from shoal.registry import make_algorithm
from shoal.training.on_device import OnDevice


class Paid(Probe):
    """Each agent is paid its own price for the action that it sees. What one does changes nothing
    for the other."""

    price: Float[Array, "N"]

    length = 4

    def obs(self, state):
        return self._see(2.0 * state.cue - 1, state.time / 4)

    def reward(self, state, action):
        return self.price * (action == state.cue)


class PaidAim(Paid):
    """The same with numbers in place of choices."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=Box(-1.0, 1.0, (1, 1)))

    def step(self, key, state, action):
        reward = self.price * -((action[:, 0] - state.cue) ** 2)
        state = ProbeState(state.time + 1, state.cue, state.told)
        return state, self._show(state, reward)

    def legal(self, state):
        return None


# Gradients are clipped throughout: a norm of all groups would show.
CLIPPED = dict(hidden=(4,), max_grad_norm=0.01)
OFF_POLICY = dict(learning_starts=16, capacity=96, batch_size=16, update_ratio=0.125, **CLIPPED)
ALGORITHMS = {
    "ippo": dict(epochs=2, minibatches=2, **CLIPPED),
    "trpo": dict(epochs=2, minibatches=2, **CLIPPED),
    "reinforce": CLIPPED,
    "iql": OFF_POLICY,
    "pqn_iql": dict(epochs=2, minibatches=2, **CLIPPED),
    "sac": OFF_POLICY,
    "sac, discrete": OFF_POLICY,
    "sac, crossq": dict(crossq=True, **OFF_POLICY),
    "ddpg": OFF_POLICY,
    "td3": OFF_POLICY,
    "iddpg": OFF_POLICY,
    "openai_es": dict(hidden=(4,), population=4),
    "cma_es": dict(hidden=(4,), population=4),
}


EVOLVED = ["openai_es", "cma_es"]  # what is not a number ranks last, and nothing waits


@pytest.fixture(scope="module")
def trained():
    """`trained(name, prices)`: what each agent's parameters are after three updates, and how many
    of its updates were skipped."""

    @eqx.filter_jit
    def run(learner):
        state = learner.init(jax.random.key(0))
        state, _ = jax.lax.scan(lambda s, _: learner.update(s), state, None, 3)
        return state.algorithm

    def train(name: str, *prices: float):
        kind = name.partition(",")[0]
        algorithm = make_algorithm(kind, sharing="independent", **ALGORITHMS[name])
        world = PaidAim if name in ("sac", "ddpg", "td3") else Paid
        learner = OnDevice(algorithm, world(jnp.array(prices)), 4, 8, total_updates=6.0)
        state = run(learner)
        state = getattr(state, "learned", state)
        leaves = jax.tree.leaves(state.params)
        rows = [np.concatenate([np.ravel(x[i]) for x in leaves]) for i in range(2)]
        skipped = [sum(int(o.skipped[i]) for o in state.optimizers.values()) for i in range(2)]
        return rows, skipped

    return train


def test_advantages_of_two_reward_scales_are_of_one_size():
    algorithm = ippo(hidden=(4,), sharing="independent")
    state, trajectory = collect(algorithm, Paid(jnp.array([1.0, 100.0])), num_envs=32, unroll=8)
    advantage = algorithm.targets(state, trajectory)[0].advantage
    np.testing.assert_allclose(advantage.std((0, 1)), 1.0, atol=0.05)
    np.testing.assert_allclose(advantage.mean((0, 1)), 0.0, atol=0.05)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_one_is_paid_changes_the_other_not_in_a_bit(trained, name):
    (mine, others), skipped = trained(name, 1.0, 1.0)
    (same, moved), _ = trained(name, 1.0, -50.0)
    assert skipped == [0, 0]
    np.testing.assert_array_equal(mine, same)
    assert np.abs(others - moved).max() > 1e-5


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in EVOLVED])
def test_one_whose_rewards_are_no_numbers_waits_alone(trained, name):
    """Its networks that learn from rewards stay as they were at first."""
    (mine, others), _ = trained(name, 1.0, 1.0)
    (same, broken), skipped = trained(name, 1.0, np.nan)
    np.testing.assert_array_equal(mine, same)
    assert skipped[0] == 0 < skipped[1]
    assert np.isfinite(broken).all() and np.abs(others - broken).max() > 1e-5
