"""Jumanji's worlds: stepped beside their own code, trained in, and named when they will not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal import make_algorithm
from shoal.core.errors import UserError
from shoal.training.on_device import OnDevice

jumanji = pytest.importorskip("jumanji")

from shoal.interop.jumanji import from_jumanji  # noqa: E402

WORLDS = ["LevelBasedForaging-v0", "RobotWarehouse-v0", "Cleaner-v0", "Connector-v3", "Maze-v0"]


@pytest.mark.parametrize("task", WORLDS)
def test_steps_are_those_of_the_world(task):
    env = from_jumanji(task)
    spec, world = env.spec, env.world
    state, shown = jax.jit(env.reset)(jax.random.key(0))
    inner, theirs = world.reset(jax.random.key(0))
    step, own = jax.jit(env.step), jax.jit(world.step)
    for t in range(1, 31):
        key = jax.random.key(t)
        action = jax.random.categorical(key, jnp.where(shown.action_mask, 0.0, -1e9))
        state, shown = step(key, state, action)
        inner, theirs = own(inner, action if world.action_spec.shape else action[0])
        assert np.allclose(shown.reward, np.broadcast_to(theirs.reward, spec.num_agents))
        mask = np.reshape(theirs.observation.action_mask, (spec.num_agents, -1))
        assert np.array_equal(shown.action_mask, mask)
        if "agents_view" in theirs.observation._fields:
            view = np.reshape(theirs.observation.agents_view, (spec.num_agents, -1))
            assert np.array_equal(shown.obs[:, : view.shape[1]], view)
        assert bool(shown.done) == bool(theirs.last())
        if shown.done:
            assert bool(shown.truncated) == (t == spec.horizon)
            break


@pytest.mark.parametrize("task", ["LevelBasedForaging-v0", "RobotWarehouse-v0"])
@pytest.mark.parametrize("algorithm", ["mappo", "vdn"])
def test_algorithms_train_inside_the_scan(task, algorithm):
    env = from_jumanji(task)
    settings = {"minibatches": 2, "epochs": 1} if algorithm == "mappo" else {"batch_size": 8}
    learner = OnDevice(make_algorithm(algorithm, hidden=(8,), **settings), env, 4, 8)
    state = jax.jit(learner.init)(jax.random.key(0))
    _, metrics = jax.jit(learner.update)(state)
    assert all(np.isfinite(v).all() for v in metrics.values())


def test_the_time_limit_cuts():
    env = from_jumanji("RobotWarehouse-v0", horizon=5)
    state, _ = env.reset(jax.random.key(0))
    step = jax.jit(env.step)
    for t in range(1, 6):
        state, shown = step(jax.random.key(t), state, jnp.zeros(env.spec.num_agents, jnp.int32))
        assert bool(shown.truncated) == (t == 5) and not shown.terminated.any()


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("RobotWarehous-v0", {}, "did you mean 'RobotWarehouse-v0'"),
        ("RobotWarehouse-v0", {"agents": 3}, "agents"),
        ("RobotWarehouse-v0", {"generator": object()}, "must be plain data"),
    ],
)
def test_mistakes_are_named(task, settings, said):
    with pytest.raises(UserError, match=said):
        from_jumanji(task, **settings)
