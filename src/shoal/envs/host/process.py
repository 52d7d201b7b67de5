"""A worker process as its parent sees it: asked for something, heard within a deadline, or lost."""

import contextlib
import os
import pickle
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from shoal.core import awake, child
from shoal.envs.host import shared
from shoal.envs.host.shared import Job, Memory, Status

STARTING = 60.0  # seconds that a process has at least to import and make its games
GRACE = 5.0  # seconds to close games in
LISTEN = 0.2  # seconds between two looks at the clock

_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_UNLESS_SET = {
    "SDL_VIDEODRIVER": "dummy",  # no windows
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


class Lost(Exception):
    """A worker failed; says how in one line that names environment, seed and step. `for_good` where
    another in its place would fail likewise."""

    def __init__(self, line: str, for_good: bool = False):
        super().__init__(line)
        self.for_good = for_good


class Process:
    """The process for the environments `job.first` to `job.last - 1`, started at once."""

    def __init__(self, job: Job, memory: Memory, file: int):
        self.block = slice(job.first, job.last)
        self.shown = False  # whether it has shown the start of an episode
        self._status = memory.status[job.first]
        self._status[:] = (job.first, 0, 0, shared.MAKING)
        self._child, self._channel, self._lifeline = begin("shoal.envs.host.worker", file)
        self._listener = shared.listener(self._channel)
        self._channel.settimeout(STARTING)
        with contextlib.suppress(OSError):  # what became of it is told when it is heard
            shared.send_long(self._channel, pickle.dumps(job))

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, message: bytes) -> None:
        """Sends a request. Where the process is gone, `hear` tells."""
        with contextlib.suppress(OSError):
            self._channel.send(message)

    def hear(self, deadline: float, since: float) -> int:
        """The kind of the answer. Raises `Lost` where none comes until `deadline` seconds after
        `since` (`awake.now`), or where the answer is a failure."""
        try:
            shared.expect(self._listener)
            wait(self._listener, deadline, since)
            self._channel.settimeout(deadline)
            kind = shared.receive(self._channel, 1)[0]
            content = shared.receive_long(self._channel) if kind >= shared.FAILED else b""
        except TimeoutError:
            raise Lost(self._line(f"did not answer within {deadline:g} s")) from None
        except (EOFError, OSError):
            raise Lost(self._line(self._fate())) from None
        if kind >= shared.FAILED:
            raise Lost(content.decode(), kind == shared.REFUSED)
        return kind

    def kill(self, until: float = 0.0) -> None:
        """Ends the process at once, or at `until` if it has not ended by then."""
        child.end(self._child, until)
        self._channel.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def end(self, until: float) -> None:
        """Waits until `until` for the process to end, then kills it."""
        with contextlib.suppress(OSError):
            self._channel.settimeout(max(until - time.monotonic(), 1e-3))
            while self._channel.recv(1 << 16):
                pass
        self.kill(until)

    def _line(self, what: str) -> str:
        return Status(*self._status.tolist()).tell(what)

    def _fate(self) -> str:
        waited = " while it waited" if self._status[3] == shared.WAITING else ""
        return f"{fate(self._child)}{waited}"


def begin(module: str, *files: int) -> tuple[child.Child, socket.socket, int]:
    """Starts a process that runs others' code: itself, the channel to it, and the end of a pipe
    that ends it when it is closed. It is told the descriptors of its channel, of `files` and of its
    end of that pipe."""
    channel, theirs = socket.socketpair()
    lifeline, ours = os.pipe()
    with theirs, os.fdopen(lifeline):
        told = (theirs.fileno(), *files, lifeline)
        started = child.start(
            module,
            *map(str, told),
            pass_fds=told,
            stdin=subprocess.DEVNULL,
            env=_UNLESS_SET | os.environ | dict.fromkeys(_ONE_THREAD, "1"),
        )
    return started, channel, ours


def wait(listener: Any, deadline: float, since: float) -> None:
    """Waits until there is something to read. Raises `TimeoutError` where that takes more than
    `deadline` seconds since `since` (`awake.now`)."""
    while not listener.poll(LISTEN * 1000):  # short, since a stop would count as one
        if awake.now() > since + deadline:
            raise TimeoutError


def fate(ended: child.Child) -> str:
    """What became of a process that closed its end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended.wait(GRACE)
    code = ended.returncode
    if code is None:
        return "its process closed its channel"
    return f"its process {'was' if code < 0 else 'ended with'} {child.fate(code)}"


def stop(processes: Sequence[Any], file: int) -> None:
    """Ends all processes, and closes the descriptor of the memory that they shared."""
    for process in processes:
        process.ask(bytes((shared.CLOSE,)))
    until = time.monotonic() + GRACE
    for process in processes:
        process.end(until)
    os.close(file)
