"""Pictures of swarms: what the world marks, below robots that show where they go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from shoal.core.picture import Circle, Line, Picture, Polygon, Ring, Shape
from shoal.envs.particle import palette

if TYPE_CHECKING:
    from shoal.envs.cooperative.swarm import SwarmState, SwarmWorld

GLANCE = 0.4  # a nose ends where its robot would be this many seconds later
MARGIN = 0.3  # around the square, in metres
EDGE = "#ced4da"


def draw_swarm(world: SwarmWorld, state: SwarmState) -> Picture:
    """The picture of one concrete state. Who touches another is red."""
    side, radius = world.side, float(world.robot_radius)
    corners = [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side), (0.0, 0.0)]
    edges = [Line(x, y, u, v, EDGE) for (x, y), (u, v) in pairwise(corners)]
    position, velocity = np.asarray(state.position, float), np.asarray(state.velocity, float)
    colors = np.where(np.asarray(state.near.touching) > 0, palette.RED, palette.BLUE).tolist()
    agents = world.spec.agents
    robots = [
        Circle(x, y, radius, color, name)
        for (x, y), color, name in zip(position.tolist(), colors, agents)
    ]
    noses = [Polygon(_nose(p, v, radius), c, 0.7) for p, v, c in zip(position, velocity, colors)]
    view = (-MARGIN, -MARGIN, side + MARGIN, side + MARGIN)
    return Picture((*edges, *world.marks(state), *noses, *robots), view)


def _nose(place: np.ndarray, velocity: np.ndarray, radius: float) -> tuple:
    """A triangle from a robot's sides to where it goes."""
    aside = radius * np.array([-velocity[1], velocity[0]]) / max(float(np.hypot(*velocity)), 1e-6)
    corners = (place + aside, place + GLANCE * velocity, place - aside)
    return tuple((float(x), float(y)) for x, y in corners)


def rings(places: np.ndarray, radius: float, color: str) -> list[Shape]:
    """A thin ring around each place."""
    return [Ring(float(x), float(y), radius, color, 0.3, 0.7) for x, y in places]
