"""What the guides write: the environment's rules by hand, and that the algorithms learn in it."""

import dataclasses
import importlib.util
import inspect
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import collect

import shoal
from shoal.agents.policy_gradient.ppo import PPO
from shoal.core import picture
from shoal.core.env import EnvSpec, TimeStep
from shoal.envs.check import check_environment
from shoal.training.on_device import OnDevice

_GUIDES = Path(__file__).parents[1] / "docs" / "guides"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, _GUIDES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


guide = _load("rendezvous")
AWR = _load("awr").AWR


@pytest.fixture(scope="module")
def env():
    return guide.Rendezvous()


def _step(env, cell, time, action):
    state = guide.Ring(jnp.array(cell), jnp.int32(time))
    return env.step(jax.random.key(0), state, jnp.array(action))


def test_agents_walk_around_the_ring(env):
    state, timestep = _step(env, [0, 4], 0, [0, 2])
    assert state.cell.tolist() == [8, 5]
    assert timestep.reward.tolist() == pytest.approx([-0.1, -0.1])
    assert not timestep.done


def test_meeting_is_a_true_end(env):
    _, timestep = _step(env, [3, 4], 0, [2, 1])
    assert timestep.reward.tolist() == pytest.approx([0.9, 0.9])
    assert timestep.terminated.all() and not timestep.truncated.any()
    assert timestep.metrics["met"] == 1


def test_swapping_cells_is_no_meeting_and_the_horizon_is_no_true_end(env):
    state, timestep = _step(env, [3, 4], 19, [2, 0])
    assert state.cell.tolist() == [4, 3]
    assert timestep.truncated.all() and not timestep.terminated.any()


def test_each_agent_sees_how_far_ahead_the_other_is(env):
    _, timestep = _step(env, [0, 3], 0, [1, 1])
    ahead = jnp.arctan2(timestep.obs[:, 2:], timestep.obs[:, :2]) * 9 / (2 * jnp.pi)
    assert jnp.allclose(ahead, jnp.array([[0.0, 3.0], [-3.0, 0.0]]), atol=1e-4)


def test_the_guides_tables_name_every_field_in_order():
    page = (_GUIDES / "environments.md").read_text()
    spec, step, drawn = (part.partition("\n## ")[0] for part in page.split("\n## What ")[1:4])
    names = [
        [row.split("`")[1] for row in part.splitlines() if row[:3] == "| `"]
        for part in (spec, step)
    ]
    assert names[0] == [field.name for field in dataclasses.fields(EnvSpec)]
    assert names[1] == [*inspect.signature(TimeStep.of).parameters]
    for shape in picture.Shape.__args__:
        fields, usual = shape._fields, shape._field_defaults
        said = ", ".join(f"{f}={usual[f]!r}" if f in usual else f for f in fields)
        assert f"`{shape.__name__}({said})`" in drawn


def test_the_guides_robot_is_cut_and_drawn():
    pytest.importorskip("gymnasium")
    robot = _load("robot").Reach(length=2, render_mode="rgb_array")
    robot.reset(seed=0)
    robot.goal, robot.place = 1.0, 0.0
    assert [robot.step(2)[1:4] for _ in range(2)] == [
        (pytest.approx(-0.9), False, False),
        (pytest.approx(-0.8), False, True),
    ]
    image = robot.render()
    assert (image[0, 150] == (76, 110, 245)).all() and (image[0, 255] == (64, 192, 87)).all()
    assert check_environment(shoal.make(f"{_GUIDES}/robot.py:Reach", length=5)) == []


def _train(algorithm, env, updates):
    """The mean return of the episodes that ended in each update."""
    learner = OnDevice(algorithm, env, num_envs=64, unroll=20, total_updates=float(updates))
    update = eqx.filter_jit(learner.update)
    state = learner.init(jax.random.key(0))
    returns = []
    for _ in range(updates):
        state, metrics = update(state)
        returns.append(float(metrics["return_sum"] / metrics["episodes"]))
    return returns


def test_ippo_learns_to_meet(env):
    """The best team meets in 1 step from distances 0, 1 and 2 and in 2 steps from 3 and 4. Of the 9
    distances around the ring 5 are of the first kind and 4 of the second."""
    returns = _train(PPO(learning_rate=5e-3, hidden=(32,)), env, updates=30)
    best = (5 * 0.9 + 4 * 0.8) / 9
    assert returns[0] < 0.2
    assert sum(returns[-5:]) / 5 == pytest.approx(best, abs=0.03)


def test_awr_learns_too(env):
    returns = _train(AWR(hidden=(32,)), env, updates=40)
    assert returns[0] < 0.2
    assert sum(returns[-5:]) / 5 > 0.7


def test_awr_weighs_actions_by_their_advantage(env):
    """Before the first step actions are as likely as when they were taken: the loss by hand."""
    settings = dict(hidden=(8,), entropy_weight=0.0, value_weight=0.0)
    algorithm, plain = AWR(beta=0.25, largest_weight=4.0, **settings), PPO(**settings)
    state, trajectory = collect(algorithm, env, num_envs=4, unroll=25)
    batch, _ = algorithm.targets(state, trajectory)
    advantage = np.asarray(plain.targets(state, trajectory)[0].advantage)
    weight = np.minimum(np.exp(advantage / 0.25), 4)
    assert (weight == 4).any() and (weight < 1).any()
    np.testing.assert_allclose(batch.advantage, weight, rtol=1e-5)
    loss, _ = algorithm.loss(state.params, batch, trajectory.carry, 0.0)
    log_prob = np.asarray(trajectory.transitions.extras["log_prob"])
    np.testing.assert_allclose(loss, -(weight * log_prob).mean(), rtol=1e-4)
