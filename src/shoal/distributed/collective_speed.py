"""How long devices take to tell each other something, and whether it is the right thing."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shoal.core.errors import Failure, require
from shoal.distributed.collectives import COLLECTIVES
from shoal.distributed.membership import losing
from shoal.runs.durable import Json

REPEATS = 20  # the same on all ranks: they call each exchange as often
_AXIS, _ROWS = "devices", PartitionSpec("devices")


def collective_speed(size: int, devices: int = 0) -> Json:
    """The median seconds of each exchange of `size` bytes a device, in floats of 4 bytes, among so
    many devices of all processes, or all of them.

    Raises:
        UserError: there are fewer devices.
        Failure: an exchange gave a device something else than it should have.
    """
    there = jax.devices()
    count = devices or len(there)
    require(count <= len(there), f"devices is {count}, and there are {len(there)}")
    mesh = Mesh(np.array(there[:count]), (_AXIS,))
    rows = values(count, max(1, size // 4))
    own = [i for i, x in enumerate(mesh.devices) if x.process_index == jax.process_index()]
    x = jax.make_array_from_callback(rows.shape, NamedSharding(mesh, _ROWS), lambda i: rows[i])
    seconds = {}
    for name, exchange in COLLECTIVES.items():
        run = _compiled(exchange, mesh)
        with losing():
            found = jax.block_until_ready(run(x))
            seconds[name] = float(np.median([_time(run, x) for _ in range(REPEATS)]))
        for device, shard in zip(own, found.addressable_shards):
            if not _alike(name, np.asarray(shard.data)[0], expected(name, rows, device)):
                raise Failure(f"{name}: device {device} has something else than it should have")
    sizes = {"devices": count, "processes": jax.process_count(), "bytes": rows[0].nbytes}
    return sizes | {"seconds": seconds}


def values(devices: int, size: int) -> np.ndarray:
    """What each device has, `[D, size]`: whole numbers, whose sums are exact in any order, and
    -0.0, which a sum would lose."""
    rows = np.arange(devices * size, dtype=np.float32).reshape(devices, size) % 101
    return np.where(rows == 0, np.float32(-0.0), rows)


def expected(name: str, rows: np.ndarray, device: int) -> np.ndarray:
    """What a device should have after an exchange."""
    total = rows.sum(0)
    return {
        "broadcast": rows[0],
        "reduce": total if device == 0 else np.zeros_like(total),
        "all_reduce": total,
        "all_gather": rows,
        "ring_all_reduce": total,
    }[name]


def _alike(name: str, found: np.ndarray, right: np.ndarray) -> bool:
    """Whether it is the same: to the bit, where nothing is added up."""
    if name in ("broadcast", "all_gather"):
        return found.tobytes() == right.tobytes()
    return np.array_equal(found, right)


def _compiled(exchange: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    def each(row: jax.Array) -> jax.Array:
        return exchange(row[0], _AXIS)[None]

    return jax.jit(jax.shard_map(each, mesh=mesh, in_specs=_ROWS, out_specs=_ROWS, check_vma=False))


def _time(run: Callable[..., Any], x: jax.Array) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(run(x))
    return time.perf_counter() - begin
