"""Child processes that run a module of Shoal: how they start, when they end, and how they ended.

Standard library only: a child imports this first, and not every child may import JAX.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Child = subprocess.Popen[bytes]
_STOPPING = (signal.SIGINT, signal.SIGTERM)

_USERS_PATH = "SHOAL_USERS_PYTHONPATH"  # PYTHONPATH as the user has it, on its way to a child


# For the parent -------------------------------------------------------------------------------


def start(module: str, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> Child:
    """Starts `python -P -m module words...`, which finds modules where this process does.

    Args:
        module: it calls `settle` before anything else.
        words: its arguments.
        env: its environment, if not that of this process.
        options: those of `subprocess.Popen`, such as pipes.
    """
    env = dict(os.environ if env is None else env)
    if "PYTHONPATH" in env:
        env[_USERS_PATH] = env["PYTHONPATH"]
    env["PYTHONPATH"] = os.pathsep.join(place or os.getcwd() for place in sys.path)
    command = [sys.executable, "-P", "-m", module, *words]
    with _held_back():
        return Child(command, env=env, **options)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """A child that is started meanwhile holds signals back until it settles: one that reaches the
    whole group while it still imports is not the end of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end(child: Child, until: float = 0.0) -> int:
    """Waits until `until` (`time.monotonic`) for a child to end, kills it if it has not, closes its
    pipes and returns its exit code."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(max(until - time.monotonic(), 0.0))
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    return child.wait()


def stop(children: Sequence[Child], grace: float, number: int = signal.SIGTERM) -> None:
    """Asks children to stop by a signal, and kills those that still run `grace` seconds later."""
    for child in children:
        child.send_signal(number)
    until = time.monotonic() + grace
    for child in children:
        end(child, until)


def fate(code: int) -> str:
    """How a child with this exit code ended.

    >>> fate(3), fate(-9)
    ('exit code 3', 'killed by signal 9')
    """
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def shares(cores: list[int], children: int) -> list[list[int]]:
    """The cores of each of so many children: apart where there are enough, else dealt out in turn.

    >>> shares([0, 1, 2, 3], 2)
    [[0, 2], [1, 3]]
    >>> shares([0, 1], 3)
    [[0], [1], [0]]
    """
    return [cores[k::children] or [cores[k % len(cores)]] for k in range(children)]


# For the child --------------------------------------------------------------------------------


def settle(lifeline: int, grace: float = 0.0, *, heeds_signals: bool = False) -> None:
    """Begins a child: it has the user's PYTHONPATH again, and ends when its parent does.

    Args:
        lifeline: a pipe or socket whose other end the parent alone holds. It may carry data.
        grace: seconds that are left when that end closes, whatever the process is busy with.
        heeds_signals: whether SIGINT and SIGTERM, which reach a whole group, end this process too.
    """
    os.environ.pop("PYTHONPATH", None)
    if (path := os.environ.pop(_USERS_PATH, None)) is not None:
        os.environ["PYTHONPATH"] = path
    if not heeds_signals:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    threading.Thread(target=_end_with_parent, args=(lifeline, grace), daemon=True).start()


def end_by_signal(lifeline: int) -> None:
    """Ends this process with its parent also while code that holds Python's lock keeps the thread
    of `settle` waiting: the kernel sends SIGIO when the other end of a pipe is closed, which on
    Linux ends a process. Elsewhere it is ignored. The pipe must carry no data."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


def _end_with_parent(lifeline: int, grace: float) -> None:
    poll = select.poll()
    poll.register(lifeline, 0)  # a hang-up is always reported
    poll.poll()
    time.sleep(grace)
    os._exit(1)
