"""How the bodies of a particle world move: actions to forces, soft contacts, one step of motion.

A small world goes from body to body: the compiler fuses the lot, and one environment costs under a
microsecond. But that program grows with every pair of bodies, so a large world does the same on
arrays. There the pairs that may touch are the rows of an incidence matrix M, which is 1 at the one
body of a pair and -1 at the other,

    apart = M position,    force += M^T push(apart),

so that two small products take the place of N^2 pieces of program, or of a gather and a scatter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shoal.envs.particle.scene import Scene, Vector, limit, norm

if TYPE_CHECKING:
    from shoal.core.env import Action
    from shoal.envs.particle.world import ParticleWorld

MOVES = 5  # stay, left, right, down, up


class Motion(NamedTuple):
    """What a step makes of the bodies and of what they say."""

    position: Float[Array, "E 2"]
    velocity: Float[Array, "N 2"]
    message: Float[Array, "N C"]


def advance(world: ParticleWorld, scene: Scene, action: Action) -> Motion:
    """One step of motion."""
    return (_one_by_one if isinstance(scene.agents, list) else _at_once)(world, scene, action)


def _one_by_one(world: ParticleWorld, scene: Scene, action: Action) -> Motion:
    force, message = _controls(world, action)
    force = _contacts(world, scene, force)
    position, velocity = [], []
    for body, p, v, f in zip(world.agents, scene.agents, scene.velocity, force):
        if body.movable:
            p = p + v * world.dt
            v = limit(v * (1 - world.damping) + f * world.dt, body.max_speed)
        position.append(p)
        velocity.append(v)
    return Motion(jnp.stack([*position, *scene.landmarks]), jnp.stack(velocity), message)


def _controls(world: ParticleWorld, action: Action) -> tuple[list[Vector], Float[Array, "N C"]]:
    """Forces and messages that the agents ask for."""
    forces, messages = [], []
    for i, body in enumerate(world.agents):
        if world.continuous_actions:
            a = jnp.clip(action[i], 0.0, 1.0)
            move = jnp.stack([a[2] - a[1], a[4] - a[3]])
            start = MOVES if body.movable else 0
            word = a[start : start + world.channel]
        else:
            m, w = (action[i] % MOVES, action[i] // MOVES) if body.movable else (0, action[i])
            move = jnp.stack([_sign(m, 2, 1), _sign(m, 4, 3)])
            word = (w == jnp.arange(world.channel)).astype(jnp.float32)
        forces.append(move * body.acceleration if body.movable else jnp.zeros(2))
        messages.append(word if body.speaks else jnp.zeros(world.channel))
    return forces, jnp.stack(messages)


def _contacts(world: ParticleWorld, scene: Scene, force: list[Vector]) -> list[Vector]:
    """Adds the soft repulsion of every pair of bodies that touch."""
    bodies, points = world.agents + world.landmarks, [*scene.agents, *scene.landmarks]
    force = list(force)
    for i, j in _pairs(world):
        a, b, apart = bodies[i], bodies[j], points[i] - points[j]
        gap = jnp.maximum(norm(apart), 1e-8)  # bodies in the same place do not push
        push = _push(world, gap, a.size + b.size)
        if a.movable:
            force[i] = force[i] + push * apart
        if b.movable:
            force[j] = force[j] - push * apart
    return force


def _at_once(world: ParticleWorld, scene: Scene, action: Action) -> Motion:
    bodies = world.agents
    p, v, fixed = map(jnp.asarray, (scene.agents, scene.velocity, scene.landmarks))
    force, message = _controls_at_once(world, action)
    force = _contacts_at_once(world, jnp.concatenate([p, fixed]), force)
    moved, faster = p + v * world.dt, v * (1 - world.damping) + force * world.dt
    if any(body.max_speed is not None for body in bodies):
        most = [jnp.inf if body.max_speed is None else body.max_speed for body in bodies]
        faster = jax.vmap(limit)(faster, jnp.asarray(most))
    movable = np.array([[body.movable] for body in bodies])
    position = jnp.concatenate([jnp.where(movable, moved, p), fixed])
    return Motion(position, jnp.where(movable, faster, v), message)


def _controls_at_once(
    world: ParticleWorld, action: Action
) -> tuple[Float[Array, "N 2"], Float[Array, "N C"]]:
    """`_controls` on arrays: everyone's action is read as that of a mover, and of a speaker."""
    bodies, channel = world.agents, world.channel
    movable = np.array([[body.movable] for body in bodies])
    speaks = np.array([[body.speaks] for body in bodies])
    if world.continuous_actions:
        spare = MOVES + channel - action.shape[1]
        a = jnp.pad(jnp.clip(action, 0.0, 1.0), ((0, 0), (0, spare)))
        move = a[:, 2:5:2] - a[:, 1:4:2]
        word = jnp.where(movable, a[:, MOVES:], a[:, :channel])
    else:
        moves = np.where(movable, MOVES, 1)[:, 0]
        m, w = action % moves, action // moves
        move = jnp.stack([_sign(m, 2, 1), _sign(m, 4, 3)], -1)
        word = jax.nn.one_hot(w, channel)
    acceleration = jnp.asarray([body.acceleration for body in bodies])[:, None]
    return jnp.where(movable, move * acceleration, 0.0), jnp.where(speaks, word, 0.0)


def _contacts_at_once(
    world: ParticleWorld, position: Float[Array, "E 2"], force: Float[Array, "N 2"]
) -> Float[Array, "N 2"]:
    """`_contacts` on arrays. Immovable agents are given forces too; nothing comes of them."""
    pairs = _pairs(world)
    if not pairs:
        return force
    n = len(world.agents)
    involved = max(n, 1 + max(map(max, pairs)))  # landmarks from there on touch nothing
    signs = np.zeros((len(pairs), involved), np.float32)
    for row, (i, j) in zip(signs, pairs):
        row[i], row[j] = 1.0, -1.0
    bodies = (world.agents + world.landmarks)[:involved]
    x, y = (_product(signs, axis) for axis in position[:involved].T)
    gap = jnp.maximum(jnp.sqrt(x * x + y * y), 1e-8)
    push = _push(world, gap, _product(abs(signs), jnp.asarray([body.size for body in bodies])))
    back = signs.T[:n]
    return force + jnp.stack([_product(back, push * x), _product(back, push * y)], -1)


def _product(matrix: np.ndarray, x: Array) -> Array:
    """In full precision, which accelerators spare unless they are told to."""
    return jnp.matmul(matrix, x, precision="highest")


def _pairs(world: ParticleWorld) -> list[tuple[int, int]]:
    """The bodies that push each other when they touch, two by two."""
    bodies = world.agents + world.landmarks
    return [
        (i, j)
        for i, a in enumerate(bodies)
        for j, b in enumerate(bodies[:i])
        if a.collides and b.collides and (a.movable or b.movable)
    ]


def _push(
    world: ParticleWorld, gap: Float[Array, "*P"], sizes: Float[Array, "*P"] | float
) -> Float[Array, "*P"]:
    """The force between two bodies whose middles are `gap` apart, for each unit of that."""
    k = world.contact_margin
    return world.contact_force * k * _softplus((sizes - gap) / k) / gap


def _sign(move: Int[Array, "*N"] | int, plus: int, minus: int) -> Float[Array, "*N"]:
    return jnp.float32(move == plus) - jnp.float32(move == minus)


def _softplus(x: Float[Array, "*P"]) -> Float[Array, "*P"]:
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))
