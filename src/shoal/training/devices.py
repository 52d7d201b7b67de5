"""What must be settled before JAX starts: how many CPU devices, how many cores, the cache."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from shoal.core.errors import UserError, require

MAX_CPU_DEVICES = 8


def prepare(deterministic: bool = False) -> None:
    """Sets JAX up for training. Does nothing to a JAX that has already started.

    A CPU becomes one device a core, because two devices use two cores better than one device's
    threads do; `JAX_NUM_CPU_DEVICES` says another number. `deterministic` pins the process to one
    core: only then does one program give the same bits twice on a CPU. A rank of a gang has its
    devices already.
    """
    if deterministic:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax
    from jax._src import xla_bridge

    started = xla_bridge.backends_are_initialized()
    if deterministic and started and jax.local_device_count() > 1:
        raise UserError("deterministic must be asked for before JAX starts: use a fresh process")
    chosen = jax.distributed.is_initialized() or "JAX_NUM_CPU_DEVICES" in os.environ
    if not started and (deterministic or not chosen):
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


@runtime_checkable
class Shared(Protocol):
    """What knows among how many devices its environments can be shared out."""

    def check_devices(self, num_envs: int, devices: int) -> None: ...


def share_out(algorithm: Shared, num_envs: int, available: int) -> int:
    """The most devices, at most `available`, among which an algorithm's environments can be shared.
    Raises its `UserError` where not even one will do."""
    for devices in range(min(available, num_envs), 1, -1):
        with suppress(UserError):
            algorithm.check_devices(num_envs, devices)
            return devices
    algorithm.check_devices(num_envs, 1)
    return 1


def lay_out(
    algorithm: Shared, num_envs: int, members: int, available: int, asked: int = 0
) -> tuple[int, int]:
    """How many devices share the environments of a member, and how many groups of them share out
    the members: `asked` devices in all, or as many of the available ones as serve.

    Raises:
        UserError: there are not as many, or the environments cannot be shared out among them.
    """
    total = asked or available
    require(total <= available, f"devices is {total}, and there are {available}: take fewer")
    even = [d for d in range(1, total + 1) if members % d == 0 and not (asked and asked % d)]
    groups = max(even)
    if not asked:
        return share_out(algorithm, num_envs, total // groups), groups
    algorithm.check_devices(num_envs, total // groups)
    return total // groups, groups
