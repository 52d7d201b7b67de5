"""A state of a particle world taken apart, and the geometry that worlds are written in.

What there are several of (agents, landmarks, distances) is a *list* with an entry each in a small
world and an *array* with a row each in a large one. A world is written once for both, one body at a
time: `each` applies a function to every entry, one by one or all at once. The compiler fuses what
is one by one into the fastest program there is, but that program grows with every pair of bodies.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Vector = Float[Array, "2"]
Number = Float[Array, ""] | float
Index = Int[Array, ""] | int
Many = list[Any] | Array
"""Several of a kind: a list with an entry each, or an array with a row each."""


class Scene(NamedTuple):
    """A state taken apart: one vector an entity."""

    agents: Many
    landmarks: Many
    velocity: Many
    message: Many
    goal: list[Int[Array, ""]]

    @property
    def indices(self) -> Many:
        """The number of every agent, to go through with `each`."""
        n = len(self.agents)
        return list(range(n)) if isinstance(self.agents, list) else jnp.arange(n)

    def pick(self, goal: Int[Array, ""]) -> Vector:
        """The position of the landmark with that index."""
        return choose(goal, self.landmarks)

    def to_landmarks(self, i: Index) -> Many:
        """From agent `i` to every landmark."""
        me = self.agents[i]
        return each(lambda mark: mark - me, self.landmarks)

    def to_others(self, i: Index) -> Many:
        """From agent `i` to every other agent."""
        me = self.agents[i]
        return each(lambda other: other - me, without(i, self.agents))


def each(f: Callable[..., Any], *many: Many) -> Many:
    """`f` of the first of each of `many`, of the second, ...: one by one if the first of them is a
    list, all at once if it is an array."""
    if isinstance(many[0], list):
        return [f(*entries) for entries in zip(*many)]
    return jax.vmap(f)(*map(jnp.asarray, many))


def without(i: Index, many: Many) -> Many:
    """All but number `i`."""
    if isinstance(many, list):
        return many[:i] + many[i + 1 :]
    before = jnp.arange(len(many) - 1) < i
    return jax.vmap(jnp.where)(before, many[:-1], many[1:])


def chain(*parts: Many) -> list[Array]:
    """All parts one after another: the entries of lists, and arrays as they are."""
    return [x for part in parts for x in (part if isinstance(part, list) else [part])]


def join(*parts: Many) -> Float[Array, "D"]:
    """All numbers of vectors and of several vectors as one vector: what an agent sees."""
    return jnp.concatenate([x.reshape(-1) for x in chain(*parts)])


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


def nearest(me: Vector, others: Many) -> Float[Array, ""]:
    """How far the nearest of `others` is. One root: each would be a kernel of its own."""
    return jnp.sqrt(functools.reduce(jnp.minimum, [squared_norm(x - me) for x in others]))


def overlap(a: Vector, b: Vector, sizes: Number) -> Float[Array, ""]:
    """1 where two discs whose radii add up to `sizes` overlap, 0 elsewhere."""
    return (squared_norm(a - b) < sizes * sizes).astype(jnp.float32)


def overlaps(me: Vector, others: Many, sizes: Number) -> Number:
    """How many of `others` a disc overlaps, whose radius adds up to `sizes` with each of theirs."""
    return sum((overlap(me, x, sizes) for x in others), 0.0)


def limit(v: Vector, max_speed: Number | None) -> Vector:
    """The velocity, shortened to `max_speed` where it is longer."""
    if max_speed is None:
        return v
    speed = norm(v)
    return jnp.where(speed > max_speed, v / jnp.maximum(speed, 1e-8) * max_speed, v)
