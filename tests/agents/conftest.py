"""Whole trainings on probe environments, compiled once for all of them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import pytest
from jaxtyping import Array

from shoal.core.algorithm import Algorithm, Policy, Transition
from shoal.core.env import Env, settle, to_act_on
from shoal.training.on_device import OnDevice, batch_carry

EPISODES = 128


class Trained(NamedTuple):
    """What training left, what each update reported, and where the best actions then led."""

    state: Any
    metrics: dict[str, Array]
    steps: Transition  # [T, B, ...], T of 5 steps, B of EPISODES

    @property
    def returns(self) -> Array:
        """Undiscounted returns, each agent's until its own end, `[B, N]`."""
        return self.steps.successor.reward.sum(0)


@pytest.fixture(scope="module")
def train_probe():
    """`train_probe(algorithm, env, updates, ...)`; equal arguments share one compiled program."""

    @eqx.filter_jit
    def run(algorithm: Algorithm, env: Env, updates: int, num_envs: int, unroll: int) -> Trained:
        learner = OnDevice(algorithm, env, num_envs, unroll, total_updates=float(updates))
        state = learner.init(jax.random.key(0))
        state, metrics = jax.lax.scan(lambda s, _: learner.update(s), state, None, updates)
        steps = follow(algorithm.policy(state.algorithm), env)
        return Trained(state.algorithm, metrics, steps)

    def train(algorithm, env, updates=150, num_envs=32, unroll=10) -> Trained:
        return run(algorithm, env, updates, num_envs, unroll)

    return train


def follow(policy: Policy, env: Env, steps: int = 5) -> Transition:
    """`steps` steps of the policy's most likely actions, with no reset: who has ended, as all have
    after an episode's end, is paid nothing."""
    key_reset, key_steps = jax.random.split(jax.random.key(1))
    state, timestep = jax.vmap(env.reset)(jax.random.split(key_reset, EPISODES))
    carry = batch_carry(policy.initial_carry(), EPISODES)

    def step(loop, key):
        state, timestep, carry = loop
        key_policy, key_step = jax.random.split(key)
        distribution, carry = policy(timestep, carry, key_policy)
        action = distribution.mode()
        state, after = jax.vmap(env.step)(jax.random.split(key_step, EPISODES), state, action)
        successor = settle(timestep, after)
        return (state, to_act_on(successor), carry), Transition(timestep, action, None, successor)

    loop = (state, to_act_on(timestep), carry)
    return jax.lax.scan(step, loop, jax.random.split(key_steps, steps))[1]
