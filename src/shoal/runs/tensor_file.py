"""A pytree of arrays as one safetensors file. Leaves are named by their paths in the tree; typed
PRNG keys are stored as their data, with the name of the generator in the file's metadata."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

PyTree = Any

# The types that safetensors and JAX both hold, by their names there.
_CODES = {
    "bool": "BOOL",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
}
_HEADER_PER_LEAF = 4096


def structure_of(tree: PyTree) -> PyTree:
    """Shape and type of every leaf, as a compiled function would see it."""
    return jax.eval_shape(lambda leaves: leaves, tree)


def describe(structure: PyTree) -> dict[str, str]:
    """Type and shape of every leaf in words, by path.

    >>> describe(structure_of({"x": jnp.zeros((3, 2)), "y": True}))
    {"['x']": 'float32[3, 2]', "['y']": 'bool[]'}
    """
    leaves = jax.tree_util.tree_leaves_with_path(structure)
    words = {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
    if len(words) != len(leaves):
        raise TypeError("two leaves of the state have the same path")
    return words


def difference(found: dict[str, str], expected: dict[str, str]) -> str | None:
    """The first difference between two descriptions."""
    for name in expected | found:
        if name not in found:
            return f"it lacks {name}"
        if name not in expected:
            return f"it has {name}, which the state here has not"
        if found[name] != expected[name]:
            return f"{name} is {found[name]}, expected {expected[name]}"
    return None


def largest_size(structure: PyTree) -> int:
    """A bound, in bytes, on the file of a tree of this structure."""
    leaves = [_stored(leaf) for leaf in jax.tree.leaves(structure)]
    data = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    return data + _HEADER_PER_LEAF * (len(leaves) + 1)


def write_tensors(path: Path, state: PyTree) -> None:
    """Writes every leaf. Raises `TypeError` for one that would not come back as it was."""
    structure = structure_of(state)
    tensors, generators = {}, {}
    for name, leaf, declared in zip(
        describe(structure), jax.tree.leaves(state), jax.tree.leaves(structure), strict=True
    ):
        if _is_key(declared):
            generators[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        tensors[name] = _array(name, leaf, np.dtype(_stored(declared).dtype))
    save_file(tensors, path, metadata=generators or None)


def read_tensors(path: Path, structure: PyTree) -> PyTree:
    """Reads every leaf, once the file's header declares just the arrays of `structure`."""
    leaves, treedef = jax.tree.flatten(structure)
    named = dict(zip(describe(structure), leaves, strict=True))
    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        header = {name: (x.get_dtype(), tuple(x.get_shape())) for name, x in slices.items()}
        if header != {name: _header(leaf) for name, leaf in named.items()}:
            raise ValueError(f"the header of {path.name} declares other arrays")
        generators = file.metadata() or {}
        arrays = (
            _leaf(file.get_tensor(name), leaf, generators.get(name)) for name, leaf in named.items()
        )
        return treedef.unflatten(arrays)


def _is_key(leaf: jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """What is in the file for a leaf: a key's data, anything else as it is."""
    return jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf


def _header(leaf: jax.ShapeDtypeStruct) -> tuple[str | None, tuple[int, ...]]:
    stored = _stored(leaf)
    return _CODES.get(str(stored.dtype)), stored.shape


def _array(name: str, leaf: Any, dtype: np.dtype) -> np.ndarray:
    if type(leaf) in (bool, int, float):
        return np.asarray(leaf, dtype)
    array = np.asarray(leaf, order="C")
    if array.dtype != dtype or str(dtype) not in _CODES:
        raise TypeError(f"cannot save {name}: {array.dtype} would not come back as it was")
    return array


def _leaf(array: np.ndarray, declared: jax.ShapeDtypeStruct, generator: str | None) -> jax.Array:
    if not _is_key(declared):
        return jnp.asarray(array)
    try:
        key = jax.random.wrap_key_data(jnp.asarray(array), impl=generator)
    except (TypeError, ValueError):  # a generator that is unknown, or has keys of another length
        key = None
    if key is None or key.dtype != declared.dtype:
        raise ValueError(f"it has keys of the generator {generator}, expected {declared.dtype}")
    return key
