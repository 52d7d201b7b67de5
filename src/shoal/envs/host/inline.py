"""A block of worlds in this very process: no message to wait for, and no help where one hangs."""

import contextlib
import os

from shoal.envs.host import shared
from shoal.envs.host.process import Lost
from shoal.envs.host.shared import Job, Memory
from shoal.envs.host.worker import Worker


class Inline:
    """What `Process` is, for worlds whose step takes less time than a message."""

    def __init__(self, job: Job, memory: Memory):
        self.block = slice(job.first, job.last)
        self.shown = False  # whether it has shown the start of an episode
        self.pid = os.getpid()
        self._worker = Worker(job, memory)
        with contextlib.chdir("."):  # where it is left for another folder, that is undone
            self._answer = self._worker.answer(lambda: self._worker.make(job.make))

    def ask(self, message: bytes) -> None:
        """Does at once what is asked for."""
        if message[0] == shared.CLOSE:
            self._worker.close()
        else:
            self._answer = self._worker.answer_to(message)

    def hear(self, deadline: float, since: float) -> int:
        """The kind of the answer, which is there. Raises `Lost` where it is a failure."""
        del deadline, since
        kind, content = self._answer
        if kind >= shared.FAILED:
            raise Lost(content.decode(), kind == shared.REFUSED)
        return kind

    def kill(self) -> None:
        """Closes the worlds."""
        self._worker.close()

    def end(self, until: float) -> None:
        """Nothing is left to wait for."""
        del until
