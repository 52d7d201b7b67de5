"""Every particle world draws its agents where they are, under their names, inside the view."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.picture import Circle, Line, Ring, shades
from shoal.envs.particle.simple_reference import SimpleReference
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.registry import ENVIRONMENTS, make

WORLDS = [name for name in ENVIRONMENTS if name.startswith("mpe/")]


def agents_of(world, picture):
    names = world.spec.agents
    return {s.label: s for s in picture.shapes if isinstance(s, Circle) and s.label in names}


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_draws_its_bodies(name):
    world = make(name)
    state, _ = eqx.filter_jit(world.reset)(jax.random.key(1))
    picture = world.draw(state)
    agents = agents_of(world, picture)
    assert tuple(sorted(agents)) == tuple(sorted(world.spec.agents))
    assert len({a.color for a in agents.values()}) == len(agents)
    for i, body in enumerate(world.agents):
        drawn = agents[body.name]
        np.testing.assert_allclose((drawn.x, drawn.y), state.position[i], rtol=1e-6)
        assert drawn.radius == pytest.approx(float(body.size))
    discs = [s for s in picture.shapes if isinstance(s, Circle)]
    assert len(discs) == len(world.agents) + len(world.landmarks)
    assert picture.view == pytest.approx((-1.3, -1.3, 1.3, 1.3))
    assert set(picture.messages) == {b.name for b in world.agents if b.speaks}
    assert not any(picture.messages.values())  # nothing is said before the first step
    places = sum(not b.collides for b in world.landmarks)  # each is outlined by a ring
    rings = sum(isinstance(s, Ring) for s in picture.shapes)
    assert (rings > places) == bool(world.goals)  # and a goal wears another one


def test_motion_and_a_view_that_follows():
    world = SimpleSpread()
    state, _ = world.reset(jax.random.key(0))
    state = eqx.tree_at(
        lambda s: (s.position, s.velocity),
        state,
        (
            state.position.at[0].set(jnp.array([2.0, -3.0])),
            state.velocity.at[0].set(jnp.array([0.0, 1.0])),
        ),
    )
    picture = world.draw(state)
    assert picture.view == pytest.approx((-3.25, -3.25, 3.25, 3.25))  # 3, its radius and a margin
    line = next(s for s in picture.shapes if isinstance(s, Line))
    assert (line.x1, line.y1) == pytest.approx((2.0, -3.0 + 0.15))  # from the rim
    assert (line.x2, line.y2) == pytest.approx((2.0, -3.0 + 0.15 + 0.2))


def test_words_and_rings_of_the_partner():
    world = SimpleReference()
    state, _ = world.reset(jax.random.key(0))
    state = eqx.tree_at(
        lambda s: (s.message, s.goal),
        state,
        (jax.nn.one_hot(jnp.array([2, 0]), 10), jnp.array([0, 2], jnp.int32)),
    )
    picture = world.draw(state)
    assert picture.messages == {"agent_0": "C", "agent_1": "A"}
    colors = {a: s.color for a, s in agents_of(world, picture).items()}
    landmarks = np.asarray(state.position[2:])
    for landmark, agent in ((0, "agent_1"), (2, "agent_0")):  # `goal[i]` is for the partner of i
        (mark,) = (s for s in picture.shapes if isinstance(s, Ring) and s.color == colors[agent])
        assert (mark.x, mark.y) == pytest.approx(tuple(landmarks[landmark]))


def test_vectors_are_spelled_out():
    world = SimpleReference(continuous_actions=True)
    state, _ = world.reset(jax.random.key(0))
    message = jnp.zeros((2, 10)).at[0, :2].set(jnp.array([0.25, 1.0]))
    picture = world.draw(eqx.tree_at(lambda s: s.message, state, message))
    assert picture.messages["agent_0"].split()[:2] == ["0.2", "1.0"]
    assert picture.messages["agent_1"] == ""


def test_shades_keep_the_colour_in_the_middle():
    assert shades("#4c6ef5", 1) == ("#4c6ef5",)
    assert shades("#4c6ef5", 3)[1] == "#4c6ef5"
    assert len(set(shades("#fa5252", 10))) == 10
