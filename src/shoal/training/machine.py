"""What a run's numbers depend on besides its configuration: versions and hardware."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


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
