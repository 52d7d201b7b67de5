"""A Ray cluster: one of a run's own, on this machine alone, or the one at an address.

Ray starts and watches the processes; nothing here listens to anybody else. One of our own is on the
loopback, asks for a token that only this user can read, and is gone when the run is, whatever ended
it: `reaper` sees to that. Moritz et al. 2018, arXiv:1712.05889.
"""

import contextlib
import functools
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shoal.core import child
from shoal.core.errors import Failure, UserError, in_a_line, optional, require
from shoal.distributed.reaper import MARK

LEAST_STORE = 80_000_000  # bytes; Ray takes no fewer than 75 MiB
ANSWER_SECONDS = 10  # for a cluster at an address
GOING_SECONDS = 5  # for the processes of our own to go
LONGEST_PLACE = 20  # bytes; of the 107 of a socket's path Ray and we use the rest
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # workers are what the machine is for
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what a run has to say it says itself
}
# Without this, Ray on Linux turns a loopback address into one that all machines reach.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}


@contextlib.contextmanager
def cluster(address: str, cpus: int, store: int) -> Iterator[Any]:
    """The module `ray`, connected; as it is, where it is connected already.

    Args:
        address: HOST:PORT of a cluster; where it is empty, one is started here.
        cpus: how many actors of one CPU there must be room for.
        store: bytes that are on their way at once.

    Raises:
        UserError: Ray is not installed, the address does not answer or refuses the token, the
            cluster is too small, or `/dev/shm` is.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():  # whoever did so ends it
        yield ray
    elif address:
        with _at(address, cpus) as ray:
            yield ray
    else:
        with _own(cpus, max(store, LEAST_STORE)) as ray:
            yield ray


@contextlib.contextmanager
def _own(cpus: int, store: int) -> Iterator[Any]:
    _check_store(store)
    ray = sys.modules.get("ray")
    require(
        ray is None or hasattr(ray, MARK),
        "Ray was imported before it could be kept to this machine: call ray.init() first, and the "
        "workers are started there, or do not import it",
    )
    with _environment(QUIET | LOOPBACK):
        ray = optional("ray", "Ray", "ray")
    setattr(ray, MARK, True)
    folder = _folder()
    reaper = child.start(
        "shoal.distributed.reaper", str(folder), stdin=subprocess.PIPE, start_new_session=True
    )
    own = {"RAY_AUTH_TOKEN_PATH": str(folder / "token"), MARK: str(folder)}
    try:
        with _environment(QUIET | LOOPBACK | own):
            _start(ray, folder, cpus, store)
        yield ray
    finally:
        _leave()
        assert reaper.stdin is not None
        reaper.stdin.close()  # it sees to what is left, however long that takes
        with contextlib.suppress(subprocess.TimeoutExpired):
            reaper.wait(GOING_SECONDS)


def _start(ray: Any, folder: Path, cpus: int, store: int) -> None:
    try:
        with _own_signals(), warnings.catch_warnings():
            # It forks to start programs: each sets its signals, and is no copy of this for long.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(
                num_cpus=cpus,
                object_store_memory=store,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder / "ray"),
                **_SILENT,
            )
    except Exception as error:  # Ray raises what it likes
        raise Failure(f"Ray does not start here: {in_a_line(error)}") from error


def _folder() -> Path:
    """A folder for this user alone, with the token in it. Ray opens its own, which holds sockets
    that ask for none, to everyone: it goes within. Their paths must be short."""
    place = tempfile.gettempdir()
    place = place if len(os.fsencode(place)) <= LONGEST_PLACE else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="shoal-ray-", dir=place))
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(_secret())
    return folder


@functools.cache
def _secret() -> str:
    """The token of this process's clusters: Ray reads it once in a process."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _at(address: str, cpus: int) -> Iterator[Any]:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {in_a_line(error)}") from error
    _ask(address)
    with _environment(QUIET):
        ray = optional("ray", "Ray", "ray")
    try:
        with _own_signals():
            ray.init(address=address, **_SILENT)
    except Exception as error:  # Ray raises what it likes
        why = in_a_line(error, named=False)
        raise UserError(f"the Ray cluster at {address} does not let this run in: {why}") from error
    try:
        there = int(ray.cluster_resources().get("CPU", 0))
        require(cpus <= there, f"the run needs {cpus} CPUs, the cluster at {address} has {there}")
        yield ray
    finally:
        _leave()


def _ask(address: str) -> None:
    """Raises `UserError` where what listens at an address is no cluster, or refuses the token."""
    with _environment(QUIET):
        asking = child.start(
            "shoal.distributed.probe",
            address,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    assert asking.stdout is not None
    try:
        asking.stdout.readline()  # it has imported Ray, which takes as long as it takes
        asking.wait(ANSWER_SECONDS)
        said = asking.stdout.read().decode().strip()
    except subprocess.TimeoutExpired:
        raise UserError(
            f"no Ray cluster answers at {address}: {ANSWER_SECONDS} s went by"
        ) from None
    finally:
        code = child.end(asking)
    why = said or child.fate(code)
    require(code == 0, f"the Ray cluster at {address} does not let this run in: {why}")


_SILENT = {"log_to_driver": False, "configure_logging": True, "logging_level": logging.CRITICAL}


def _leave() -> None:
    import ray

    with contextlib.suppress(Exception):
        ray.shutdown()


def _check_store(store: int) -> None:
    """Raises `UserError` where shared memory is too small: Ray would fall back to the disk."""
    free = _free_memory()
    require(
        store <= free,
        f"/dev/shm has {free / 1e6:.0f} MB left and {store / 1e6:.0f} MB are needed: make it "
        "larger (docker run --shm-size), or samples smaller with --num-envs or --unroll",
    )


def _free_memory() -> int | float:
    """Bytes of shared memory that are left, where the system tells."""
    shared = Path("/dev/shm")
    return shutil.disk_usage(shared).free if shared.is_dir() else math.inf


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Within it the environment has these too: processes that are started keep them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes over signals that a run has handlers for; within it they are kept."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread: nothing was taken over
            for number, handler in before.items():
                signal.signal(number, handler)


def gone(ray: Any, error: BaseException) -> bool:
    """Whether an error says that a process or a machine was lost, and nothing else."""
    errors = ray.exceptions
    lost = (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError)
    cause = getattr(error, "cause", None)
    return isinstance(error, lost) or isinstance(cause, lost)


def raised(error: BaseException) -> Exception:
    """What a worker raised, in a line: a mistake of the user's is one here too."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, UserError | Failure):
        return cause
    return Failure(f"a worker failed: {in_a_line(cause)}")
