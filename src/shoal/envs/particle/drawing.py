"""Pictures of particle worlds: landmarks below, agents that move and speak, goals marked on top."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array

from shoal.core.picture import Circle, Line, Picture, Ring, Shape, shades
from shoal.envs.particle.scene import Many

if TYPE_CHECKING:
    from shoal.envs.particle.world import Body, ParticleState, ParticleWorld

REACH = 1.3  # the view is at least [-REACH, REACH]^2
GLANCE = 0.2  # a velocity line ends where its agent would be this many seconds later
GOAL = "#f08c00"
PLACE_OPACITY = 0.35
AGENT_OPACITY = 0.88  # a landmark under a large agent stays visible


def draw_world(world: ParticleWorld, state: ParticleState) -> Picture:
    """The picture of one concrete state."""
    bodies, position = world.agents + world.landmarks, np.asarray(state.position)
    n = len(world.agents)
    landmarks = [s for b, p in zip(world.landmarks, position[n:]) for s in _landmark(b, p)]
    colors = agent_colors(world)
    speed = [
        _velocity(b, p, v, c)
        for b, p, v, c in zip(world.agents, position, np.asarray(state.velocity), colors)
        if b.movable
    ]
    agents = [_disc(b, p, c, b.name) for b, p, c in zip(world.agents, position, colors)]
    marks = world.goal_marks(world.scene(state))
    words = {
        b.name: _word(world, m) for b, m in zip(world.agents, np.asarray(state.message)) if b.speaks
    }
    return Picture((*landmarks, *speed, *agents, *marks), _view(bodies, position), words)


def agent_colors(world: ParticleWorld) -> tuple[str, ...]:
    """A colour for each agent: relatives of its body's colour where several bodies share it."""
    colors = [b.color for b in world.agents]
    families = {c: iter(shades(c, count)) for c, count in Counter(colors).items()}
    return tuple(next(families[c]) for c in colors)


def ring(body: Body, place: Array, color: str = GOAL, layer: int = 0) -> Ring:
    """A ring around a body; rings around the same body nest by `layer`."""
    x, y = map(float, place)
    return Ring(x, y, float(body.size) + 0.04 * (1 + layer), color, 0.8)


def default_goal_marks(world: ParticleWorld, goal: list, places: Many) -> list[Shape]:
    """A ring around the landmark of each choice that is made among all landmarks."""
    count = len(world.landmarks)
    chosen = [int(g) for g, among in zip(goal, world.goals) if among == count]
    return [ring(world.landmarks[k], places[k], layer=i) for i, k in enumerate(chosen)]


def _disc(body: Body, place: np.ndarray, color: str, label: str = "") -> Circle:
    opacity = AGENT_OPACITY if label else 1.0
    return Circle(float(place[0]), float(place[1]), float(body.size), color, label, opacity)


def _landmark(body: Body, place: np.ndarray) -> list[Shape]:
    """A thing to bump into is solid, a place to go to is an outline."""
    disc = _disc(body, place, body.color)
    if body.collides:
        return [disc]
    return [
        disc._replace(opacity=PLACE_OPACITY),
        Ring(disc.x, disc.y, disc.radius, body.color, 0.5),
    ]


def _velocity(body: Body, place: np.ndarray, velocity: np.ndarray, color: str) -> Line:
    """From the rim of the disc, so that slow agents show where they go too."""
    speed = float(np.hypot(*velocity))
    start = place + velocity * (float(body.size) / max(speed, 1e-6))
    end = start + GLANCE * velocity
    return Line(
        float(start[0]),
        float(start[1]),
        float(end[0]),
        float(end[1]),
        color,
        width=0.6,
        opacity=0.7,
    )


def _word(world: ParticleWorld, message: np.ndarray) -> str:
    """A letter for a symbol, the numbers of a vector, nothing for silence."""
    if not message.any():
        return ""
    if world.continuous_actions:
        return " ".join(f"{x:.1f}" for x in message)
    return chr(ord("A") + int(message.argmax()))


def _view(bodies: tuple[Body, ...], position: np.ndarray) -> tuple[float, float, float, float]:
    """A square around the middle that holds every body."""
    edge = np.abs(position).max(1) + np.array([float(b.size) for b in bodies]) + 0.1
    reach = max(REACH, float(edge.max(initial=0.0)))
    return (-reach, -reach, reach, reach)
