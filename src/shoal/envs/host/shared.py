"""What a vector of worlds and its worker processes share: a block of memory, and their messages.

Arrays never travel. A message is one byte either way; what is longer (the game to make, a failure)
says its length first.
"""

import math
import mmap
import os
import select
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from shoal.core.errors import require
from shoal.envs.host.env import HostSpec

STEP, RESET, CLOSE = 0, 2, 4  # what a vector asks for; plus the slot to write to
RUNNING, ENDED, FAILED, REFUSED = range(4)  # what a worker answers; ENDED: some episode has
MAKING, RESETTING, STEPPING, WAITING = range(4)  # what a worker is at

AWAKE = 1e-3  # seconds
SEEDS = 2**31 - 1  # the largest seed that is given: many simulators keep theirs in an int32

LENGTH = struct.Struct("=Q")

Fields = dict[str, tuple[Any, tuple[int, ...]]]


class Rows(NamedTuple):
    """The fields of `HostStep` for many environments, a leading axis each."""

    obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    active: np.ndarray
    action_mask: np.ndarray | None
    global_state: np.ndarray | None

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> "Rows":
        """All of them, changed."""
        changed: list[Any] = [None if rows is None else change(rows) for rows in self]
        return Rows(*changed)


class Job(NamedTuple):
    """What a worker is told once."""

    facts: HostSpec
    num_envs: int  # of the whole vector
    first: int  # of this worker's environments
    last: int  # one past them
    make: Any  # a `Callable[[], HostEnv]`, pickled on its way to another process


class Status(NamedTuple):
    """What a worker was at when it was last heard of."""

    environment: int
    seed: int
    step: int
    phase: int

    def tell(self, what: str) -> str:
        """The line on a failure."""
        if self.phase == MAKING:
            return f"environment {self.environment} cannot be made: {what}"
        return f"environment {self.environment} (seed {self.seed}, step {self.step}): {what}"


def fields(facts: HostSpec) -> Fields:
    """The dtype and shape of each field of a `HostStep`, in order; without those it lacks."""
    agents = len(facts.agents)
    found: Fields = {
        "obs": (np.float32, (agents, max(facts.obs_sizes))),
        "reward": (np.float32, (agents,)),
        "terminated": (np.bool_, (agents,)),
        "truncated": (np.bool_, (agents,)),
        "active": (np.bool_, (agents,)),
    }
    if facts.masked:
        found["action_mask"] = (np.bool_, (agents, max(facts.action_sizes)))
    if facts.state_size:
        found["global_state"] = (np.float32, (facts.state_size,))
    return found


class Memory:
    """The shared arrays, B rows each. `successor` and `next` have two slots, written in turn.

    Arrays begin 16 bytes past a multiple of 64: JAX on a CPU keeps a reference to arrays that are
    aligned to 64 and copies the others, and what is written here later must not change its arrays.
    """

    def __init__(self, file: int, facts: HostSpec, num_envs: int):
        layout = _layout(facts, num_envs)
        if os.fstat(file).st_size < layout.itemsize:
            os.ftruncate(file, layout.itemsize)
        arrays = np.ndarray((), layout, buffer=mmap.mmap(file, layout.itemsize))
        self.status: np.ndarray = arrays["status"]  # int64 [B, 4], a worker's at its first row
        self.seeds: np.ndarray = arrays["seeds"]  # int64 [B]
        self.action: np.ndarray = arrays["action"]  # int32 [B, N] or float32 [B, N, A]
        self.successor = tuple(_rows(arrays, "successor", slot) for slot in range(2))
        self.next = tuple(_rows(arrays, "next", slot) for slot in range(2))


def _rows(arrays: np.ndarray, part: str, slot: int) -> Rows:
    keys = [f"{part}/{slot}/{name}" for name in Rows._fields]
    found: list[Any] = [arrays[key] if key in (arrays.dtype.names or ()) else None for key in keys]
    return Rows(*found)


def _layout(facts: HostSpec, num_envs: int) -> Any:
    """All arrays as the fields of one structured dtype."""
    agents = len(facts.agents)
    shape = (agents,) if facts.discrete else (agents, max(facts.action_sizes))
    formats: Fields = {
        "status": (np.int64, (num_envs, len(Status._fields))),
        "seeds": (np.int64, (num_envs,)),
        "action": (np.int32 if facts.discrete else np.float32, (num_envs, *shape)),
    }
    for part in ("successor", "next"):
        for slot in range(2):
            for name, (dtype, shape) in fields(facts).items():
                formats[f"{part}/{slot}/{name}"] = (dtype, (num_envs, *shape))
    offsets, end = [], 0
    for dtype, shape in formats.values():
        offsets.append(-(-end // 64) * 64 + 16)
        end = offsets[-1] + math.prod(shape) * np.dtype(dtype).itemsize
    require(end < 2**31, f"{num_envs:,} environments take {end / 1e9:,.1f} GB, expected at most 2")
    return np.dtype(
        {"names": [*formats], "formats": [*formats.values()], "offsets": offsets, "itemsize": end}
    )


def anonymous_file() -> int:
    """A descriptor of a file that has no name and is gone with the last process that holds it."""
    if sys.platform == "linux":
        return os.memfd_create("shoal")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def expect(poll: Any) -> None:
    """Stays awake for a little while until there is something to read: to wake a process that has
    gone to sleep takes longer than a step of many a world. `poll` is a `listener`."""
    until = time.perf_counter() + AWAKE
    while not poll.poll(0) and time.perf_counter() < until:
        os.sched_yield()


def listener(channel: socket.socket) -> Any:
    """A poll of one channel, for `expect`."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return poll


def send_long(channel: socket.socket, content: bytes, kind: bytes = b"") -> None:
    """Sends a message that has a length."""
    channel.sendall(kind + LENGTH.pack(len(content)) + content)


def receive_long(channel: socket.socket) -> bytes:
    """Receives what `send_long` sent, past its kind."""
    return receive(channel, LENGTH.unpack(receive(channel, LENGTH.size))[0])


def receive(channel: socket.socket, size: int) -> bytes:
    """Receives `size` bytes, or raises `EOFError`."""
    parts, missing = [], size
    while missing:
        part = channel.recv(min(missing, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
