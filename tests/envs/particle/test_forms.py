"""Large worlds are stepped on arrays and small ones body by body: the two must be one world.

Which form a world takes is a matter of its size alone, so that here the size is moved. Beside the
comparison of the forms stand facts that know of neither: momentum, by-hand forces, program size.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.spaces import Discrete
from shoal.envs.particle import world as worlds
from shoal.envs.particle.scene import chain, each, join, without
from shoal.envs.particle.simple_adversary import SimpleAdversary
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.envs.particle.simple_tag import SimpleTag
from shoal.envs.particle.simple_world_comm import SimpleWorldComm
from shoal.envs.particle.world import ParticleState
from shoal.registry import ENVIRONMENTS, make

STATES = 64
LARGE = {
    "mpe/simple_spread": [{"num_agents": 7}],
    "mpe/simple_adversary": [{"num_agents": 7}],
    "mpe/simple_tag": [
        {"num_adversaries": 5, "num_good": 3},
        {"num_good": 2, "num_obstacles": 0},
    ],
    "mpe/simple_world_comm": [
        {"num_good": 3, "num_forests": 3},
        {"num_adversaries": 1, "num_good": 1, "num_obstacles": 0, "num_forests": 0},
    ],
}
CASES = [
    (name, fields, continuous)
    for name in ENVIRONMENTS
    if name.startswith("mpe/")
    for fields in ({}, *LARGE.get(name, []))
    for continuous in (False, True)
]


def crowded(world, key) -> ParticleState:
    """A state in the middle of an episode, every other time so close together that much touches."""
    keys = jax.random.split(key, 4)
    state = world._draw(keys[0])
    near = jnp.where(jax.random.bernoulli(keys[1]), 0.3, 1.2)
    speed = jax.random.normal(keys[2], state.velocity.shape)
    words = jax.random.uniform(keys[3], state.message.shape)
    return ParticleState(near * state.position, speed, words, state.goal, state.time + 3)


def play(world, limit: int, monkeypatch) -> Any:
    """A start, one step from each of many states, and what the controller does there, in the form
    of worlds with at most `limit` bodies."""
    monkeypatch.setattr(worlds, "UNROLLED", limit)
    space, shape = world.spec.action, (STATES, world.spec.num_agents)
    key = jax.random.key(1)
    if isinstance(space, Discrete):
        action = jax.random.randint(key, shape, 0, jnp.array(space.sizes))
    else:
        action = jax.random.uniform(key, (*shape, space.size))

    @jax.jit
    def run(state, action):
        step = jax.vmap(lambda s, a: (world.step(key, s, a), world.scripted(s)))(state, action)
        return world.spec.obs_sizes, world.reset(key), step

    states = jax.vmap(lambda k: crowded(world, k))(jax.random.split(jax.random.key(0), STATES))
    return run(states, action)


@pytest.mark.parametrize(("name", "fields", "continuous"), CASES, ids=str)
def test_both_forms_are_one_world(name, fields, continuous, monkeypatch):
    world = make(name, continuous_actions=continuous, **fields)
    one_by_one, at_once = (play(world, limit, monkeypatch) for limit in (10**6, 0))
    assert jax.tree.structure(one_by_one) == jax.tree.structure(at_once)
    for a, b in zip(jax.tree.leaves(one_by_one), jax.tree.leaves(at_once)):
        assert (np.shape(a), jnp.result_type(a)) == (np.shape(b), jnp.result_type(b))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("world", "large"),
    [
        (SimpleSpread(num_agents=5), False),
        (SimpleSpread(num_agents=6), True),
        (SimpleTag(), False),
        (SimpleWorldComm(), True),
        (SimpleAdversary(num_agents=5), False),
    ],
)
def test_the_number_of_bodies_decides(world, large):
    state, _ = world.reset(jax.random.key(0))
    assert isinstance(world.scene(state).agents, jax.Array) == large


def test_a_start_is_one_draw_whatever_the_size():
    for n in (3, 12):
        state, _ = SimpleSpread(num_agents=n).reset(jax.random.key(5))
        key, _ = jax.random.split(jax.random.key(5))
        drawn = jax.random.uniform(key, (2 * n, 2), minval=-1.0, maxval=1.0)
        np.testing.assert_array_equal(state.position, drawn)


def at(world, position, velocity=0.0) -> ParticleState:
    state, _ = world.reset(jax.random.key(0))
    places = jnp.asarray(position, jnp.float32)
    speeds = jnp.broadcast_to(jnp.asarray(velocity, jnp.float32), state.velocity.shape)
    return eqx.tree_at(lambda s: (s.position, s.velocity), state, (places, speeds))


def test_contacts_keep_the_momentum_of_a_crowd():
    """Every push has its counterpart; what agents lose, together, is what damping takes."""
    world = SimpleSpread(num_agents=12)
    position = np.random.default_rng(0).uniform(-0.4, 0.4, (24, 2))
    velocity = np.random.default_rng(1).normal(size=(12, 2))
    after, _ = world.step(jax.random.key(0), at(world, position, velocity), jnp.zeros(12, int))
    changed = np.asarray(after.velocity) - 0.75 * velocity
    assert np.abs(changed).max() > 1.0  # they do push
    np.testing.assert_allclose(changed.sum(0), 0.0, atol=1e-4)


def test_a_push_by_hand():
    """Of twelve agents two overlap, by 0.1 along x: the force is 100 for each unit of overlap, and
    a step is 0.1. Landmarks, though two are in the same place, push nobody."""
    world = SimpleSpread(num_agents=12)
    agents = [(10.0 * i, 0.0) for i in range(12)]
    agents[1] = (0.2, 0.0)
    state = at(world, [*agents, *agents])
    after, _ = world.step(jax.random.key(0), state, jnp.zeros(12, int))
    expected = np.zeros((12, 2))
    expected[0, 0], expected[1, 0] = -1.0, 1.0
    np.testing.assert_allclose(after.velocity, expected, atol=1e-5)


def test_obstacles_push_and_stay():
    world = SimpleTag(num_adversaries=8, num_good=2)
    position = np.array([(10.0 * i, 5.0) for i in range(12)])
    position[10] = position[0] + (0.0, 0.2)  # 0.2 and 0.075 overlap by 0.075; top speed is 1
    after, _ = world.step(jax.random.key(0), at(world, position), jnp.zeros(10, int))
    expected = np.zeros((10, 2))
    expected[0, 1] = -0.75
    np.testing.assert_allclose(after.velocity, expected, atol=1e-5)
    np.testing.assert_array_equal(after.position, np.float32(position))


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (SimpleSpread(num_agents=8), SimpleSpread(num_agents=16)),
        (SimpleAdversary(num_agents=8), SimpleAdversary(num_agents=16)),
        (
            SimpleTag(num_adversaries=8, num_good=8),
            SimpleTag(num_adversaries=16, num_good=16),
        ),
        (
            SimpleWorldComm(num_adversaries=8, num_good=8),
            SimpleWorldComm(num_adversaries=16, num_good=16),
        ),
    ],
)
def test_programs_grow_with_the_number_of_bodies_not_of_pairs(small, large):
    def lines(world):
        state = jax.eval_shape(world._draw, jax.random.key(0))
        action = jax.ShapeDtypeStruct((world.spec.num_agents,), jnp.int32)
        lowered = jax.jit(world.step).lower(jax.random.key(0), state, action)
        return lowered.as_text().count("\n")

    assert lines(large) < 2 * lines(small)


def test_several_are_a_list_or_an_array():
    rows = jnp.arange(8.0).reshape(4, 2)
    for i in range(4):
        left = np.delete(np.asarray(rows), i, 0)
        np.testing.assert_array_equal(jnp.stack(without(i, list(rows))), left)
        np.testing.assert_array_equal(without(i, rows), left)
        np.testing.assert_array_equal(jax.jit(without)(jnp.int32(i), rows), left)
    for several in (rows, list(rows)):
        doubled = each(lambda x, k: k * x.sum(), several, [1, 2, 3, 4])
        np.testing.assert_array_equal(jnp.stack(doubled), [1, 10, 27, 52])
        np.testing.assert_array_equal(join(rows[0], several), [0, 1, *range(8)])
    assert [x.shape for x in chain(list(rows), rows)] == [(2,)] * 4 + [(4, 2)]
