"""Whole trainings on probe environments, compiled once for all of them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array

from shoal.core.algorithm import Algorithm, Policy, Trajectory, Transition, where_done
from shoal.core.env import Env
from shoal.training.on_device import OnDevice, auto_reset, batch_carry

EPISODES = 128


class Trained(NamedTuple):
    """What training left, what it paid at each update, and what the policy's best actions led to."""

    state: Any
    metrics: dict[str, Array]
    steps: Transition  # [T, B, ...], T of 6 steps, B of EPISODES

    @property
    def returns(self) -> Array:
        """Undiscounted return of the first episode of each environment, `[B, N]`."""
        done = self.steps.successor.done
        first = jnp.cumsum(done, 0) - done == 0
        alive = ~self.steps.timestep.terminated
        return (self.steps.successor.reward * first[..., None] * alive).sum(0)


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


def follow(policy: Policy, env: Env, steps: int = 6) -> Transition:
    """`steps` steps of the policy's most likely actions."""
    key_reset, key_steps = jax.random.split(jax.random.key(1))
    state, timestep = jax.vmap(env.reset)(jax.random.split(key_reset, EPISODES))
    fresh = batch_carry(policy.initial_carry(), EPISODES)

    def step(loop, key):
        state, timestep, carry = loop
        key_policy, key_step, key_reset = jax.random.split(key, 3)
        distribution, carry = policy(
            timestep.obs, carry, action_mask=timestep.action_mask, key=key_policy
        )
        action = distribution.mode()
        state, successor = jax.vmap(env.step)(jax.random.split(key_step, EPISODES), state, action)
        state, following = auto_reset(env, key_reset, state, successor)
        carry = where_done(successor.done, fresh, carry)
        return (state, following, carry), Transition(timestep, action, None, successor)

    loop = (state, timestep, fresh)
    return jax.lax.scan(step, loop, jax.random.split(key_steps, steps))[1]
