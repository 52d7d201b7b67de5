"""Several processes on one study. They end with the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GRACE_SECONDS = 15.0  # a worker that is asked to stop finishes the updates at hand


class Crew:
    """Worker processes, each on its share of the cores."""

    def __init__(self, directory: Path, workers: int):
        self._directory, self._workers = directory, workers
        self._processes: list[subprocess.Popen[bytes]] = []

    def work(self, trials: int, seconds: float) -> None:
        """Runs trials until `trials` have begun or no more may begin.

        Raises:
            KeyboardInterrupt: on SIGINT and SIGTERM, after the workers have stopped.
            ChildProcessError: a worker died; the others have done what was left.
        """
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            for cores in shares(sorted(os.sched_getaffinity(0)), self._workers):
                self._processes.append(self._start(trials, seconds, cores))
            codes = [process.wait() for process in self._processes]
        finally:
            self._stop()
            signal.signal(signal.SIGTERM, before)
        if any(codes):
            raise ChildProcessError(f"{sum(map(bool, codes))} of {len(codes)} workers died")

    def _start(self, trials: int, seconds: float, cores: list[int]) -> "subprocess.Popen[bytes]":
        """A session of its own, so that Ctrl-C reaches it through us alone, and once."""
        module = "shoal.tuning.worker"
        words = [str(self._directory), str(trials), str(seconds), ",".join(map(str, cores))]
        return subprocess.Popen(
            [sys.executable, "-m", module, *words], stdin=subprocess.PIPE, start_new_session=True
        )

    def _stop(self) -> None:
        """Asks those that still run to stop, and ends them if they do not."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        end = time.monotonic() + GRACE_SECONDS
        for process in self._processes:
            try:
                process.wait(max(end - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


def shares(cores: list[int], workers: int) -> list[list[int]]:
    """The cores of each worker: apart where there are enough, else dealt out in turn.

    >>> shares([0, 1, 2, 3], 2)
    [[0, 2], [1, 3]]
    >>> shares([0, 1], 3)
    [[0], [1], [0]]
    """
    return [cores[k::workers] or [cores[k % len(cores)]] for k in range(workers)]


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt
