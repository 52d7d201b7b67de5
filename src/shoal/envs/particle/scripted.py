"""Parts of the hand-written controllers: who goes where, and how to get there."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from shoal.envs.particle.scene import Many, Scene, each

if TYPE_CHECKING:
    from shoal.envs.particle.world import ParticleWorld

EXHAUSTIVE = 6  # up to this many agents every assignment is tried
GAIN, DAMPING = 12.0, 2.4  # full force until 0.08 from the target; brakes for a fifth of a second
REPULSION = 24.0
REST = 0.3  # a discrete agent whose wanted force is below this stays


def assign(agents: Many, marks: Many) -> Int[Array, "N"]:
    """For each of N agents the index of one of N landmarks, all different, by least total distance
    (for many agents greedily, the closest free pair first)."""
    n = len(agents)
    cost = jnp.stack(each(lambda a: jnp.stack([jnp.hypot(*(a - m)) for m in marks]), agents))
    if n <= EXHAUSTIVE:
        orders = jnp.array(list(itertools.permutations(range(n))))
        return orders[cost[jnp.arange(n), orders].sum(-1).argmin()]
    chosen = jnp.zeros(n, jnp.int32)
    for _ in range(n):
        i, k = jnp.divmod(cost.argmin(), n)
        chosen = chosen.at[i].set(k)
        cost = cost.at[i].set(jnp.inf).at[:, k].set(jnp.inf)
    return chosen


def steer(
    world: ParticleWorld,
    scene: Scene,
    targets: Many,
    words: dict[int, Array] | None = None,
    clearance: Array | float = 0.0,
) -> Array:
    """Everyone's action: towards its target by PD control, off whoever is (or will be, a step
    later) nearer than `clearance`, and saying its word, the index of a symbol, if it has one."""

    def drive(me: Array, v: Array, target: Array) -> Array:
        force = pull(target - me, v)
        for other, u in zip(scene.agents, scene.velocity):
            apart = me - other + world.dt * (v - u)  # from itself 0: it does not push itself
            gap = jnp.maximum(jnp.hypot(*apart), 1e-8)
            force = force + REPULSION * jnp.maximum(clearance - gap, 0.0) * apart / gap
        return force

    return act(world, each(drive, scene.agents, scene.velocity, targets), words)


def pull(error: Float[Array, "2"], velocity: Float[Array, "2"]) -> Float[Array, "2"]:
    """The force of a PD controller that wants to close `error`."""
    return GAIN * error - DAMPING * velocity


def act(world: ParticleWorld, forces: Many, words: dict[int, Array] | None = None) -> Array:
    """Forces, where 1 is all that an agent can give along an axis, and words as actions."""
    words = words or {}
    actions = []
    for i, (body, force) in enumerate(zip(world.agents, forces)):
        word = words[i] if i in words else jnp.zeros((), jnp.int32)
        if world.continuous_actions:
            moves = continuous(force) if body.movable else jnp.zeros(0)
            speech = jax.nn.one_hot(word, world.channel * body.speaks)
            actions.append(jnp.concatenate([moves, speech]))
        else:
            move, count = (discrete(force), 5) if body.movable else (0, 1)
            actions.append(move + count * word)
    if world.continuous_actions:
        width = max(len(a) for a in actions)
        actions = [jnp.pad(a, (0, width - len(a))) for a in actions]
    return jnp.stack(actions)


def continuous(force: Float[Array, "2"]) -> Float[Array, "5"]:
    """A force as the five numbers of a continuous action: nothing, left, right, down, up."""
    plus, minus = jnp.clip(force, 0, 1), jnp.clip(-force, 0, 1)
    return jnp.stack([jnp.zeros(()), minus[0], plus[0], minus[1], plus[1]])


def discrete(force: Float[Array, "2"]) -> Int[Array, ""]:
    """The move nearest to a force: along its larger part, or none where the force is small."""
    (x, y), (size_x, size_y) = force, jnp.abs(force)
    move = jnp.where(size_x > size_y, jnp.where(x < 0, 1, 2), jnp.where(y < 0, 3, 4))
    return jnp.where(jnp.maximum(size_x, size_y) < REST, 0, move)
