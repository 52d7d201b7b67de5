"""Target networks: slow copies, against which learning is stable (Mnih et al. 2015)."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

T = TypeVar("T")


def follow(
    target: T,
    params: T,
    rate: Float[Array, ""] | float,
    interval: Int[Array, ""] | int = 1,
    updates: Int[Array, ""] | int = 0,
) -> T:
    r"""Polyak averaging, $\theta' \leftarrow \tau \theta + (1 - \tau) \theta'$, at every
    `interval`-th of the `updates`. With rate 1 it is a plain copy."""
    share = jnp.where(updates % interval == 0, rate, 0.0)
    return jax.tree.map(lambda p, q: share * p + (1 - share) * q, params, target)
