"""What devices tell each other, among devices of one process and of two."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from shoal.core.errors import Failure
from shoal.distributed import collective_speed, collectives


@pytest.mark.parametrize(
    "words", ["--devices 2", "--devices 3 --size 20", "--devices 4", "--processes 2"]
)
def test_exchanges_are_right(words: str) -> None:
    """The command says so itself: it compares each with what it should be."""
    command = [sys.executable, "-m", "shoal", "bench", "collectives", "--json", *words.split()]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["seconds"].keys() == collectives.COLLECTIVES.keys()
    assert f"--devices {found['devices']}" in words or found["processes"] == 2


@pytest.mark.parametrize("name", collectives.COLLECTIVES)
def test_a_wrong_exchange_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = collectives.COLLECTIVES[name]
    monkeypatch.setitem(collectives.COLLECTIVES, name, lambda x, axis: right(x, axis) + x)
    with pytest.raises(Failure, match=f"{name}: device 0 has something else"):
        collective_speed.collective_speed(64, 2)


@pytest.mark.parametrize("root", [0, 1])
def test_any_device_may_be_the_root(root: int) -> None:
    mesh, rows = Mesh(np.array(jax.devices()[:2]), ("x",)), PartitionSpec("x")
    x = np.array([[1.0, -0.0], [3.0, 5.0]], np.float32)

    def both(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return collectives.broadcast(x, "x", root), collectives.reduce(x, "x", root)

    told, total = jax.shard_map(both, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False)(x)
    np.testing.assert_array_equal(np.signbit(told), np.signbit(x[[root, root]]))
    np.testing.assert_array_equal(told, x[[root, root]])
    np.testing.assert_array_equal(total[root], x.sum(0))
    np.testing.assert_array_equal(total[1 - root], 0)
