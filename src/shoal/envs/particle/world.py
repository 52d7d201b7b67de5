"""The physics that all particle worlds share (Lowe et al. 2017, arXiv:1706.02275; `mpe2` 1.1).

Discs in the plane with damped motion and soft contacts. A world is described by its bodies; a
subclass adds what agents see and what they are paid for. Entities are handled one by one, not as a
padded array: the compiler fuses the lot, and one environment costs under a microsecond.
"""

import abc
import functools
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.limits import Count, Fraction, NonNegative, Positive
from shoal.core.picture import Picture, Shape
from shoal.core.spaces import Box, Discrete
from shoal.envs.particle import palette
from shoal.envs.particle.drawing import default_goal_marks, draw_world

MOVES = 5  # stay, left, right, down, up
REACHED = 0.1  # who is this near to a place is there: what `success` means, not what is paid
Vector = Float[Array, "2"]
Number = Float[Array, ""] | float


class Body(NamedTuple):
    """A disc. `acceleration` is the force of a full action; `max_speed` of `None` is no limit."""

    name: str
    size: Number = 0.05
    movable: bool = True
    collides: bool = True
    acceleration: Number = 5.0
    max_speed: Number | None = None
    speaks: bool = False
    role: int = 0
    team: int = 0
    color: str = palette.BLUE


def landmark(
    name: str, size: Number = 0.05, collides: bool = False, color: str = palette.GRAY
) -> Body:
    """A body that stays where it is."""
    return Body(name, size, movable=False, collides=collides, color=color)


class ParticleState(eqx.Module):
    """E entities, the N agents first, then the landmarks; C is the width of the channel."""

    position: Float[Array, "E 2"]
    velocity: Float[Array, "N 2"]
    message: Float[Array, "N C"]
    goal: Int[Array, "G"]  # which landmark is whose goal; its meaning is the world's
    time: Int[Array, ""]


class Scene(NamedTuple):
    """A state taken apart: one vector an entity."""

    agents: list[Vector]
    landmarks: list[Vector]
    velocity: list[Vector]
    message: list[Float[Array, "C"]]
    goal: list[Int[Array, ""]]

    def pick(self, goal: Int[Array, ""]) -> Vector:
        """The position of the landmark with that index."""
        return choose(goal, self.landmarks)

    def to_landmarks(self, i: int) -> list[Vector]:
        """From agent `i` to every landmark."""
        return [mark - self.agents[i] for mark in self.landmarks]

    def to_others(self, i: int) -> list[Vector]:
        """From agent `i` to every other agent."""
        return [other - self.agents[i] for j, other in enumerate(self.agents) if j != i]


def choose(index: Int[Array, ""], options: Sequence[Array] | Array) -> Array:
    """`options[index]` by selects, which fuse where a gather would not."""
    out = options[0]
    for k, option in enumerate(options[1:], 1):
        out = jnp.where(index == k, option, out)
    return out


def squared_norm(x: Vector) -> Float[Array, ""]:
    """The length of a vector, squared."""
    return x[0] * x[0] + x[1] * x[1]


def norm(x: Vector) -> Float[Array, ""]:
    """The length of a vector."""
    return jnp.sqrt(squared_norm(x))


def distance(a: Vector, b: Vector) -> Float[Array, ""]:
    """The distance between two points."""
    return norm(a - b)


def nearest(me: Vector, others: list[Vector]) -> Float[Array, ""]:
    """How far the nearest of `others` is. One root: each would be a kernel of its own."""
    return jnp.sqrt(functools.reduce(jnp.minimum, [squared_norm(x - me) for x in others]))


def limit(v: Vector, max_speed: Number | None) -> Vector:
    """The velocity, shortened to `max_speed` where it is longer."""
    if max_speed is None:
        return v
    speed = norm(v)
    return jnp.where(speed > max_speed, v / jnp.maximum(speed, 1e-8) * max_speed, v)


def overlap(a: Vector, b: Vector, sizes: Number) -> Float[Array, ""]:
    """1 where two discs whose radii add up to `sizes` overlap, 0 elsewhere."""
    return (squared_norm(a - b) < sizes * sizes).astype(jnp.float32)


