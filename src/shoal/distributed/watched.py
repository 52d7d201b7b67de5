"""A rank as its supervisor sees it."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence

from shoal.core import awake, child
from shoal.distributed.job import BEGIN, END, JOINED, Gang, Job

STARTING = 120.0  # seconds that a rank has at least to import and to show that it lives
_OURS = "shoal: "  # what a line of Shoal's begins with
_TAIL = 65_536  # bytes at the end of a log


class Watched:
    """A rank of a gang, started at once. `first` is the first rank of this machine."""

    def __init__(
        self, gang: Gang, rank: int, cores: list[int], first: int, terminal: Sequence[int]
    ):
        self.rank, self.open, self.joined = rank, True, False
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by `end`
        self._heard = awake.now() + max(STARTING - gang.deadline, 0.0)
        self._began: float | None = None
        with theirs, contextlib.ExitStack() as copies:
            files = [os.dup(file) for file in terminal] if rank == 0 else []
            for file in files:
                copies.callback(os.close, file)
            accelerator = (rank - first) * gang.devices
            job = Job(gang, rank, cores, accelerator, theirs.fileno(), files)
            self.child = child.start(
                "shoal.cli.rank",
                job.write(),
                pass_fds=(theirs.fileno(), *files),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C reaches it through us alone
            )

    def hear(self) -> None:
        """Takes in what the rank has shown."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while self.open:
                shown = self.channel.recv(4096)
                self.open = bool(shown)
                for sign in shown:
                    self._heard = awake.now()
                    self.joined |= sign == JOINED
                    if sign in (BEGIN, END):
                        self._began = self._heard if sign == BEGIN else None

    def silence(self) -> float:
        """Seconds since the last sign of life."""
        return awake.now() - self._heard

    def step(self) -> float:
        """Seconds that the step which it is at has taken; 0 if it is at none."""
        return 0.0 if self._began is None else awake.now() - self._began

    def words(self) -> str:
        """The last line that the rank has printed for its supervisor: the last one of Shoal's, if
        there is one. What rank 0 printed for the user is not among them."""
        self._log.seek(max(os.fstat(self._log.fileno()).st_size - _TAIL, 0))
        lines = [x for x in self._log.read().decode(errors="replace").splitlines() if x.strip()]
        ours = [line.removeprefix(_OURS) for line in lines if line.startswith(_OURS)]
        return next(iter(reversed(ours or lines * (self.rank > 0))), "")

    def linger(self, until: float) -> None:
        """Waits until the rank has ended by itself, until `until` (`time.monotonic`)."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(max(until - time.monotonic(), 0.0))

    def end(self) -> None:
        """Kills it."""
        child.end(self.child)
        self.channel.close()
        self._log.close()
