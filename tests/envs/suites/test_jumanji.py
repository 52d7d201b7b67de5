"""Jumanji's worlds: stepped beside their own code, trained in, and named when they will not do."""

from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.cli.main import run as shoal_command
from shoal.core.errors import UserError
from shoal.training.on_device import OnDevice

pytestmark = pytest.mark.skipif(find_spec("jumanji") is None, reason="jumanji is not installed")

WORLDS = ["LevelBasedForaging-v0", "RobotWarehouse-v0", "Cleaner-v0", "Connector-v3", "Maze-v0"]


def make(task, **settings):
    return shoal.make(f"jumanji:{task}", **settings)


@pytest.mark.parametrize("task", WORLDS)
def test_steps_are_those_of_the_world(task):
    env = make(task)
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
            assert np.allclose(shown.obs[:, view.shape[1] :], t / spec.horizon)  # the clock
        assert bool(shown.done) == bool(theirs.last())
        ended = np.broadcast_to(theirs.discount == 0, spec.num_agents)
        assert np.array_equal(shown.terminated, ended)
        if shown.done:
            break
    assert t > 1


@pytest.mark.parametrize("task", ["LevelBasedForaging-v0", "RobotWarehouse-v0", "Cleaner-v0"])
def test_the_world_s_own_clock_cuts(task):
    env = make(task, time_limit=4)
    assert env.spec.horizon == 4
    state, shown = env.reset(jax.random.key(0))
    inner, _ = env.world.reset(jax.random.key(0))
    step, own = jax.jit(env.step), jax.jit(env.world.step)
    for t in range(1, 5):
        action = jnp.argmax(shown.action_mask, -1)  # nobody bumps into anything
        state, shown = step(jax.random.key(t), state, action)
        inner, theirs = own(inner, action)
        assert bool(theirs.last()) == bool(shown.truncated.all()) == (t == 4)
        assert not shown.terminated.any()


@pytest.mark.parametrize("task", ["LevelBasedForaging-v0", "RobotWarehouse-v0", "Connector-v3"])
def test_a_shorter_horizon_cuts_first(task):
    env = make(task, horizon=5)
    state, _ = env.reset(jax.random.key(0))
    step = jax.jit(env.step)
    for t in range(1, 6):
        state, shown = step(jax.random.key(t), state, jnp.zeros(env.spec.num_agents, jnp.int32))
        assert bool(shown.truncated.all()) == (t == 5) and not shown.terminated.any()


def test_a_crash_in_the_warehouse_is_a_true_end():
    env = make("RobotWarehouse-v0", generator={"num_agents": 20})
    state, shown = env.reset(jax.random.key(0))
    step = jax.jit(env.step)
    for t in range(100):
        state, shown = step(jax.random.key(t), state, jnp.ones(20, jnp.int32))  # all go on
        if shown.done:
            break
        state, shown = step(jax.random.key(t), state, jnp.full(20, 2 + t % 2))  # and turn
    assert shown.terminated.all() and not shown.truncated.any() and t < 99


def test_food_that_is_eaten_with_the_last_step_is_a_true_end():
    """Foraging says itself whether time ran out, so that both can fall on one step."""
    env = make("LevelBasedForaging-v0", time_limit=1)
    state, _ = env.reset(jax.random.key(0))
    inner = state.inner
    foods = inner.food_items.replace(eaten=jnp.ones_like(inner.food_items.eaten))
    done = type(state)(inner.replace(food_items=foods), state.time)
    idle = jnp.zeros(2, jnp.int32)
    _, shown = env.step(jax.random.key(0), done, idle)
    assert shown.terminated.all() and not shown.truncated.any()
    _, shown = env.step(jax.random.key(0), state, idle)
    assert shown.truncated.all() and not shown.terminated.any()


def test_a_connected_agent_has_ended_before_the_others():
    env = make("Connector-v3")
    state, shown = env.reset(jax.random.key(0))
    inner = state.inner
    own = jax.jit(env.world.step)
    step, some = jax.jit(env.step), False
    for t in range(env.spec.horizon):
        action = jax.random.categorical(jax.random.key(t), jnp.where(shown.action_mask, 0.0, -1e9))
        state, shown = step(jax.random.key(t), state, action)
        inner, theirs = own(inner, action)
        if shown.done:
            break
        assert np.array_equal(shown.terminated, theirs.discount == 0)
        some |= bool(shown.terminated.any())
    assert some


