"""What a run's numbers depend on besides its configuration: versions, hardware and its memory."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from shoal.core.errors import require


def versions() -> dict[str, str]:
    """Of everything that shapes a number."""
    names = ("shoal", "jax", "jaxlib", "equinox", "optax", "numpy")
    return {"python": platform.python_version()} | {n: metadata.version(n) for n in names}


def hardware() -> dict[str, Any]:
    """The machine, in words."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind if device.platform != "cpu" else _processor(),
        "devices": jax.local_device_count(),
        "system": platform.platform(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def check_memory(state: Any, parts: int, rollout: int) -> None:
    """Raises `UserError` where the states of all members, and what is collected at once, are more
    than the memory of the devices.

    Args:
        state: one member's part on one device, or its shapes.
        parts: how many there are: members times the devices of each.
        rollout: bytes of the observations that a part collects at once.
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    sizes = {jax.tree_util.keystr(path): x.size * x.dtype.itemsize for path, x in leaves}
    sizes["a rollout"] = rollout
    needed, have = parts * sum(sizes.values()), _memory()
    largest = max(sizes, key=lambda name: sizes[name], default="")
    require(
        needed <= have,
        f"the run takes {_gigabytes(needed)} of memory and there is {_gigabytes(have)}, "
        f"most of it for {largest.lstrip('.')}: lower the capacity of a replay, the number of "
        "environments, or the seeds and settings that are trained together",
    )


def _memory() -> int:
    """Bytes that the devices hold."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    limit = sum(each.get("bytes_limit", 0) for each in stats)  # a CPU tells none
    return limit or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
