"""The nearest points of a swarm in sight of each of Q places, exactly, at a cost that grows with N.

The square is cut into cells at least as wide as sight, so that whatever is in sight of a place lies
in the nine cells around it. Points are sorted by cell, which makes each cell a run of the sorted
list, and the nine runs are read one after another, some points at a time, until everybody's are
at an end. No cell has a capacity: a crowd costs time, and no point is lost.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

SPARE = 4.0  # points read at a time: as many as are to be expected, and so many standard deviations
HAIR = 1.001  # cells are that much wider than sight, so that rounding hides nobody


class Near(eqx.Module):
    """What is around each of Q places: the K nearest points in sight, the nearest first, and all
    that touch, however many they are."""

    index: Int[Array, "Q K"]  # 0 where there is none
    apart: Float[Array, "Q K 2"]  # from the place to the point, 0 where there is none
    distance: Float[Array, "Q K"]  # infinite where there is none
    overlap: Float[Array, "Q 2"]  # sum over points that touch of how deep, away from them
    touching: Float[Array, "Q"]  # sum over points that touch of their weights

    @property
    def present(self) -> Bool[Array, "Q K"]:
        """Where there is a point."""
        return jnp.isfinite(self.distance)


def find_near(
    places: Float[Array, "Q 2"],
    points: Float[Array, "N 2"],
    *,
    side: float,
    sight: float,
    count: int,
    touch: Float[Array, ""] | float,
    weight: Float[Array, "N"] | float = 1.0,
    torus: bool = False,
    others: bool = False,
) -> Near:
    """The `count` nearest of N points in sight of each of Q places, all in the square [0, side]^2.

    Points nearer than `touch`, which is at most `sight`, touch. On a `torus` opposite edges are
    one. With `others` places are points, and none is its own neighbour.
    """
    if not len(points):
        none = jnp.zeros((len(places), count))
        flat = jnp.zeros((*none.shape, 2))
        return Near(none.astype(jnp.int32), flat, none + jnp.inf, flat[:, 0], none[:, 0])
    # More cells than points would only be empty.
    cells = max(min(int(side / (sight * HAIR)), math.ceil(math.sqrt(len(points)))), 1)
    order, first, length = _runs(places, points, side, cells, torus)
    x, y = points[order].T
    weight = jnp.broadcast_to(jnp.asarray(weight, jnp.float32), points.shape[:1])[order]
    ends = jnp.cumsum(length, 0)
    shift = first - (ends - length)  # from a number among the candidates to one in the list
    expected = 9 * len(points) / cells**2
    chunk = min(math.ceil(expected + SPARE * math.sqrt(expected)), len(points))
    mine = jnp.arange(len(places))

    def read(carry: tuple) -> tuple:
        start, distance, index, overlap, touching = carry
        number = start + jnp.arange(chunk)[:, None]
        passed = number[None] >= ends[:-1, None]
        jump = jnp.where(passed, (shift[1:] - shift[:-1])[:, None], 0).sum(0)
        at = jnp.clip(number + shift[0] + jump, 0, len(points) - 1)
        who, dx, dy = order[at], x[at] - places[:, 0], y[at] - places[:, 1]
        if torus:
            dx, dy = shortest(dx, side), shortest(dy, side)
        real = number < ends[-1]
        if others:
            real &= who != mine
        gap = jnp.where(real, jnp.sqrt(dx * dx + dy * dy), jnp.inf)
        depth = jnp.maximum(touch - gap, 0.0) / jnp.maximum(gap, 1e-8)
        overlap -= jnp.stack([(depth * dx).sum(0), (depth * dy).sum(0)])
        touching += jnp.where(gap < touch, weight[at], 0.0).sum(0)
        gap = jnp.where(gap <= sight, gap, jnp.inf)
        both = jnp.concatenate([distance, gap]), jnp.concatenate([index, who])
        return start + chunk, *_smallest(*both, count), overlap, touching

    shape = (count, len(places))
    empty = jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)
    nothing = jnp.zeros((2, len(places))), jnp.zeros(len(places))
    most = ends[-1].max()
    carry = (jnp.int32(0), *empty, *nothing)
    _, distance, index, overlap, touching = jax.lax.while_loop(lambda c: c[0] < most, read, carry)
    found = jnp.isfinite(distance.T)
    index = jnp.where(found, index.T, 0)
    apart = points[index] - places[:, None]
    apart = jnp.where(found[..., None], shortest(apart, side) if torus else apart, 0.0)
    return Near(index, apart, distance.T, overlap.T, touching)


def shortest(x: Float[Array, "*B"], side: float) -> Float[Array, "*B"]:
    """The shortest way on a ring of length `side` between two places that differ by `x`."""
    return x - side * jnp.round(x / side)


def _runs(
    places: Float[Array, "Q 2"], points: Float[Array, "N 2"], side: float, cells: int, torus: bool
) -> tuple[Int[Array, "N"], Int[Array, "R Q"], Int[Array, "R Q"]]:
    """Points in the order of their cells; and for each place where the runs of the cells around it
    start in that list, and how long they are."""

    def cell_of(x: Array) -> Array:
        return jnp.clip(jnp.floor(x * (cells / side)).astype(jnp.int32), 0, cells - 1)

    row_major = jnp.array([cells, 1])
    cell = cell_of(points) @ row_major
    order = jnp.argsort(cell).astype(jnp.int32)
    starts = jnp.searchsorted(cell[order], jnp.arange(cells**2 + 1)).astype(jnp.int32)
    steps = (-1, 0, 1)[: cells if torus else 3]  # round a small torus the third cell is the first
    around = jnp.array([[(x, y)] for x in steps for y in steps])
    wanted = cell_of(places) + around
    wrapped = wanted % cells
    inside = torus | (wanted == wrapped).all(-1)
    cell = wrapped @ row_major
    return order, starts[cell], jnp.where(inside, starts[cell + 1] - starts[cell], 0)


def _smallest(
    distance: Float[Array, "C Q"], index: Int[Array, "C Q"], count: int
) -> tuple[Float[Array, "K Q"], Int[Array, "K Q"]]:
    """The `count` smallest distances in order, and whose they are. A pass for each: on a CPU a
    fraction of the time of `top_k`."""
    row = jnp.arange(len(distance))[:, None]
    out = []
    for _ in range(count):
        least = distance.min(0)
        here = row == jnp.where(distance == least, row, len(row)).min(0)
        out.append((least, jnp.where(here, index, 0).sum(0)))
        distance = jnp.where(here, jnp.inf, distance)
    distances, indices = zip(*out)
    return jnp.stack(distances), jnp.stack(indices)
