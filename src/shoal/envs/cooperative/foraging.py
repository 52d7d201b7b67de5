"""Foraging: an item is collected when enough robots are within reach of it at once.

    crowd_m = robots within reach of item m,    collected_m = crowd_m >= needed
    r_i = sum over collected items within i's reach of 1 / crowd_m

so that the items collected are the sum of all rewards. An item that was collected appears
elsewhere in the next step, so that there are always as many. One robot alone collects nothing: this
is the dilemma of level-based foraging (Albrecht and Ramamoorthy 2013, arXiv:1506.01170) in a plane
and with no levels but `needed`.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.core.env import Places
from shoal.core.errors import require
from shoal.core.limits import Count, Positive
from shoal.core.picture import Shape
from shoal.envs.cooperative.neighbours import Near
from shoal.envs.cooperative.swarm import SwarmState, SwarmWorld, apart_from
from shoal.envs.cooperative.swarm_picture import rings
from shoal.envs.particle import palette

COMPANY = 0.8  # a robot that makes an item complete is worth so many metres of way
GAIN, BRAKE = 4.0, 0.6
ROOM, ENOUGH = 0.4, 0.7  # it keeps robots ROOM metres apart, and stops at ENOUGH of `reach`


class Items(NamedTuple):
    """How many robots are within reach of each item, how many in sight, and the items near each
    robot; `near.touching` is what the robot is paid."""

    crowd: Float[Array, "M"]
    collected: Float[Array, "M"]
    near: Near


class Foraging(SwarmWorld):
    """Robots in a walled square, and items that take several of them at once.

    Observation:
        A robot's velocity (2), its distance to the left, lower, right and upper wall (4), of each
        of `neighbours` others where it is, how it moves (4) and 1, then of each of `items_seen`
        items where it is (2), how many robots are within its reach, as a share of `needed`, and 1;
        zeros where there is none. Lengths are shares of `sight`, speeds of `max_speed`.

    Reward:
        1 for each item collected, shared evenly among the robots within its reach.

    Metrics:
        collected: Items collected for each robot, summed over steps.
        collisions: Others that a robot touches, mean over robots, summed over steps.
    """

    needed: Count = 2
    """Robots that must be within reach of an item at once."""
    reach: Positive = eqx.field(static=True, default=0.4)
    """How near to an item a robot must be, in metres."""
    items_per_robot: Positive = eqx.field(static=True, default=0.5)
    """Items in the square, for each robot."""
    items_seen: Count = eqx.field(static=True, default=3)
    """How many items a robot sees at most, the nearest ones."""

    horizon: Count = eqx.field(static=True, default=100)
    """Steps of an episode."""

    name = "coop/foraging"
    torus = False
    metric_reductions = (("collected", "sum"), ("collisions", "sum"))

    def __post_init__(self):
        super().__post_init__()
        require(
            self.reach <= self.sight,
            f"reach is {self.reach}, expected at most sight, {self.sight}",
        )
        require(
            not isinstance(self.needed, int) or self.needed <= self.num_agents,
            f"needed is {self.needed}, expected at most the {self.num_agents} robots there are",
        )

    @property
    def num_items(self) -> int:
        """How many items there are at any time."""
        return max(round(self.num_agents * self.items_per_robot), 1)

    def start(self, key: PRNGKeyArray) -> tuple[Float[Array, "N 2"], Float[Array, "M 2"]]:
        points = self.scatter(key, self.num_agents + self.num_items)
        return points[: self.num_agents], points[self.num_agents :]

    def next_places(self, key: PRNGKeyArray, state: SwarmState) -> Float[Array, "M 2"]:
        # Who stands at an item from the beginning is paid for it by the first step.
        gone = (state.found.collected[:, None] > 0) & (state.time > 0)
        return jnp.where(gone, self.scatter(key, self.num_items), state.places)

    def find(self, position: Float[Array, "N 2"], places: Float[Array, "M 2"], near: Near) -> Items:
        crowd = self.look(places, position, 1, self.reach).touching
        collected = (crowd >= self.needed).astype(jnp.float32)
        pays = collected / jnp.maximum(crowd, 1.0)
        return Items(
            crowd,
            collected,
            self.look(position, places, self.items_seen, self.reach, weight=pays),
        )

    def observe(self, state: SwarmState) -> Float[Array, "N D"]:
        """Of each item where it is, as a share of `sight`, how many robots are within its reach, as
        a share of `needed`, and 1; four zeros where there is none."""
        crowd, _, near = state.found
        here = near.present[..., None]
        filled = crowd[near.index][..., None] / self.needed
        each = jnp.concatenate([near.apart / self.sight, filled, jnp.ones_like(filled)], -1)
        return jnp.where(here, each, 0.0).reshape(self.num_agents, -1)

    def reward(self, before: SwarmState, after: SwarmState) -> Float[Array, "N"]:
        return after.found.near.touching

    def measure(self, state: SwarmState) -> dict[str, Array]:
        collected = state.found.collected.sum() / self.num_agents
        return {"collected": collected, "collisions": state.near.touching.mean()}

    def locate(self, state: SwarmState) -> Places:
        """Who collects an item: they come and go, so that they are one goal, counted each step."""
        collects = state.found.near.touching[:, None] > 0
        return Places(state.position, collects, names=("an item",), counts="mean")

    def wish(self, state: SwarmState) -> Float[Array, "N 2"]:
        """To the nearest item, where those who wait at one already make it nearer; to the
        neighbours' middle where no item is in sight."""
        crowd, _, items = state.found
        mine = items.distance < self.reach
        waiting = jnp.minimum(crowd[items.index] - mine, self.needed - 1.0)
        far = items.distance - COMPANY * waiting
        best = jnp.argmin(far, 1)[:, None, None]
        way = jnp.take_along_axis(items.apart, best, 1)[:, 0]
        way = jnp.where(items.present.any(1)[:, None], way, state.near.apart.mean(1))
        far = jnp.maximum(jnp.hypot(*way.T)[:, None], 1e-8)
        way = way * jnp.maximum(1.0 - ENOUGH * self.reach / far, 0.0)
        return GAIN * (way + apart_from(state, ROOM)) - BRAKE * state.velocity

    def marks(self, state: SwarmState) -> list[Shape]:
        colors = [palette.GREEN if c else palette.YELLOW for c in np.asarray(state.found.collected)]
        places = np.asarray(state.places)
        return [
            shape
            for place, color in zip(places, colors)
            for radius in (0.05, self.reach)
            for shape in rings(place[None], radius, color)
        ]
