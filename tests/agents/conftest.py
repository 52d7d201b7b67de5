"""Whole trainings on probe environments, compiled once for all of them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import pytest
from jaxtyping import Array

from shoal.core.algorithm import Algorithm, Policy, Transition
from shoal.core.env import Env
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
        return (self.steps.successor.reward * self.alive).sum(0)

    @property
    def alive(self) -> Array:
        """Which agents' episodes were still on, `[T, B, N]`."""
        return ~(self.steps.timestep.terminated | self.steps.timestep.done[..., None])


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
    """`steps` steps of the policy's most likely actions, with no reset."""
    key_reset, key_steps = jax.random.split(jax.random.key(1))
    state, timestep = jax.vmap(env.reset)(jax.random.split(key_reset, EPISODES))
    carry = batch_carry(policy.initial_carry(), EPISODES)

    def step(loop, key):
        state, timestep, carry = loop
        key_policy, key_step = jax.random.split(key)
        distribution, carry = policy(
            timestep.obs, carry, action_mask=timestep.action_mask, key=key_policy
        )
        action = distribution.mode()
        state, successor = jax.vmap(env.step)(jax.random.split(key_step, EPISODES), state, action)
        return (state, successor, carry), Transition(timestep, action, None, successor)

    loop = (state, timestep, carry)
    return jax.lax.scan(step, loop, jax.random.split(key_steps, steps))[1]
