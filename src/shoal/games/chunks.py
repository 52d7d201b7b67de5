"""Many games at once: a kernel for one game, mapped over chunks that the processor's cache holds.

A loop that is mapped over games runs until the slowest is done; a chunk waits for its own only.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_chunks(kernel: Callable[..., Any], size: int, *arrays: jax.Array) -> Any:
    """`vmap(kernel)(*arrays)`, at most `size` games at a time; arrays start with the games' axis.

    The last game is repeated where the number of games is not a multiple of the chunks.
    """
    games = arrays[0].shape[0]
    chunks = -(-games // size)
    each = -(-games // chunks)
    index = jnp.minimum(jnp.arange(chunks * each), games - 1).reshape(chunks, each)
    out = jax.lax.map(lambda i: jax.vmap(kernel)(*(a[i] for a in arrays)), index)
    return jax.tree.map(lambda x: x.reshape(chunks * each, *x.shape[2:])[:games], out)
