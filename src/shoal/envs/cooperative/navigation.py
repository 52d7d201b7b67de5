"""Navigation: every robot has a goal of its own, and between them stand obstacles and the others.

    own_i = metres that i came nearer to its goal + goal_bonus [i is at its goal]
            - collision_cost (others and obstacles that i touches)
    r_i = local_ratio own_i + (1 - local_ratio) mean_j own_j

The task of VMAS's `navigation` (Bettini et al. 2022, arXiv:2207.03530) with the physics of the
other swarms: there too progress, the touch of another and arrival are paid, by default with the
progress shared, and robots see the others by a lidar. Here an episode lasts until its horizon, the
bonus is paid in every step at the goal, and there are obstacles.
"""

import math
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.core.env import Places
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction, NonNegative, Positive
from shoal.core.picture import Circle, Line, Shape
from shoal.envs.cooperative.neighbours import Near
from shoal.envs.cooperative.swarm import SwarmState, SwarmWorld
from shoal.envs.cooperative.swarm_picture import rings
from shoal.envs.particle import palette

MOST = 100  # robots: each ray of each meets every other
APART = 1.25  # starts, goals and obstacles stand in cells that are so much wider than they are
GAIN, BRAKE, OFF, ASIDE, ROOM = 6.0, 1.0, 8.0, 4.0, 0.2  # of the controller; ROOM in metres


class Way(NamedTuple):
    """How far each robot's goal is, in metres, and the obstacles near it."""

    distance: Float[Array, "N"]
    obstacles: Near


