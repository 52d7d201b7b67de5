"""JaxMARL's worlds: stepped beside their own code, trained in, and named when they will not do."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.core.spaces import Discrete
from shoal.training.on_device import OnDevice

jaxmarl = pytest.importorskip("jaxmarl")

from shoal import make_algorithm  # noqa: E402
from shoal.interop.jaxmarl import JaxMARLWorld, from_jaxmarl  # noqa: E402
from shoal.training.config import fields_of, from_fields  # noqa: E402

WORLDS = {
    "HeuristicEnemySMAX": {"scenario": "3m"},
    "overcooked": {"layout": "cramped_room"},
    "overcooked_v2": {"layout": "cramped_room"},
    "hanabi": {},
    "coin_game": {},
    "switch_riddle": {},
    "jaxnav": {},
    "MPE_simple_tag_v3": {},
}


def random_action(space, mask, key):
    if isinstance(space, Discrete):
        legal = jnp.asarray(space.mask if mask is None else mask)
        return jax.random.categorical(key, jnp.where(legal, 0.0, -1e9))
    shape = (len(space.sizes), space.size)
    return jax.random.uniform(key, shape, minval=space.low, maxval=space.high)


@pytest.mark.parametrize("task", WORLDS)
def test_steps_are_those_of_the_world(task):
    env = from_jaxmarl(task, **WORLDS[task])
    spec, world = env.spec, env.world
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    obs, inner = world.reset(jax.random.key(0))
    step, own = jax.jit(env.step), jax.jit(world.step_env)
    for t in range(1, 31):
        key = jax.random.key(t)
        action = random_action(spec.action, shown.action_mask, key)
        chosen = {a: env._own(i, action[i]) for i, a in enumerate(world.agents)}
        state, shown = step(key, state, action)
        obs, inner, rewards, dones, _ = own(key, inner, chosen)
        for i, agent in enumerate(world.agents):
            flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(obs[agent])])
            assert np.allclose(shown.obs[i, : spec.obs_sizes[i]], flat, atol=1e-5)
            assert shown.reward[i] == pytest.approx(float(rewards[agent]), abs=1e-5)
        assert bool(shown.done) == (bool(dones["__all__"]) or t == spec.horizon)
        if shown.done:
            break


def test_the_time_limit_cuts_and_death_ends():
    env = from_jaxmarl("coin_game")
    state, _ = env.reset(jax.random.key(0))
    step = jax.jit(env.step)
    for t in range(1, env.spec.horizon + 1):
        state, shown = step(jax.random.key(t), state, jnp.zeros(2, jnp.int32))
        assert bool(shown.truncated) == (t == env.spec.horizon)
        assert not shown.terminated.any()


def test_dead_allies_do_nothing_more():
    env = from_jaxmarl("HeuristicEnemySMAX", scenario="3m")
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    step, dead = jax.jit(env.step), np.zeros(3, bool)
    for t in range(100):
        state, shown = step(jax.random.key(t), state, jnp.full(3, 4))  # all stand still
        now = np.asarray(shown.terminated)
        assert (now >= dead).all() and np.array_equal(shown.active, ~now)
        dead = now
        if shown.done:
            break
    assert dead.all() and t < 99


@pytest.mark.parametrize("algorithm", ["mappo", "vdn"])
@pytest.mark.parametrize("task", ["HeuristicEnemySMAX", "overcooked"])
def test_algorithms_train_inside_the_scan(task, algorithm):
    env = from_jaxmarl(task, **WORLDS[task])
    settings = {"minibatches": 2, "epochs": 1} if algorithm == "mappo" else {"batch_size": 8}
    learner = OnDevice(make_algorithm(algorithm, hidden=(8,), **settings), env, 4, 8)
    state = jax.jit(learner.init)(jax.random.key(0))
    state, metrics = jax.jit(learner.update)(state)
    assert all(np.isfinite(v).all() for v in metrics.values())


def test_a_run_keeps_the_world():
    env = from_jaxmarl("HeuristicEnemySMAX", scenario="3m", horizon=20)
    again = JaxMARLWorld(**from_fields(json.loads(json.dumps(fields_of(env)))))
    assert again.spec == env.spec and again.spec.horizon == 20 and again.world is env.world


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("SMACS", {}, "did you mean 'SMAX'"),
        ("overcooked", {"layout": "cramped_rom"}, "did you mean 'cramped_room'"),
        ("HeuristicEnemySMAX", {"scenaro": "3m"}, "scenaro"),
        ("storm", {}, "does not observe agent by agent"),
        ("switch_riddle", {"num_agents": object()}, "must be plain data"),
    ],
)
def test_mistakes_are_named(task, settings, said):
    with pytest.raises(UserError, match=said):
        from_jaxmarl(task, **settings)