class ParticleWorld(Env):
    """Physics, actions, resets and padding. Subclasses say what is in the world."""

    name: eqx.AbstractClassVar[str]
    channel: eqx.AbstractClassVar[int]  # C: the width of a message
    spread: eqx.AbstractClassVar[float]  # landmarks start in [-spread, spread]^2
    metric_reductions: eqx.AbstractClassVar[tuple[tuple[str, str], ...]]

    continuous_actions: bool = eqx.field(static=True, default=False)
    horizon: Count = eqx.field(static=True, default=25)
    dt: Positive = 0.1
    damping: Fraction = 0.25
    contact_force: NonNegative = 100.0
    contact_margin: Positive = 1e-3

    # What a world says of itself.

    @property
    @abc.abstractmethod
    def agents(self) -> tuple[Body, ...]: ...

    @property
    @abc.abstractmethod
    def landmarks(self) -> tuple[Body, ...]: ...

    @abc.abstractmethod
    def observe(self, scene: Scene) -> list[Float[Array, "D_i"]]:
        """What each agent sees."""

    @abc.abstractmethod
    def reward(self, scene: Scene) -> list[Number]:
        """What each agent is paid."""

    @abc.abstractmethod
    def measure(self, scene: Scene) -> dict[str, Array | float]:
        """Domain metrics of this step, named as in `metric_reductions`."""

    @abc.abstractmethod
    def scripted(self, state: ParticleState) -> Action:
        """A hand-written controller that sees the whole state: a score to compare with."""

    @property
    def goals(self) -> tuple[int, ...]:
        """For each random choice of an episode, among how many it is made."""
        return ()

    # What follows from it.

    @property
    def spec(self) -> EnvSpec:
        bodies = self.agents
        state = jax.eval_shape(lambda: self._draw(jax.random.key(0)))
        scene = jax.eval_shape(lambda s: tuple(self.observe(self.scene(s))), state)
        return EnvSpec(
            name=self.name,
            agents=tuple(b.name for b in bodies),
            teams=tuple(b.team for b in bodies),
            roles=tuple(b.role for b in bodies),
            obs_sizes=tuple(o.shape[0] for o in scene),
            action=self._action_space(),
            state_size=jax.eval_shape(self.global_state, state).shape[0],
            horizon=self.horizon,
            metrics=self.metric_reductions,
        )

    def _action_space(self) -> Discrete | Box:
        if self.continuous_actions:
            sizes = (MOVES * b.movable + self.channel * b.speaks for b in self.agents)
            return Box(0.0, 1.0, tuple(sizes))
        sizes = (
            (MOVES if b.movable else 1) * (self.channel if b.speaks else 1) for b in self.agents
        )
        return Discrete(tuple(sizes))

    def scene(self, state: ParticleState) -> Scene:
        """Takes a state apart."""
        n = len(self.agents)
        points = [state.position[i] for i in range(n + len(self.landmarks))]
        return Scene(
            points[:n],
            points[n:],
            [state.velocity[i] for i in range(n)],
            [state.message[i] for i in range(n)],
            [state.goal[i] for i in range(len(self.goals))],
        )

    def _draw(self, key: PRNGKeyArray) -> ParticleState:
        n, m = len(self.agents), len(self.landmarks)
        key_position, key_goal = jax.random.split(key)
        position = jax.random.uniform(key_position, (n + m, 2), minval=-1.0, maxval=1.0)
        if self.spread != 1.0:
            position = jnp.concatenate([position[:n], self.spread * position[n:]])
        goal = jnp.zeros((0,), jnp.int32)
        if self.goals:
            goal = jax.random.randint(key_goal, (len(self.goals),), 0, jnp.array(self.goals))
        zero = jnp.zeros((n, 2))
        return ParticleState(position, zero, jnp.zeros((n, self.channel)), goal, jnp.int32(0))

    def reset(self, key: PRNGKeyArray) -> tuple[ParticleState, TimeStep]:
        state = self._draw(key)
        return state, self._show(state, self.scene(state), jnp.zeros(len(self.agents)))

    def step(
        self, key: PRNGKeyArray, state: ParticleState, action: Action
    ) -> tuple[ParticleState, TimeStep]:
        del key  # the worlds are deterministic between resets
        force, message = self._controls(action)
        scene = self.scene(state)
        force = self._contacts(scene, force)
        position, velocity = [], []
        for body, p, v, f in zip(self.agents, scene.agents, scene.velocity, force):
            if body.movable:
                p = p + v * self.dt
                v = limit(v * (1 - self.damping) + f * self.dt, body.max_speed)
            position.append(p)
            velocity.append(v)
        state = ParticleState(
            jnp.stack(position + scene.landmarks),
            jnp.stack(velocity),
            message,
            state.goal,
            state.time + 1,
        )
        # Without it the compiler works out the physics again for every part of the observations.
        state = jax.lax.optimization_barrier(state)
        scene = self.scene(state)
        reward = jnp.stack([jnp.asarray(r, jnp.float32) for r in self.reward(scene)])
        return state, self._show(state, scene, reward)

    def _controls(self, action: Action) -> tuple[list[Vector], Float[Array, "N C"]]:
        """Forces and messages that the agents ask for."""
        forces, messages = [], []
        for i, body in enumerate(self.agents):
            if self.continuous_actions:
                a = jnp.clip(action[i], 0.0, 1.0)
                move = jnp.stack([a[2] - a[1], a[4] - a[3]])
                start = MOVES if body.movable else 0
                word = a[start : start + self.channel]
            else:
                m, w = (action[i] % MOVES, action[i] // MOVES) if body.movable else (0, action[i])
                move = jnp.stack([_sign(m, 2, 1), _sign(m, 4, 3)])
                word = (w == jnp.arange(self.channel)).astype(jnp.float32)
            forces.append(move * body.acceleration if body.movable else jnp.zeros(2))
            messages.append(word if body.speaks else jnp.zeros(self.channel))
        return forces, jnp.stack(messages)

    def _contacts(self, scene: Scene, force: list[Vector]) -> list[Vector]:
        """Adds the soft repulsion of every pair of bodies that touch."""
        bodies, points = self.agents + self.landmarks, scene.agents + scene.landmarks
        force = list(force)
        for i, a in enumerate(bodies):
            for j, b in enumerate(bodies[:i]):
                if not (a.collides and b.collides and (a.movable or b.movable)):
                    continue
                apart = points[i] - points[j]
                gap = jnp.maximum(norm(apart), 1e-8)  # bodies in the same place do not push
                k = self.contact_margin
                push = self.contact_force * k * _softplus((a.size + b.size - gap) / k) / gap
                if a.movable:
                    force[i] = force[i] + push * apart
                if b.movable:
                    force[j] = force[j] - push * apart
        return force

    def global_state(self, state: ParticleState) -> Float[Array, "S"]:
        """Every position, velocity, message and goal, for centralised critics."""
        goals = [(g == jnp.arange(k)).astype(jnp.float32) for g, k in zip(state.goal, self.goals)]
        speaks = [state.message[i] for i, b in enumerate(self.agents) if b.speaks]
        parts = [state.position.reshape(-1), state.velocity.reshape(-1), *speaks, *goals]
        return jnp.concatenate(parts)

    def goal_marks(self, scene: Scene) -> list[Shape]:
        """What shows the goals of an episode in a picture, drawn over the landmarks."""
        return default_goal_marks(self, scene.goal, scene.landmarks)

    def draw(self, state: ParticleState) -> Picture:
        return draw_world(self, state)

    def _show(self, state: ParticleState, scene: Scene, reward: Float[Array, "N"]) -> TimeStep:
        n = len(self.agents)
        obs = self.observe(scene)
        width = max(o.shape[0] for o in obs)
        obs = [o if o.shape[0] == width else jnp.pad(o, (0, width - o.shape[0])) for o in obs]
        space = self._action_space()
        padded = isinstance(space, Discrete) and len(set(space.sizes)) > 1
        return TimeStep(
            obs=jnp.stack(obs),
            reward=reward,
            terminated=jnp.zeros(n, bool),
            truncated=jnp.full(n, state.time >= self.horizon),
            active=jnp.ones(n, bool),
            action_mask=jnp.asarray(space.mask) if padded else None,
            global_state=self.global_state(state),
            metrics={k: jnp.asarray(v, jnp.float32) for k, v in self.measure(scene).items()},
        )


def _sign(move: Int[Array, ""] | int, plus: int, minus: int) -> Float[Array, ""]:
    return jnp.float32(move == plus) - jnp.float32(move == minus)


def _softplus(x: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))
