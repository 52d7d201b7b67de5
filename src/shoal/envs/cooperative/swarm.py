"""What all swarm worlds share: N discs in a square, what each sees of the others, and one step.

    v <- limit((1 - damping) v + dt (acceleration a + contact_force overlap), max_speed)
    x <- x + dt v

`overlap` is the sum over robots that touch of how deep they do, away from them. The square grows
with N at constant density, and a robot sees only what is near, so that neither what it sees nor
what it is paid depends on N: one policy with shared parameters, without agents' numbers, acts in a
swarm of any size. The same holds for the summary that central critics read.

Swarms as a problem for learners: Huettenrauch et al. 2019, arXiv:1807.06613.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, Places, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction, NonNegative, Positive, check_fields
from shoal.core.picture import Picture, Shape
from shoal.core.spaces import Box, Discrete
from shoal.envs.cooperative.neighbours import Near, find_near
from shoal.envs.cooperative.swarm_picture import draw_swarm
from shoal.envs.particle.physics import MOVES
from shoal.envs.particle.scene import limit
from shoal.envs.particle.scripted import continuous, discrete

BLOCKS = 6  # the summary counts robots in BLOCKS x BLOCKS blocks of the square


class SwarmState(eqx.Module):
    """Robots and M places (items, goals, obstacles: the world's), and what follows from where they
    are: who is near whom, and what else the world works out once a step. `at` makes it whole."""

    position: Float[Array, "N 2"]  # metres, in [0, side]^2
    velocity: Float[Array, "N 2"]  # metres a second
    places: Float[Array, "M 2"]
    near: Near
    found: Any
    time: Int[Array, ""]


class SwarmWorld(Env):
    """Physics, actions, neighbours and the summary; a subclass adds what else robots see and what
    they are paid for. Nobody sees the time: the horizon cuts an episode, it does not end it.

    Actions:
        One of 5: nothing, left, right, down, up. Continuous actions are five numbers in [0, 1], one
        for each, opposite ones against each other.
    """

    name: eqx.AbstractClassVar[str]
    torus: eqx.AbstractClassVar[bool]  # whether opposite edges are one, or walls
    metric_reductions: eqx.AbstractClassVar[tuple[tuple[str, str], ...]]

    num_agents: Count = eqx.field(static=True, default=20)
    """Robots."""
    continuous_actions: bool = eqx.field(static=True, default=False)
    """Five numbers in [0, 1] as an action, nothing, left, right, down, up, instead of one of five
    moves."""
    horizon: Count = eqx.field(static=True, default=50)
    """Steps of an episode."""
    density: Positive = eqx.field(static=True, default=1.0)
    """Robots a square metre: the area is `num_agents / density`."""
    sight: Positive = eqx.field(static=True, default=1.5)
    """How far a robot sees, in metres."""
    neighbours: Count = eqx.field(static=True, default=6)
    """How many robots it sees at most, the nearest ones."""
    robot_radius: Positive = eqx.field(static=True, default=0.1)
    """Radius of a robot, in metres."""
    max_speed: Positive = 1.0
    """Metres a second."""
    acceleration: Positive = 5.0
    """Of a full move, in metres a second squared."""
    damping: Fraction = 0.25
    """Share of its velocity that a robot loses in a step; 1 makes moves velocities."""
    contact_force: NonNegative = 30.0
    """Acceleration for each metre that two robots overlap, in 1 / s^2."""
    dt: Positive = 0.1
    """Seconds a step."""

    def __post_init__(self):
        check_fields(self)  # before anything is worked out of them
        require(
            self.sight >= 2 * self.robot_radius,
            f"sight is {self.sight}, expected at least a robot's diameter, {2 * self.robot_radius}",
        )

    # What a world says of itself.

    def start(self, key: PRNGKeyArray) -> tuple[Float[Array, "N 2"], Float[Array, "M 2"]]:
        """Where robots start, and the places of an episode; none unless a world has some."""
        return self.scatter(key, self.num_agents), jnp.zeros((0, 2))

    def next_places(self, key: PRNGKeyArray, state: SwarmState) -> Float[Array, "M 2"]:
        """The places of the next step."""
        return state.places

    def find(self, position: Float[Array, "N 2"], places: Float[Array, "M 2"], near: Near) -> Any:
        """What a world works out once a step and keeps in the state."""
        return ()

    def push(self, state: SwarmState) -> Float[Array, "N 2"]:
        """Overlap with what are not robots, in metres."""
        return jnp.zeros((self.num_agents, 2))

    @abc.abstractmethod
    def observe(self, state: SwarmState) -> Float[Array, "N D"]:
        """What robots see besides their own velocity, walls and neighbours."""

    @abc.abstractmethod
    def reward(self, before: SwarmState, after: SwarmState) -> Float[Array, "N"]:
        """What the step pays each robot."""

    @abc.abstractmethod
    def measure(self, state: SwarmState) -> dict[str, Array]:
        """Domain metrics of this step, named as in `metric_reductions`."""

    @abc.abstractmethod
    def wish(self, state: SwarmState) -> Float[Array, "N 2"]:
        """The hand-written controller's forces, where 1 is all that a robot can give on an axis."""

    def marks(self, state: SwarmState) -> list[Shape]:
        """What a picture shows below the robots."""
        return []

    # What follows from it.

    @property
    def side(self) -> float:
        """Length of the square's side, in metres."""
        return math.sqrt(self.num_agents / self.density)

    @property
    def spec(self) -> EnvSpec:
        _, shown = jax.eval_shape(self.reset, jax.random.key(0))
        n, moves = self.num_agents, (MOVES,) * self.num_agents
        return EnvSpec(
            name=self.name,
            agents=tuple(f"robot_{i}" for i in range(n)),
            obs_sizes=(shown.obs.shape[-1],) * n,
            action=Box(0.0, 1.0, moves) if self.continuous_actions else Discrete(moves),
            state_size=shown.global_state.shape[0],
            horizon=self.horizon,
            metrics=self.metric_reductions,
        )

    def scatter(self, key: PRNGKeyArray, count: int) -> Float[Array, "M 2"]:
        """`count` points anywhere in the square."""
        return self.side * jax.random.uniform(key, (count, 2))

    def at(
        self,
        position: Float[Array, "N 2"],
        velocity: Float[Array, "N 2"],
        places: Float[Array, "M 2"],
        time: Int[Array, ""] | int = 0,
    ) -> SwarmState:
        """The state with everything there."""
        near = self.look(position, position, self.neighbours, 2 * self.robot_radius, others=True)
        found = self.find(position, places, near)
        return SwarmState(position, velocity, places, near, found, jnp.asarray(time, jnp.int32))

    def look(self, places: Array, points: Array, count: int, touch: Any, **which: Any) -> Near:
        """The `count` nearest points in sight of each place, and those nearer than `touch`."""
        shape = {"side": self.side, "sight": self.sight, "torus": self.torus}
        return find_near(places, points, count=count, touch=touch, **shape, **which)

    def reset(self, key: PRNGKeyArray) -> tuple[SwarmState, TimeStep]:
        position, places = self.start(key)
        state = self.at(position, jnp.zeros_like(position), places)
        return state, self._show(state, jnp.zeros(self.num_agents))

    def step(
        self, key: PRNGKeyArray, state: SwarmState, action: Action
    ) -> tuple[SwarmState, TimeStep]:
        overlap = state.near.overlap + self.push(state)
        force = self.acceleration * self._moves(action) + self.contact_force * overlap
        velocity = (1 - self.damping) * state.velocity + self.dt * force
        velocity = jax.vmap(limit, (0, None))(velocity, self.max_speed)
        position = state.position + self.dt * velocity
        if self.torus:
            position = position % self.side
        else:  # who meets a wall stops there
            position = jnp.clip(position, 0.0, self.side)
            velocity = (position - state.position) / self.dt
        # Without them the compiler works out the physics again for every part that reads them.
        position, velocity = jax.lax.optimization_barrier((position, velocity))
        after = self.at(position, velocity, self.next_places(key, state), state.time + 1)
        after = jax.lax.optimization_barrier(after)
        return after, self._show(after, self.reward(state, after))

    def _moves(self, action: Action) -> Float[Array, "N 2"]:
        if not self.continuous_actions:
            action = jax.nn.one_hot(action, MOVES)
        a = jnp.clip(action, 0.0, 1.0)
        return a[:, 2::2] - a[:, 1::2]

    def scripted(self, state: SwarmState) -> Action:
        """The hand-written controller, which `wish` describes."""
        return jax.vmap(continuous if self.continuous_actions else discrete)(self.wish(state))

    def to_walls(self, position: Float[Array, "N 2"]) -> Float[Array, "N 4"]:
        """The distances to the left, lower, right and upper wall as shares of `sight`; 1 is out of
        sight."""
        both = jnp.concatenate([position, self.side - position], 1)
        return jnp.minimum(both / self.sight, 1.0)

    def to_neighbours(self, state: SwarmState) -> Float[Array, "N D"]:
        """Of each neighbour where it is and how it moves, relative to the robot, as shares of
        `sight` and of `max_speed`, and 1; five zeros where there is none."""
        near = state.near
        here = near.present[..., None]
        speed = (state.velocity[near.index] - state.velocity[:, None]) / self.max_speed
        each = jnp.concatenate([near.apart / self.sight, speed, jnp.ones_like(here, float)], -1)
        return jnp.where(here, each, 0.0).reshape(self.num_agents, -1)

    def global_state(self, state: SwarmState) -> Float[Array, "S"]:
        """A summary of the same size at any N: the swarm's mean velocity and speed as shares of
        `max_speed`, its polarisation, how many touch a robot; how many robots are in each of the
        blocks of the square, as shares of the mean; and the step's metrics."""
        speed = jnp.hypot(*state.velocity.T).mean() / self.max_speed
        drift = state.velocity.mean(0) / self.max_speed
        order = jnp.stack([*drift, speed, polarisation(state.velocity), state.near.touching.mean()])
        block = jnp.clip(state.position * (BLOCKS / self.side), 0, BLOCKS - 1).astype(jnp.int32)
        column, row = jax.nn.one_hot(block.T, BLOCKS)
        crowd = jnp.einsum("nx,ny->xy", column, row) * (BLOCKS**2 / self.num_agents)
        return jnp.concatenate(
            [order, crowd.reshape(-1), jnp.stack([*self._metrics(state).values()])]
        )

    def locate(self, state: SwarmState) -> Places:
        return Places(state.position)

    def draw(self, state: SwarmState) -> Picture:
        return draw_swarm(self, state)

    def _metrics(self, state: SwarmState) -> dict[str, Float[Array, ""]]:
        return {k: jnp.asarray(x, jnp.float32) for k, x in self.measure(state).items()}

    def _show(self, state: SwarmState, reward: Float[Array, "N"]) -> TimeStep:
        walls = [] if self.torus else [self.to_walls(state.position)]
        own = [state.velocity / self.max_speed, *walls, self.to_neighbours(state)]
        return TimeStep.of(
            jnp.concatenate([*own, self.observe(state)], 1),
            reward=reward,
            truncated=state.time >= self.horizon,
            global_state=self.global_state(state),
            metrics=self._metrics(state),
        )


def polarisation(velocity: Float[Array, "N 2"]) -> Float[Array, ""]:
    """How far robots head the same way: the length of their mean heading, from 0 to 1. Who stands
    has no heading, and counts as 0."""
    speed = jnp.hypot(*velocity.T)[:, None]
    heading = jnp.where(speed > 1e-6, velocity / jnp.maximum(speed, 1e-6), 0.0)
    return jnp.hypot(*heading.mean(0))


def apart_from(state: SwarmState, spacing: Float[Array, ""] | float) -> Float[Array, "N 2"]:
    """A push away from each neighbour that is nearer than `spacing`, 1 at no distance."""
    gap = jnp.maximum(state.near.distance, 1e-8)[..., None]
    weight = jnp.maximum(1.0 - gap / spacing, 0.0)
    return -(weight * state.near.apart / gap).sum(1)