def test_generators_are_made_of_their_settings():
    env = make("LevelBasedForaging-v0", generator={"grid_size": 10, "num_agents": 3})
    kept = env.world._generator
    assert (kept.grid_size, kept.num_agents, kept.num_food, kept.fov) == (10, 3, 2, 8)
    assert env.spec.num_agents == 3 and env.spec.metrics == (("percent_eaten", "last"),)
    tiny = make("RobotWarehouse-v0", generator={"shelf_rows": 1, "num_agents": 2})
    assert tiny.spec.num_agents == 2 and tiny.world.grid_size[0] < 20


def test_searchers_steer_in_boxes():
    env = make("SearchAndRescue-v0")
    state, shown = env.reset(jax.random.key(0))
    inner, _ = env.world.reset(jax.random.key(0))
    action = jnp.array([[0.5, -0.25], [1.0, -1.0]])
    _, shown = env.step(jax.random.key(0), state, action)
    _, theirs = env.world.step(inner, action)
    views = np.reshape(theirs.observation.searcher_views, (2, -1))
    assert np.allclose(shown.obs[:, : views.shape[1]], views)
    assert np.allclose(shown.reward, theirs.reward)


@pytest.mark.parametrize(("task", "counts"), [("Minesweeper-v0", (10, 10)), ("Tetris-v0", (4, 10))])
def test_one_agent_s_several_numbers_are_combinations(task, counts):
    env = make(task)
    assert env.spec.num_agents == 1 and env.spec.action.sizes == (counts[0] * counts[1],)
    state, shown = env.reset(jax.random.key(0))
    inner, theirs = env.world.reset(jax.random.key(0))
    step, own = jax.jit(env.step), jax.jit(env.world.step)
    for t in range(5):
        legal = np.asarray(theirs.observation.action_mask)
        assert np.array_equal(shown.action_mask[0], legal.ravel())
        row, column = np.argwhere(legal)[t]
        state, shown = step(jax.random.key(0), state, jnp.array([row * counts[1] + column]))
        inner, theirs = own(inner, jnp.array([row, column]))
        assert shown.reward[0] == theirs.reward and bool(shown.done) == bool(theirs.last())
        pairs = zip(jax.tree.leaves(state.inner), jax.tree.leaves(inner))
        assert all(bool(jnp.all(a == b)) for a, b in pairs)
        if shown.done:
            break


@pytest.mark.parametrize("task", ["LevelBasedForaging-v0", "RobotWarehouse-v0"])
@pytest.mark.parametrize("algorithm", ["mappo", "vdn"])
def test_algorithms_train_inside_the_scan(task, algorithm):
    env = make(task, horizon=5)
    on_policy = {"minibatches": 2, "epochs": 1}
    off_policy = {"batch_size": 8, "learning_starts": 8, "update_ratio": 0.1}
    settings = on_policy if algorithm == "mappo" else off_policy
    learner = OnDevice(shoal.make_algorithm(algorithm, hidden=(8,), **settings), env, 4, 8)
    state = jax.jit(learner.init)(jax.random.key(0))
    _, metrics = jax.jit(learner.update)(state)
    assert all(np.isfinite(v).all() for v in metrics.values())
    assert metrics["episodes"] >= 4 and any(
        v > 0 for k, v in metrics.items() if k.endswith("grad_norm")
    )


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("RobotWarehous-v0", {}, "did you mean 'RobotWarehouse-v0'"),
        ("RobotWarehouse-v0", {"time_limt": 3}, "did you mean 'time_limit'"),
        ("RobotWarehouse-v0", {"generator": object()}, "must be plain data"),
        ("RobotWarehouse-v0", {"generator": {"num_agnts": 3}}, "did you mean 'num_agents'"),
        ("RobotWarehouse-v0", {"horizon": 501}, "ends its episodes after 500 steps"),
        ("RobotWarehouse-v0", {"settings": "3"}, "expected a JSON object"),
        ("LevelBasedForaging-v0", {"generator": {"grid_size": 2}}, "cannot be made: Assertion"),
    ],
)
def test_mistakes_are_named(task, settings, said):
    with pytest.raises(UserError, match=said):
        make(task, **settings)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jumanji:Nope-v0"], "unknown world of Jumanji 'Nope-v0'"),
        (["jumanji:Maze-v0", "--env.settings", "{"], "expected JSON"),
        (["jumanji:Maze-v0", "--env.settings", '{"time": 3}'], "did you mean 'time_limit'"),
        (["jumanji:Maze-v0", "--env.horizon", "-1"], "--env.horizon is -1"),
        (["jumanji:Maze-v0", "--env.horizon", "101"], "ends its episodes after 100 steps"),
    ],
)
def test_the_command_line_says_it_in_a_line(words, said, capsys):
    assert shoal_command(["train", "ippo", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err
