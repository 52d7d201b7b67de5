"""Pictures of swarms: what the world marks, below robots that show where they go."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from shoal.core.picture import Circle, Line, Picture, Ring, Shape
from shoal.envs.particle import palette

if TYPE_CHECKING:
    from shoal.envs.cooperative.swarm import SwarmState, SwarmWorld

GLANCE = 0.4  # a line ends where its robot would be this many seconds later
MARGIN = 0.3  # around the square, in metres
EDGE = "#ced4da"


def draw_swarm(world: SwarmWorld, state: SwarmState) -> Picture:
    """The picture of one concrete state. Who touches another is red."""
    side, radius = world.side, float(world.robot_radius)
    corners = [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side), (0.0, 0.0)]
    edges = [Line(x, y, u, v, EDGE) for (x, y), (u, v) in pairwise(corners)]
    position = np.asarray(state.position, float)
    ahead = position + GLANCE * np.asarray(state.velocity, float)
    colors = np.where(np.asarray(state.near.touching) > 0, palette.RED, palette.BLUE).tolist()
    agents = world.spec.agents
    robots = [
        Circle(x, y, radius, color, name)
        for (x, y), color, name in zip(position.tolist(), colors, agents)
    ]
    speed = [
        Line(x, y, ahead_x, ahead_y, color, width=0.3, opacity=0.7)
        for (x, y), (ahead_x, ahead_y), color in zip(position.tolist(), ahead.tolist(), colors)
    ]
    view = (-MARGIN, -MARGIN, side + MARGIN, side + MARGIN)
    return Picture((*edges, *world.marks(state), *speed, *robots), view)


def rings(places: np.ndarray, radius: float, color: str) -> list[Shape]:
    """A thin ring around each place."""
    return [Ring(float(x), float(y), radius, color, 0.3, 0.7) for x, y in places]
