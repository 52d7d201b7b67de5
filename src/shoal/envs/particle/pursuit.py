"""What the two predator-prey worlds share: contacts, the edge of the world, hunting and fleeing.

Predators come first among the agents, prey last.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.core.limits import Count, Natural, Positive
from shoal.envs.particle import palette
from shoal.envs.particle.scene import Many, Number, Scene, Vector, distance, each, limit
from shoal.envs.particle.scripted import pull
from shoal.envs.particle.world import Body, ParticleWorld, landmark

LEAD = 0.5  # how many seconds ahead of its prey a predator runs at most
FORESIGHT = 5  # how many steps ahead prey looks
FEAR, SHY = 3.0, 0.05  # what a predator's touch costs prey, and how fast that fades with distance
BLOCKED = 10.0  # what it costs to run into an obstacle
FORCES = np.array([(x, y) for x in (0, 1, -1) for y in (0, 1, -1)], np.float32)


class Pursuit(ParticleWorld):
    """A world of predators and prey among obstacles: how many, how large and how fast."""

    num_good: Count = eqx.field(static=True, default=1)
    """Prey."""
    num_adversaries: Count = eqx.field(static=True, default=3)
    """Predators."""
    num_obstacles: Natural = eqx.field(static=True, default=2)
    """Fixed discs."""
    agent_size: Positive = 0.05
    """Radius of a prey, in world units."""
    agent_acceleration: Positive = 4.0
    """Acceleration of a prey's full move, in world units a second squared."""
    agent_max_speed: Positive = 1.3
    """Top speed of a prey, in world units a second."""
    adversary_size: Positive = 0.075
    """Radius of a predator, in world units."""
    adversary_acceleration: Positive = 3.0
    """Acceleration of a predator's full move, in world units a second squared."""
    adversary_max_speed: Positive = 1.0
    """Top speed of a predator, in world units a second."""
    obstacle_size: Positive = 0.2
    """Radius of an obstacle, in world units."""

    spread = 0.9

    @property
    def predator(self) -> Body:
        """One of the hunters."""
        return Body(
            "adversary_{}",
            self.adversary_size,
            acceleration=self.adversary_acceleration,
            max_speed=self.adversary_max_speed,
            color=palette.RED,
        )

    @property
    def prey(self) -> Body:
        """One of the hunted."""
        return Body(
            "agent_{}",
            self.agent_size,
            acceleration=self.agent_acceleration,
            max_speed=self.agent_max_speed,
            role=1,
            team=1,
            color=palette.GREEN,
        )

    @property
    def obstacle(self) -> Body:
        """A disc in everybody's way."""
        return landmark("landmark {}", self.obstacle_size, True, palette.SLATE)


def copies(body: Body, count: int) -> tuple[Body, ...]:
    """`count` bodies alike, numbered where the name has `{}`."""
    return tuple(body._replace(name=body.name.format(i)) for i in range(count))


def outside(place: Vector) -> Float[Array, ""]:
    """What it costs to leave: on each axis nothing up to 0.9, then a ramp that reaches 1 at the
    edge, then `exp(2 x - 2)`, but no more than 10."""
    x = jnp.abs(place)
    cost = jnp.where(x < 1.0, 10 * (x - 0.9), jnp.minimum(jnp.exp(2 * x - 2), 10.0))
    cost = jnp.where(x < 0.9, 0.0, cost)
    return cost[0] + cost[1]  # as in all that is measured here: a reduction would not be fused


def escaped(prey: Many) -> Float[Array, ""]:
    """The share of prey that is outside of the arena."""
    return jnp.stack(each(lambda me: jnp.maximum(*jnp.abs(me)) > 1.0, prey)).mean()


def chase(scene: Scene, predators: int, speed: Number) -> Many:
    """The forces of predators that run with `speed`: each to where it meets the prey nearest to it,
    which is ahead of the prey by the time that the way there takes."""
    prey, velocity = jnp.stack(scene.agents[predators:]), jnp.stack(scene.velocity[predators:])

    def hunt(me: Vector, v: Vector) -> Vector:
        away = jax.vmap(distance, (None, 0))(me, prey)
        k = away.argmin()
        meeting = prey[k] + jnp.minimum(away[k] / speed, LEAD) * velocity[k]
        return pull(meeting - me, v)

    return each(hunt, scene.agents[:predators], scene.velocity[:predators])


def escape(
    world: ParticleWorld,
    scene: Scene,
    predators: int,
    speed: Number,
    worth: Callable[[Vector], Number],
) -> Many:
    """The prey's forces: each takes the one that serves it best if kept up for `FORESIGHT` steps.

    All predators are taken to run straight at it with `speed`. A place is worth what `worth` says
    of it, less what the edge and the nearness of predators cost.
    """
    forces = jnp.asarray(
        FORCES if world.continuous_actions else FORCES[np.abs(FORCES).sum(-1) <= 1]
    )
    hunters = jnp.stack(scene.agents[:predators])

    def flee(me: Vector, v: Vector) -> Vector:
        value = jax.vmap(partial(_outlook, world, hunters, me, v, speed, worth))(forces)
        return forces[value.argmax()]

    return each(flee, scene.agents[predators:], scene.velocity[predators:])


def _outlook(
    world: ParticleWorld,
    hunters: Float[Array, "P 2"],
    place: Vector,
    velocity: Vector,
    speed: Number,
    worth: Callable[[Vector], Number],
    force: Vector,
) -> Float[Array, ""]:
    """What the next places of a prey are worth together, if it keeps up `force`."""
    hunter, body = world.agents[len(hunters) - 1], world.agents[-1]

    def ahead(carry, _):
        p, v, hunters = carry
        p = p + world.dt * v
        v = v * (1 - world.damping) + world.dt * body.acceleration * force
        away = jax.vmap(distance, (None, 0))(p, hunters)[:, None]
        stride = jnp.minimum(speed * world.dt / jnp.maximum(away, 1e-8), 1.0)
        gap = jnp.maximum(away - hunter.size - body.size, 0.0)
        value = worth(p) - outside(p) - FEAR * jnp.exp(-gap / SHY).sum()
        return (p, limit(v, body.max_speed), hunters + stride * (p - hunters)), value

    start = (place, velocity, hunters)
    return jax.lax.scan(ahead, start, None, FORESIGHT)[1].sum()
