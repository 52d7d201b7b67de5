"""Parts of the hand-written controllers: who goes where, and how to get there."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float

if TYPE_CHECKING:
    from shoal.envs.particle.world import ParticleWorld, Scene

EXHAUSTIVE = 6  # up to this many agents every assignment is tried


def assign(agents: list[Array], marks: list[Array]) -> list[Float[Array, "2"]]:
    """For each agent a landmark of its own, by least total distance (greedy for many agents)."""
    n = len(agents)
    cost = jnp.stack([jnp.stack([jnp.hypot(*(a - m)) for m in marks]) for a in agents])
    points = jnp.stack(marks)
    if n <= EXHAUSTIVE:
        orders = jnp.array(list(itertools.permutations(range(n))))
        best = orders[cost[jnp.arange(n), orders].sum(-1).argmin()]
        return [points[best[i]] for i in range(n)]
    targets: list[Array] = [points[0]] * n
    chosen = jnp.zeros(n, jnp.int32)
    for _ in range(n):  # take the closest free pair
        flat = cost.argmin()
        i, k = flat // n, flat % n
        chosen = chosen.at[i].set(k)
        cost = cost.at[i].set(jnp.inf).at[:, k].set(jnp.inf)
    targets = [points[chosen[i]] for i in range(n)]
    return targets


def push(error: Float[Array, "2"], velocity: Float[Array, "2"], gain: float = 4.0) -> Array:
    """The unit-box force of a PD controller that wants to close `error`."""
    return jnp.clip(gain * error - 1.6 * velocity, -1.0, 1.0)


def steer(world: ParticleWorld, scene: Scene, targets: list[Array]) -> Array:
    """Everyone's action towards its target, in the world's action space, saying nothing."""
    actions = []
    for me, velocity, target in zip(scene.agents, scene.velocity, targets):
        force = push(target - me, velocity)
        actions.append(continuous(force) if world.continuous_actions else discrete(force))
    return jnp.stack(actions)


def continuous(force: Float[Array, "2"]) -> Float[Array, "5"]:
    """A force in [-1, 1]^2 as the five numbers of a continuous action."""
    x, y = force
    zero = jnp.zeros(())
    return jnp.stack([zero, jnp.maximum(-x, 0), jnp.maximum(x, 0), jnp.maximum(-y, 0), jnp.maximum(y, 0)])


def discrete(force: Float[Array, "2"]) -> Array:
    """The move nearest to a force: along its larger part, or none where the force is small."""
    x, y = force
    along_x = jnp.where(x < 0, 1, 2)
    along_y = jnp.where(y < 0, 3, 4)
    move = jnp.where(jnp.abs(x) > jnp.abs(y), along_x, along_y)
    return jnp.where(jnp.maximum(jnp.abs(x), jnp.abs(y)) < 0.5, 0, move)
