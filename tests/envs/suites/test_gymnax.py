"""Gymnax's worlds: stepped beside their own code, trained in, and named when they will not do."""

import dataclasses
from importlib.util import find_spec

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

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


def pole(draw, x, dx, angle, turn):
    return int(angle + 0.5 * turn + 0.05 * x + 0.1 * dx > 0)


def swing(draw, angle_1, angle_2, speed_1, speed_2):
    return int(np.sign(speed_2)) + 1


def push(draw, position, speed):
    return 2 if speed >= 0 else 0


def torque(draw, angle, speed):
    return float(draw.uniform(-3, 3))  # beyond the bounds of 2: both clip


def chance(actions):
    return lambda draw, *state: int(draw.integers(actions))


IN_LOCK = {  # who acts: once with an aim, once at random; and how episodes then end
    "CartPole-v1": ((pole, "cut"), (chance(2), "ended")),
    "Acrobot-v1": ((swing, "ended"), (chance(3), "cut")),
    "Pendulum-v1": ((torque, "cut"),),
    "MountainCar-v0": ((push, "ended"), (chance(3), "cut")),
}


def in_state_of(other, state, time):
    """Our state with the numbers of Gymnasium's, which come in the order of Gymnax's fields."""
    names = [f.name for f in dataclasses.fields(state.inner) if f.name not in ("time", "last_u")]
    inner = dict(zip(names, jnp.asarray(other.unwrapped.state, jnp.float32), strict=True))
    inner = dataclasses.replace(state.inner, **inner, time=jnp.int32(time))
    return eqx.tree_at(lambda s: (s.inner, s.time), state, (inner, jnp.int32(time)))


@pytest.mark.parametrize(
    ("task", "act", "end"), [(k, *case) for k, cases in IN_LOCK.items() for case in cases]
)
def test_classic_control_is_gymnasium_s_own(task, act, end):
    """Five episodes, transition by transition: poles and double pendulums are chaotic, so that
    single and double precision part. Each of ours therefore starts from Gymnasium's state."""
    gymnasium = pytest.importorskip("gymnasium")
    env, other, draw = make(task), gymnasium.make(task), np.random.default_rng(0)
    step, ends, steps = jax.jit(env.step), set(), 0
    state, _ = env.reset(jax.random.key(0))
    for seed in range(5):
        other.reset(seed=seed)
        time, done = 0, False
        while not done:
            state = in_state_of(other, state, time)
            action = np.asarray(act(draw, *other.unwrapped.state), env.spec.action.dtype)
            ours = jnp.reshape(action, (1, *env.spec.action.shape))
            obs, reward, terminated, truncated, _ = other.step(
                action.reshape(other.action_space.shape)
            )
            state, shown = step(jax.random.key(0), state, ours)
            time, done = time + 1, terminated or truncated
            np.testing.assert_allclose(shown.obs[0], obs, rtol=1e-5, atol=2e-5)
            assert float(shown.reward[0]) == pytest.approx(float(reward), rel=1e-5, abs=1e-5)
            assert bool(shown.terminated[0]) == terminated
            assert bool(shown.truncated[0]) == (truncated and not terminated)
        ends.add("ended" if terminated else "cut")
        steps += time
    assert env.spec.horizon == other.spec.max_episode_steps
    assert ends == {end} and steps > 80


@pytest.mark.parametrize("task", IN_LOCK)
def test_episodes_of_classic_control_begin_as_gymnasium_s_do(task):
    """Kolmogorov and Smirnov's test of each number that is seen first, in 1,000 episodes."""
    gymnasium = pytest.importorskip("gymnasium")
    env, other = make(task), gymnasium.make(task)
    ours = jax.vmap(lambda key: env.reset(key)[1].obs[0])(jax.random.split(jax.random.key(0), 1000))
    theirs = np.array([other.reset(seed=seed)[0] for seed in range(1000)])
    for a, b in zip(np.asarray(ours).T, theirs.T):
        assert stats.ks_2samp(a, b).pvalue > 1e-3


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
