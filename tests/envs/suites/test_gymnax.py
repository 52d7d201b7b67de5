"""Gymnax's worlds: stepped beside their own code, trained in, and named when they will not do."""

from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.core.errors import UserError
from shoal.training.on_device import OnDevice

pytestmark = pytest.mark.skipif(find_spec("gymnax") is None, reason="gymnax is not installed")


def make(task, **settings):
    return shoal.make(f"gymnax:{task}", **settings)


@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar", "Reacher-misc"])
def test_steps_are_those_of_the_world(task):
    env = make(task)
    import gymnax

    world, parameters = gymnax.make(task)
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    obs, inner = world.reset_env(jax.random.key(0), parameters)
    step, own_step = jax.jit(env.step), jax.jit(world.step_env)
    for t in range(1, 40):
        key = jax.random.key(t)
        own = world.action_space(parameters).sample(key)
        state, shown = step(key, state, jnp.reshape(own, (1, *env.spec.action.shape)))
        obs, inner, reward, ended, _ = own_step(key, inner, own, parameters)
        assert np.allclose(shown.obs[0], np.ravel(obs), atol=1e-5)
        assert shown.reward[0] == pytest.approx(float(reward), abs=1e-5)
        assert bool(shown.terminated[0]) == bool(ended) and not shown.truncated.any()
        if ended:
            break
    assert t > 1


def test_the_world_s_own_clock_cuts():
    env = make("Pendulum-v1", max_steps_in_episode=7)
    world, parameters = env.world
    assert env.spec.horizon == 7
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(env.step)
    for t in range(1, 8):
        state, shown = step(jax.random.key(t), state, jnp.zeros((1, 1)))
        late = bool(world.is_truncated(state.inner, parameters))
        assert bool(shown.truncated[0]) == late == (t == 7) and not shown.terminated.any()


def test_a_pole_that_falls_with_the_last_step_has_fallen():
    length = None
    for limit in (500, None):
        env = make("CartPole-v1", max_steps_in_episode=limit or length)
        state, shown = env.reset(jax.random.key(0))
        step = jax.jit(env.step)
        t = 0
        while not shown.done:
            t += 1
            state, shown = step(jax.random.key(0), state, jnp.zeros(1, jnp.int32))
        assert shown.terminated[0] and not shown.truncated.any()
        assert length in (None, t)
        length = t
    env = make("CartPole-v1", horizon=length - 1)
    state, shown = env.reset(jax.random.key(0))
    for _ in range(length - 1):
        state, shown = env.step(jax.random.key(0), state, jnp.zeros(1, jnp.int32))
    assert shown.truncated.all() and not shown.terminated.any()


def test_settings_reach_the_constructor_and_the_parameters():
    assert make("DeepSea-bsuite", size=5).spec.obs_sizes == (25,)
    env = make("Pendulum-v1", g=1.0, max_torque=3.0)
    assert env.world[1].g == 1.0 and env.spec.action.high == 3.0


def test_ppo_balances_the_pole():
    env = make("CartPole-v1")
    algorithm = shoal.make_algorithm("ippo", learning_rate=3e-3, hidden=(32,), entropy_weight=0.01)
    learner = OnDevice(algorithm, env, num_envs=32, unroll=32, total_updates=60.0)
    state, update = jax.jit(learner.init)(jax.random.key(0)), jax.jit(learner.update)
    lengths = []
    for _ in range(60):
        state, metrics = update(state)
        lengths.append(float(metrics["return_sum"] / np.maximum(1, metrics["episodes"])))
    assert np.mean(lengths[:5]) < 40 and np.max(lengths[-10:]) > 150


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("CartPol-v1", {}, "did you mean 'CartPole-v1'"),
        ("CartPole-v1", {"max_steps": 20}, "did you mean 'max_steps_in_episode'"),
        ("CartPole-v1", {"horizon": 501}, "ends its episodes after 500 steps"),
        ("CartPole-v1", {"settings": "[]"}, "expected a JSON object"),
    ],
)
def test_mistakes_are_named(task, settings, said):
    with pytest.raises(UserError, match=said):
        make(task, **settings)