class Navigation(SwarmWorld):
    """Robots in a walled square among discs, each with a goal.

    Observation:
        A robot's velocity (2), its distance to the left, lower, right and upper wall (4), of each
        of `neighbours` others where it is, how it moves (4) and 1, the way to its goal (2, of
        length 1 where that is out of sight), then of each of `obstacles_seen` obstacles where it is
        (2) and 1; zeros where there is none. A lidar shows `rays` ranges in place of neighbours and
        obstacles. Lengths are shares of `sight`, speeds of `max_speed`.

    Reward:
        Metres that the robot came nearer to its goal, and `goal_bonus` while it is there, less
        `collision_cost` for each robot and obstacle that it touches; `1 - local_ratio` of it is the
        mean over robots.

    Metrics:
        success: Share of robots at their goals, at the end.
        collisions: Others and obstacles that a robot touches, mean over robots, summed over steps.
        distance: From a robot to its goal, mean over robots, in metres, at the end.
    """

    sensor: Literal["neighbours", "lidar"] = eqx.field(static=True, default="neighbours")
    """How robots see others and obstacles, as lists of the nearest or as the ranges of rays."""
    rays: Count = eqx.field(static=True, default=12)
    """Rays of the lidar, the first one to the right, the others anticlockwise."""
    obstacles_per_robot: NonNegative = eqx.field(static=True, default=0.25)
    """Obstacles in the square, for each robot."""
    obstacles_seen: Count = eqx.field(static=True, default=2)
    """How many obstacles a robot sees at most, the nearest ones."""
    obstacle_radius: Positive = eqx.field(static=True, default=0.15)
    """Radius of an obstacle, in metres."""
    goal_radius: Positive = 0.1
    """Who is this near to its goal, in metres, is at it."""
    goal_bonus: NonNegative = 0.02
    """Reward of each step at the goal."""
    collision_cost: NonNegative = 0.2
    """Cost of each other or obstacle that is touched, in each step."""
    local_ratio: Fraction = 1.0
    """Share of what a robot does itself in its reward; the rest is the swarm's mean."""

    num_agents: Count = eqx.field(static=True, default=8)
    """Robots."""
    horizon: Count = eqx.field(static=True, default=100)
    """Steps of an episode."""

    name = "coop/navigation"
    torus = False
    metric_reductions = (("success", "last"), ("collisions", "sum"), ("distance", "last"))

    def __post_init__(self):
        super().__post_init__()
        require(self.num_agents <= MOST, f"num_agents is {self.num_agents}, expected 1 to {MOST}")
        largest = self.robot_radius + self.obstacle_radius
        require(
            self.sight >= largest,
            f"sight is {self.sight}, expected at least the radii of a robot and an obstacle, "
            f"{largest:g}",
        )
        things, cells = 2 * self.num_agents + self.num_obstacles, self.cells**2
        require(
            things <= cells,
            f"{things} starts, goals and obstacles, expected at most {cells} at density "
            f"{self.density}",
        )

    @property
    def num_obstacles(self) -> int:
        """How many obstacles there are."""
        return round(self.num_agents * self.obstacles_per_robot)

    @property
    def cells(self) -> int:
        """How many cells in a row are wide enough for anything that stands somewhere."""
        return int(self.side / (APART * self._width))

    @property
    def _width(self) -> float:
        return 2 * max(self.robot_radius, self.obstacle_radius)

    def start(self, key: PRNGKeyArray) -> tuple[Float[Array, "N 2"], Float[Array, "M 2"]]:
        """Everything in a cell of its own, so that nothing overlaps: goals first among places."""
        key_cells, key_jitter = jax.random.split(key)
        count, pitch = 2 * self.num_agents + self.num_obstacles, self.side / self.cells
        cell = jax.random.permutation(key_cells, self.cells**2)[:count]
        jitter = jax.random.uniform(key_jitter, (count, 2), minval=-0.5, maxval=0.5)
        middle = jnp.stack(jnp.divmod(cell, self.cells), -1) + 0.5
        points = pitch * middle + (pitch - self._width) * jitter
        return points[: self.num_agents], points[self.num_agents :]

    def find(self, position: Float[Array, "N 2"], places: Float[Array, "M 2"], near: Near) -> Way:
        goals, obstacles = jnp.split(places, [self.num_agents])
        touch = self.robot_radius + self.obstacle_radius
        around = self.look(position, obstacles, self.obstacles_seen, touch)
        return Way(jnp.hypot(*(goals - position).T), around)

    def push(self, state: SwarmState) -> Float[Array, "N 2"]:
        return state.found.obstacles.overlap

    def to_goal(self, state: SwarmState) -> Float[Array, "N 2"]:
        """The way to the goal as a share of `sight`, of length 1 where it is out of sight."""
        way = state.places[: self.num_agents] - state.position
        return way / jnp.maximum(state.found.distance, self.sight)[:, None]

    def to_neighbours(self, state: SwarmState) -> Float[Array, "N R"]:
        return self.lidar(state) if self.sensor == "lidar" else super().to_neighbours(state)

    def observe(self, state: SwarmState) -> Float[Array, "N D"]:
        """The way to the goal, and without a lidar of each obstacle where it is, as a share of
        `sight`, and 1; three zeros where there is none."""
        if self.sensor == "lidar":
            return self.to_goal(state)
        near = state.found.obstacles
        each = jnp.concatenate([near.apart / self.sight, near.present[..., None]], -1)
        return jnp.concatenate([self.to_goal(state), each.reshape(self.num_agents, -1)], 1)

    def lidar(self, state: SwarmState) -> Float[Array, "N R"]:
        """How far each ray goes until it meets a robot or an obstacle, as a share of `sight`; 1 is
        free."""
        n, obstacles = self.num_agents, state.places[self.num_agents :]
        discs = jnp.concatenate([state.position, obstacles]) - state.position[:, None]
        radius = np.repeat([self.robot_radius, self.obstacle_radius], [n, len(obstacles)])
        angle = np.arange(self.rays) * (2 * math.pi / self.rays)
        x, y = discs[:, None, :, 0], discs[:, None, :, 1]
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        along, beside = x * cos + y * sin, y * cos - x * sin
        half = jnp.sqrt(jnp.maximum(radius**2 - beside**2, 0.0))
        met = (jnp.abs(beside) < radius) & (along + half > 0)
        met &= ~jnp.eye(n, len(radius), dtype=bool)[:, None]
        reach = jnp.where(met, jnp.maximum(along - half, 0.0), self.sight).min(-1)
        return jnp.minimum(reach / self.sight, 1.0)

    def touched(self, state: SwarmState) -> Float[Array, "N"]:
        """How many others and obstacles each robot touches."""
        return state.near.touching + state.found.obstacles.touching

    def reward(self, before: SwarmState, after: SwarmState) -> Float[Array, "N"]:
        progress = before.found.distance - after.found.distance
        bonus = self.goal_bonus * (after.found.distance < self.goal_radius)
        own = progress + bonus - self.collision_cost * self.touched(after)
        return self.local_ratio * own + (1 - self.local_ratio) * own.mean()

    def measure(self, state: SwarmState) -> dict[str, Array]:
        distance = state.found.distance
        return {
            "success": (distance < self.goal_radius).mean(),
            "collisions": self.touched(state).mean(),
            "distance": distance.mean(),
        }

    def locate(self, state: SwarmState) -> Places:
        """Who is at whose goal."""
        goals = state.places[: self.num_agents]
        x, y = (state.position[:, None] - goals).transpose(2, 0, 1)
        names = tuple(f"goal of {name}" for name in self.spec.agents)
        return Places(state.position, jnp.hypot(x, y) < self.goal_radius, goals, names)

    def wish(self, state: SwarmState) -> Float[Array, "N 2"]:
        """To the goal, off whatever is near and past it on the right."""
        force = GAIN * self.to_goal(state) - BRAKE * state.velocity
        discs = ((state.near, self.robot_radius), (state.found.obstacles, self.obstacle_radius))
        for near, radius in discs:
            gap = jnp.maximum(near.distance, 1e-8)[..., None]
            free = gap - self.robot_radius - radius
            weight = jnp.maximum(1.0 - free / ROOM, 0.0)
            off = -weight * near.apart / gap
            aside = jnp.stack([-off[..., 1], off[..., 0]], -1)
            force = force + (OFF * off + ASIDE * aside).sum(1)
        return force

    def marks(self, state: SwarmState) -> list[Shape]:
        goals, obstacles = np.split(np.asarray(state.places, float), [self.num_agents])
        pairs = zip(np.asarray(state.position, float).tolist(), goals.tolist())
        shapes: list[Shape] = rings(goals, float(self.goal_radius), palette.GREEN)
        shapes += [Circle(x, y, self.obstacle_radius, palette.SLATE) for x, y in obstacles.tolist()]
        shapes += [Line(x, y, u, v, palette.LEAF, width=0.3) for (x, y), (u, v) in pairs]
        return shapes
