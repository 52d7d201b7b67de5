"""Gymnax's worlds: stepped beside their own code, trained in, and named when they will not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal import make_algorithm
from shoal.core.errors import UserError
from shoal.training.on_device import OnDevice

gymnax = pytest.importorskip("gymnax")

from shoal.interop.gymnax import from_gymnax  # noqa: E402


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar"])
def test_steps_are_those_of_the_world(task):
    env = from_gymnax(task)
    world, parameters = gymnax.make(task)
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    obs, inner = world.reset_env(jax.random.key(0), parameters)
    step = jax.jit(env.step)
    for t in range(1, 40):
        key = jax.random.key(t)
        own = world.action_space(parameters).sample(key)
        state, shown = step(key, state, jnp.reshape(own, (1, *env.spec.action.shape)))
        obs, inner, reward, done, _ = world.step_env(key, inner, own, parameters)
        assert np.allclose(shown.obs[0], np.ravel(obs), atol=1e-5)
        assert shown.reward[0] == pytest.approx(float(reward), abs=1e-5)
        assert bool(shown.terminated[0]) == bool(done) and not shown.truncated
        if done:
            break


def test_the_time_limit_cuts():
    env = from_gymnax("Pendulum-v1")
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(env.step)
    for t in range(1, env.spec.horizon + 1):
        state, shown = step(jax.random.key(t), state, jnp.zeros((1, 1)))
        assert bool(shown.truncated) == (t == env.spec.horizon) and not shown.terminated.any()


def test_ppo_balances_the_pole():
    env = from_gymnax("CartPole-v1")
    algorithm = make_algorithm("ippo", learning_rate=3e-3, hidden=(32,), entropy_weight=0.01)
    learner = OnDevice(algorithm, env, num_envs=32, unroll=32, total_updates=60.0)
    state, update = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.update)
    lengths = []
    for _ in range(60):
        state, metrics = update(state)
        lengths.append(float(metrics["return_sum"] / np.maximum(1, metrics["episodes"])))
    assert np.mean(lengths[:5]) < 40 and np.max(lengths[-10:]) > 150


def test_mistakes_are_named():
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        from_gymnax("CartPol-v1")
