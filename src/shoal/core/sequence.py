"""Recurrent state along sequences, `[T, B, ...]`, in which episodes begin and end."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from shoal.core.algorithm import Carry, where_done


def starts_of(done: Bool[Array, "T B"]) -> Bool[Array, "T B"]:
    """Where an episode begins within a sequence. At its first step the carry that it comes with
    counts, whether it is fresh or not."""
    return jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])


def carries_after(
    step: Callable[[Any, Carry], Carry],
    inputs: Any,
    carry: Carry,
    starts: Bool[Array, "T B"],
) -> Carry:
    """The recurrent state after each of T steps, before any reset; `None` without recurrence.

    A successor is read with it, so that it need not be what the next step sees: a reset may lie
    between.

    Args:
        step: from the inputs of B environments and a carry to the next carry.
        inputs: leaves `[T, B, ...]`.
        carry: before the first step, leaves `[B, ...]`.
        starts: where an episode begins: the carry is zero before the step.
    """
    if carry is None:
        return None
    fresh = jax.tree.map(jnp.zeros_like, carry)

    def remember(carry: Carry, now: tuple[Any, Array]) -> tuple[Carry, Carry]:
        x, start = now
        carry = step(x, where_done(start, fresh, carry))
        return carry, carry

    return jax.lax.scan(remember, carry, (inputs, starts))[1]
