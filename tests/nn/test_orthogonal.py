"""Orthogonal weights are JAX's own, and many at once are never a batch of decompositions."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import shoal
from shoal.nn.orthogonal import orthogonal

RISKY = re.compile(r"nn\.initializers\.|(jnp|lax)\.linalg\.(qr|lu|solve|inv|det|slogdet)\b")
BATCHED = re.compile(r"@lapack_sgeqrf_ffi.*tensor<\d+x\d+x\d+xf32>")


@pytest.mark.parametrize("shape", [(64, 64), (10, 64), (64, 5)])
def test_many_are_those_of_jax(shape):
    keys = jax.random.split(jax.random.key(0), 6)
    wanted = [jax.nn.initializers.orthogonal(1.3)(key, shape) for key in keys]
    many = jax.vmap(lambda key: orthogonal(key, *shape, 1.3))
    np.testing.assert_array_equal(jax.jit(many)(keys), wanted)
    np.testing.assert_array_equal(jax.vmap(many)(keys.reshape(2, 3)).reshape(6, *shape), wanted)


def test_many_are_no_batch_of_decompositions():
    keys = jax.random.split(jax.random.key(0), 2)

    def program(init) -> str:
        return jax.jit(jax.vmap(init)).lower(keys).as_text()

    assert BATCHED.search(program(lambda key: jax.nn.initializers.orthogonal()(key, (8, 8))))
    text = program(lambda key: orthogonal(key, 8, 8))
    assert "@lapack_sgeqrf_ffi" in text and not BATCHED.search(text)


def test_networks_and_algorithms_decompose_nowhere_else():
    root = Path(shoal.__file__).parent
    for room in ("nn", "agents", "training", "envs"):
        for path in (root / room).rglob("*.py"):
            assert path.name == "orthogonal.py" or not RISKY.search(path.read_text()), path
    assert RISKY.search((root / "nn/orthogonal.py").read_text())
