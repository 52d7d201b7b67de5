"""Coverage: robots spread so that the discs that they sense cover as much of the area as can be.

    covered = share of the area in somebody's disc
    own_i = what would be lost without robot i, over the area of one robot, 1 / density
    r_i = (1 - local_ratio) covered + local_ratio own_i

The task is that of Cortes et al. 2004, "Coverage control for mobile sensing networks", with a
uniform density; `own` is the difference reward of Wolpert and Tumer 2001, "Optimal payoff functions
for members of collectives". Both are counted on a lattice of points.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.core.errors import require
from shoal.core.limits import Fraction, Positive
from shoal.core.picture import Circle, Shape
from shoal.envs.cooperative.neighbours import Near
from shoal.envs.cooperative.swarm import SwarmState, SwarmWorld, apart_from
from shoal.envs.particle import palette

SPACING = 1.1  # the controller keeps neighbours so far apart, over sqrt(area of one robot)
GAIN, BRAKE = 4.0, 0.5
MOST = 2048  # points of the lattice in a row


class Cover(NamedTuple):
    """Which share of the area is covered, and what each robot alone covers, in square metres."""

    covered: Float[Array, ""]
    own: Float[Array, "N"]


class Coverage(SwarmWorld):
    """Robots in a walled square, each covering a disc.

    Observation:
        A robot's velocity (2), its distance to the left, lower, right and upper wall (4), then of
        each of `neighbours` others where it is, how it moves (4) and 1; five zeros where there is
        none. Lengths are shares of `sight`, speeds of `max_speed`.

    Reward:
        `1 - local_ratio` times the share of the area that is covered, and `local_ratio` times the
        area that the robot alone covers, as a share of one robot's area.

    Metrics:
        covered: Share of the area in somebody's disc, at the end.
        collisions: Others that a robot touches, mean over robots, summed over steps.
    """

    reach: Positive = eqx.field(static=True, default=0.6)
    """Radius of the disc that a robot covers, in metres."""
    local_ratio: Fraction = 0.5
    """Share of what a robot alone covers in its reward; the rest is common."""
    resolution: Positive = eqx.field(static=True, default=4.0)
    """Points of the lattice a metre."""

    def __post_init__(self):
        super().__post_init__()
        require(
            self.points <= MOST,
            f"resolution is {self.resolution}, which makes {self.points} points a side, expected "
            f"at most {MOST}",
        )

    @property
    def points(self) -> int:
        """Points of the lattice in a row."""
        return max(round(self.side * self.resolution), 1)

    name = "coop/coverage"
    torus = False
    metric_reductions = (("covered", "last"), ("collisions", "sum"))

    def find(self, position: Float[Array, "N 2"], places: Float[Array, "M 2"], near: Near) -> Cover:
        points = self.points
        step = self.side / points
        reach = min(math.floor(self.reach / step + 0.5), points)
        window = np.arange(-reach, reach + 1)
        x, y = ((jnp.floor(p / step).astype(jnp.int32)[:, None] + window) for p in position.T)
        dx, dy = ((i + 0.5) * step - p[:, None] for i, p in zip((x, y), position.T))
        inside = dx[:, :, None] ** 2 + dy[:, None, :] ** 2 <= self.reach**2
        for i in (x[:, :, None], y[:, None, :]):
            inside &= (i >= 0) & (i < points)
        index = jnp.where(inside, x[:, :, None] * points + y[:, None, :], points**2)
        count = jnp.zeros(points**2 + 1).at[index].add(1.0)
        own = (inside & (count[index] == 1)).sum((1, 2)) * step**2
        return Cover((count[:-1] > 0).mean(), own)

    def observe(self, state: SwarmState) -> Float[Array, "N 0"]:
        return jnp.zeros((self.num_agents, 0))

    def reward(self, before: SwarmState, after: SwarmState) -> Float[Array, "N"]:
        covered, own = after.found
        return (1 - self.local_ratio) * covered + self.local_ratio * self.density * own

    def measure(self, state: SwarmState) -> dict[str, Array]:
        return {"covered": state.found.covered, "collisions": state.near.touching.mean()}

    def wish(self, state: SwarmState) -> Float[Array, "N 2"]:
        """Away from neighbours nearer than an even spacing, and from walls nearer than half of it,
        where the mirror image of the robot would be nearer."""
        spacing = SPACING / math.sqrt(self.density)
        left, below, right, above = 2 * self.sight * self.to_walls(state.position).T / spacing
        near = [jnp.maximum(1.0 - x, 0.0) for x in (left, below, right, above)]
        walls = jnp.stack([near[0] - near[2], near[1] - near[3]], -1)
        return GAIN * (apart_from(state, spacing) + walls) - BRAKE * state.velocity

    def marks(self, state: SwarmState) -> list[Shape]:
        return [
            Circle(x, y, self.reach, palette.TEAL, opacity=0.15)
            for x, y in np.asarray(state.position, float).tolist()
        ]
