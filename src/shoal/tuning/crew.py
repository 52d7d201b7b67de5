"""Several processes on one study. They end with the process that started them."""

import os
import signal
import subprocess
from pathlib import Path
from types import FrameType

from shoal.core import child

GRACE_SECONDS = 15.0  # a worker that is asked to stop finishes the updates at hand


def work(directory: Path, workers: int, trials: int, seconds: float) -> None:
    """Runs trials in worker processes, each on its share of the cores, until `trials` have begun or
    no more may begin.

    Raises:
        KeyboardInterrupt: on SIGINT and SIGTERM, after the workers have stopped.
        ChildProcessError: a worker died; the others have done what was left.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    crew: list[child.Child] = []
    try:
        for cores in child.shares(sorted(os.sched_getaffinity(0)), workers):
            words = str(directory), str(trials), str(seconds), ",".join(map(str, cores))
            worker = child.start(
                "shoal.tuning.worker",
                *words,
                stdin=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches it through us alone, and once
            )
            crew.append(worker)
        codes = [worker.wait() for worker in crew]
    finally:
        child.stop(crew, GRACE_SECONDS, signal.SIGINT)
        signal.signal(signal.SIGTERM, before)
    if any(codes):
        raise ChildProcessError(f"{sum(map(bool, codes))} of {len(codes)} workers died")


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt
