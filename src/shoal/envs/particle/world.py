"""The physics that all particle worlds share (Lowe et al. 2017, arXiv:1706.02275; `mpe2` 1.1).

Discs in the plane with damped motion and soft contacts. A world is described by its bodies; a
subclass adds what agents see and what they are paid for. A small world is stepped body by body, a
large one on arrays: `scene.py` says how both are written once, `physics.py` what differs.
"""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, Places, TimeStep
from shoal.core.limits import Count, Fraction, NonNegative, Positive
from shoal.core.picture import Picture, Shape
from shoal.core.spaces import Box, Discrete
from shoal.envs.particle import palette
from shoal.envs.particle.drawing import default_goal_marks, draw_world
from shoal.envs.particle.physics import MOVES, advance
from shoal.envs.particle.scene import Many, Number, Scene, Vector, chain

UNROLLED = 10  # a world of at most so many bodies is stepped body by body, a larger one on arrays
REACHED = 0.1  # who is this near to a place is there: what `success` means, not what is paid


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


class ParticleWorld(Env):
    """Physics, actions, resets and padding. Subclasses say what is in the world.

    Actions:
        Who moves chooses among 5: nothing, left, right, down, up. Who speaks says one of C symbols.
        Who does both chooses among all pairs, `move + 5 * symbol`. Continuous actions are numbers
        in [0, 1]: five of the same moves, opposite ones against each other, then C of the message.
        Who does neither has one action, which does nothing.
    """

    name: eqx.AbstractClassVar[str]
    channel: eqx.AbstractClassVar[int]  # C: the width of a message
    spread: eqx.AbstractClassVar[float]  # landmarks start in [-spread, spread]^2
    metric_reductions: eqx.AbstractClassVar[tuple[tuple[str, str], ...]]

    continuous_actions: bool = eqx.field(static=True, default=False)
    """Whether actions are numbers in [0, 1], not one choice."""
    horizon: Count = eqx.field(static=True, default=25)
    """Steps of an episode."""
    dt: Positive = 0.1
    """Seconds a step."""
    damping: Fraction = 0.25
    """Share of its velocity that an agent loses in a step."""
    contact_force: NonNegative = 100.0
    """Strength of the push between bodies that overlap."""
    contact_margin: Positive = 1e-3
    """How softly bodies touch, in world units: within about this distance the push sets in."""

    # What a world says of itself.

    @property
    @abc.abstractmethod
    def agents(self) -> tuple[Body, ...]: ...

    @property
    @abc.abstractmethod
    def landmarks(self) -> tuple[Body, ...]: ...

    @abc.abstractmethod
    def observe(self, scene: Scene) -> Many:
        """What each agent sees: a vector each. In a large world an entry may be an array with a
        row for each of several agents, as `each` and `chain` make it."""

    @abc.abstractmethod
    def reward(self, scene: Scene) -> Many:
        """What each agent is paid: a number each, or in a large world arrays of several."""

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

    def destinations(self, scene: Scene) -> dict[str, Vector]:
        """Where agents should go, by name: to the landmark that an episode chooses, or where it
        chooses none to all that nobody bumps into."""
        if self.goals == (len(self.landmarks),):
            return {"goal": scene.pick(scene.goal[0])}
        places = zip(self.landmarks, scene.landmarks)
        return {body.name: place for body, place in places if not body.collides}

    def serves(self, away: Float[Array, "N G"]) -> Bool[Array, "N G"]:
        """Who is at which destination, by how far it is: of a team the nearest, if it is there."""
        teams = np.array([body.team for body in self.agents])
        own = (teams[:, None] == teams)[..., None]
        return (away < REACHED) & (away <= jnp.where(own, away, jnp.inf).min(1))

    # What follows from it.

    @property
    def spec(self) -> EnvSpec:
        bodies = self.agents
        state = jax.eval_shape(lambda: self._draw(jax.random.key(0)))
        seen = jax.eval_shape(lambda s: chain(self.observe(self.scene(s))), state)
        return EnvSpec(
            name=self.name,
            agents=tuple(b.name for b in bodies),
            teams=tuple(b.team for b in bodies),
            roles=tuple(b.role for b in bodies),
            obs_sizes=tuple(o.shape[-1] for o in seen for _ in range(math.prod(o.shape[:-1]))),
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
        """Takes a state apart: to lists in a small world, to arrays in a large one."""
        n, bodies = len(self.agents), len(self.agents) + len(self.landmarks)
        goal = [state.goal[i] for i in range(len(self.goals))]
        several = state.position, state.velocity, state.message
        if bodies <= UNROLLED:
            several = (list(x) for x in several)
        position, velocity, message = several
        return Scene(position[:n], position[n:], velocity, message, goal)

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
        moved = advance(self, self.scene(state), action)
        state = ParticleState(*moved, state.goal, state.time + 1)
        # Without it the compiler works out the physics again for every part of the observations.
        state = jax.lax.optimization_barrier(state)
        scene = self.scene(state)
        paid = [jnp.asarray(r, jnp.float32) for r in chain(self.reward(scene))]
        return state, self._show(state, scene, jnp.hstack(paid))

    def global_state(self, state: ParticleState) -> Float[Array, "S"]:
        """Every position, velocity, message and goal, for centralised critics."""
        goals = [(g == jnp.arange(k)).astype(jnp.float32) for g, k in zip(state.goal, self.goals)]
        speaks = [state.message[i] for i, b in enumerate(self.agents) if b.speaks]
        parts = [state.position.reshape(-1), state.velocity.reshape(-1), *speaks, *goals]
        return jnp.concatenate(parts)

    def goal_marks(self, scene: Scene) -> list[Shape]:
        """What shows the goals of an episode in a picture, drawn over the landmarks."""
        return default_goal_marks(self, scene.goal, scene.landmarks)

    def locate(self, state: ParticleState) -> Places:
        agents = state.position[: len(self.agents)]
        wanted = self.destinations(self.scene(state))
        if not wanted:
            return Places(agents)
        goals = jnp.stack(list(wanted.values()))
        x, y = (agents[:, None] - goals).transpose(2, 0, 1)
        return Places(agents, self.serves(jnp.hypot(x, y)), goals, tuple(wanted))

    def draw(self, state: ParticleState) -> Picture:
        return draw_world(self, state)

    def _show(self, state: ParticleState, scene: Scene, reward: Float[Array, "N"]) -> TimeStep:
        n = len(self.agents)
        seen = chain(self.observe(scene))
        width = max(o.shape[-1] for o in seen)
        obs = [o if o.shape[-1] == width else _widen(o, width) for o in seen]
        space = self._action_space()
        padded = isinstance(space, Discrete) and len(set(space.sizes)) > 1
        return TimeStep(
            obs=jnp.vstack(obs),
            reward=reward,
            terminated=jnp.zeros(n, bool),
            truncated=jnp.full(n, state.time >= self.horizon),
            active=jnp.ones(n, bool),
            action_mask=jnp.asarray(space.mask) if padded else None,
            global_state=self.global_state(state),
            metrics={k: jnp.asarray(v, jnp.float32) for k, v in self.measure(scene).items()},
        )


def _widen(rows: Float[Array, "*K D"], width: int) -> Float[Array, "*K width"]:
    """Rows with zeros at their ends."""
    return jnp.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, width - rows.shape[-1])])
