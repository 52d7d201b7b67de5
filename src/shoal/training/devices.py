"""What must be settled before JAX starts: how many CPU devices, how many cores, the cache."""

import os
from pathlib import Path

from shoal.core.errors import UserError

MAX_CPU_DEVICES = 8


def prepare(deterministic: bool = False) -> None:
    """Sets JAX up for training. Does nothing to a JAX that has already started.

    A CPU becomes one device a core, because two devices use two cores better than one device's
    threads do. `deterministic` pins the process to one core: only then does one program give the
    same bits twice on a CPU.
    """
    if deterministic:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax
    from jax._src import xla_bridge

    started = xla_bridge.backends_are_initialized()
    if deterministic and started and jax.local_device_count() > 1:
        raise UserError("deterministic must be asked for before JAX starts: use a fresh process")
    if not started:
        cores = 1 if deterministic else len(os.sched_getaffinity(0))
        jax.config.update("jax_num_cpu_devices", min(cores, MAX_CPU_DEVICES))
    if getattr(jax.config, "jax_compilation_cache_dir") is None:  # noqa: B009
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def cache_folder() -> Path:
    """Where compiled programs are kept: in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "shoal" / "jax"


def share_out(num_envs: int, parts: int, available: int) -> int:
    """The most devices, at most `available`, among which `num_envs` environments can be shared so
    that each device's part divides into `parts` minibatches."""
    for devices in range(min(available, num_envs), 0, -1):
        if num_envs % (devices * parts) == 0:
            return devices
    raise UserError(f"num_envs is {num_envs}, expected a multiple of minibatches, which is {parts}")
