"""Averages across devices, and branches across members. An algorithm calls these without knowing
how many devices or members run it: for one, and outside `Program`, they are the identity."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

AXIS = "shards"
MEMBERS = "side by side"  # the axis of members that one device runs as one batch
T = TypeVar("T")
R = TypeVar("R")


def num_shards() -> int:
    """How many devices share the work of the program being traced."""
    try:
        return jax.lax.axis_size(AXIS)
    except NameError:  # the axis is not bound: one device
        return 1


def pmean(tree: T) -> T:
    """The mean over devices of every leaf. Leaves of one type travel as one array: between
    processes each array takes as long as a message, however small it is."""
    if num_shards() == 1:
        return tree
    if len({jnp.result_type(x) for x in jax.tree.leaves(tree)}) != 1:
        return jax.lax.pmean(tree, AXIS)
    flat, restore = ravel_pytree(tree)
    return restore(jax.lax.pmean(flat, AXIS))


def all_gather(x: Array) -> Array:
    """Joins every device's part along axis 0."""
    return x if num_shards() == 1 else jax.lax.all_gather(x, AXIS, tiled=True)


def shard_index() -> Array | int:
    """Which device this is: 0 on a single one."""
    return 0 if num_shards() == 1 else jax.lax.axis_index(AXIS)


def any_member(x: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether `x` holds of any of the members that run side by side: the predicate of a `cond`.

    A predicate with a member axis turns a `cond` into a `select`, which always computes both
    branches. Whoever asks for any member must leave alone those of whom `x` does not hold.
    """
    try:
        return jax.lax.pmax(x.astype(jnp.int32), MEMBERS) > 0
    except NameError:  # the axis is not bound: one member
        return x


def cond(
    x: Bool[Array, ""], true_fn: Callable[[T], R], false_fn: Callable[[T], R], operand: T
) -> R:
    """`jax.lax.cond` that computes `true_fn` only where `x` holds of any member side by side, and
    then gives each member its own branch's result."""
    some = any_member(x)
    if some is x:
        return jax.lax.cond(x, true_fn, false_fn, operand)

    def each(operand: T) -> R:
        new, old = true_fn(operand), false_fn(operand)
        return jax.tree.map(lambda a, b: jnp.where(x, a, b), new, old)

    return jax.lax.cond(some, each, false_fn, operand)


def weighted_mean(x: Float[Array, "..."], weight: Float[Array, "..."]) -> Float[Array, ""]:
    r"""$\sum w x / \sum w$ with the denominator taken over all devices, so that the mean of the
    devices' results (and of their gradients) is the global weighted mean, however unevenly the
    weights fall."""
    total = pmean(weight.sum())
    return (x * weight).sum() / jnp.maximum(total, 1e-8)


def group_sum(x: Float[Array, "N ..."], of_agent: tuple[int, ...], groups: int) -> Array:
    """Sums over the agents of each group, `[G, ...]`."""
    if groups == 1:
        return x.sum(0, keepdims=True)
    return jax.ops.segment_sum(x, jnp.array(of_agent), groups)


def group_mean(
    x: Float[Array, "*S N"], weight: Float[Array, "*S N"], of_agent: tuple[int, ...]
) -> Float[Array, "N"]:
    """The weighted mean of each agent's group over all samples of all devices, agent by agent."""
    samples, groups = tuple(range(x.ndim - 1)), max(of_agent) + 1
    sums = group_sum((x * weight).sum(samples), of_agent, groups)
    total = group_sum(weight.sum(samples), of_agent, groups)
    sums, total = pmean((sums, total))
    return (sums / jnp.maximum(total, 1e-8))[jnp.array(of_agent)]
