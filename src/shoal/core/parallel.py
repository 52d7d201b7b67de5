"""Averages across devices. An algorithm calls these without knowing how many devices run it:
on one device, and outside `jax.shard_map`, they are the identity."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

AXIS = "shards"
T = TypeVar("T")


def num_shards() -> int:
    """How many devices share the work of the program being traced."""
    try:
        return jax.lax.axis_size(AXIS)
    except NameError:  # the axis is not bound: one device
        return 1


def pmean(tree: T) -> T:
    """The mean over devices of every leaf."""
    return tree if num_shards() == 1 else jax.lax.pmean(tree, AXIS)


def all_gather(x: Array) -> Array:
    """Joins every device's part along axis 0."""
    return x if num_shards() == 1 else jax.lax.all_gather(x, AXIS, tiled=True)


def shard_index() -> Array | int:
    """Which device this is: 0 on a single one."""
    return 0 if num_shards() == 1 else jax.lax.axis_index(AXIS)


def weighted_mean(x: Float[Array, "..."], weight: Float[Array, "..."]) -> Float[Array, ""]:
    r"""$\sum w x / \sum w$ with the denominator taken over all devices, so that the mean of the
    devices' results (and of their gradients) is the global weighted mean, however unevenly the
    weights fall."""
    total = pmean(weight.sum())
    return (x * weight).sum() / jnp.maximum(total, 1e-8)
