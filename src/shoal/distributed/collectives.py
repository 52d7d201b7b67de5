"""What devices tell each other: five exchanges over an axis of `jax.shard_map`.

Each is called by all devices of the axis, with an array of the same shape on each.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped


def broadcast(x: Shaped[Array, "..."], axis: str, root: int = 0) -> Shaped[Array, "..."]:
    """What `root` has, to the bit, on all devices: along a binary tree, whose last hops come first
    in `reduce`."""
    n = jax.lax.axis_size(axis)
    place = (jax.lax.axis_index(axis) - root) % n
    for hop in reversed(_hops(n)):
        pairs = [((i + root) % n, (i + hop + root) % n) for i in range(0, n - hop, 2 * hop)]
        x = jnp.where(place % (2 * hop) == hop, jax.lax.ppermute(x, axis, pairs), x)
    return x


def reduce(x: Shaped[Array, "..."], axis: str, root: int = 0) -> Shaped[Array, "..."]:
    """The sum on `root`, and zeros elsewhere: along a binary tree."""
    n = jax.lax.axis_size(axis)
    for hop in _hops(n):
        pairs = [((i + hop + root) % n, (i + root) % n) for i in range(0, n - hop, 2 * hop)]
        x = x + jax.lax.ppermute(x, axis, pairs)  # zeros for whom nobody sends to
    return jnp.where(jax.lax.axis_index(axis) == root, x, jnp.zeros_like(x))


def all_reduce(x: Shaped[Array, "..."], axis: str) -> Shaped[Array, "..."]:
    """The sum on all devices, as XLA makes it."""
    return jax.lax.psum(x, axis)


def all_gather(x: Shaped[Array, "..."], axis: str) -> Shaped[Array, "D ..."]:
    """What each device has, on all devices."""
    return jax.lax.all_gather(x, axis)


def ring_all_reduce(x: Shaped[Array, "..."], axis: str) -> Shaped[Array, "..."]:
    """The sum on all devices, by passing 1/D of it on at a time: each device sends 2 (D - 1) / D
    times the array, however many there are (Patarasuk and Yuan 2009)."""
    n, own = jax.lax.axis_size(axis), jax.lax.axis_index(axis)
    ring = [(i, (i + 1) % n) for i in range(n)]
    chunks = jnp.pad(x.ravel(), (0, -x.size % n)).reshape(n, -1)

    def add(hop: Array, chunks: Array) -> Array:
        sent = (own - hop) % n
        return chunks.at[(sent - 1) % n].add(jax.lax.ppermute(chunks[sent], axis, ring))

    def share(hop: Array, chunks: Array) -> Array:
        sent = (own + 1 - hop) % n
        return chunks.at[(sent - 1) % n].set(jax.lax.ppermute(chunks[sent], axis, ring))

    chunks = jax.lax.fori_loop(0, n - 1, add, chunks)
    chunks = jax.lax.fori_loop(0, n - 1, share, chunks)
    return chunks.ravel()[: x.size].reshape(x.shape)


COLLECTIVES = {
    "broadcast": broadcast,
    "reduce": reduce,
    "all_reduce": all_reduce,
    "all_gather": all_gather,
    "ring_all_reduce": ring_all_reduce,
}


def _hops(n: int) -> list[int]:
    """1, 2, 4, ... below n."""
    return [1 << i for i in range((n - 1).bit_length())]
