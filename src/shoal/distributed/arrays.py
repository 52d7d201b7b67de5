"""Pytrees on their way to another process: lists of NumPy arrays, and nothing else.

Both ends know the structure, since both made it from the same configuration.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class KeyData(NamedTuple):
    """A key: the generator that it is for, and its numbers."""

    generator: str
    data: np.ndarray


Packed = list[np.ndarray | KeyData]
ONE, PAIR = (jax.tree.structure((0,) * n) for n in (1, 2))


def pack(tree: Any) -> Packed:
    """The leaves, in order."""
    leaves = jax.tree.leaves(tree)
    plain = jax.device_get([jax.random.key_data(x) if _is_key(x) else x for x in leaves])
    return [
        KeyData(str(jax.random.key_impl(x)), data) if _is_key(x) else np.asarray(data)
        for x, data in zip(leaves, plain)
    ]


def unpack(structure: Any, packed: Packed) -> Any:
    """What was packed, of that structure (`jax.tree.structure`)."""
    return jax.tree.unflatten(structure, [_open(x) for x in packed])


def size(packed: Packed) -> int:
    """How many bytes they are."""
    return sum((x.data if isinstance(x, KeyData) else x).nbytes for x in packed)


def num_bytes(shapes: Any) -> int:
    """How many bytes arrays of these shapes are."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def _open(x: np.ndarray | KeyData) -> Any:
    if isinstance(x, KeyData):
        return jax.random.wrap_key_data(jnp.asarray(x.data), impl=x.generator)
    return x


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
