"""What starts the ranks of a gang on this machine, and watches them.

A gang is one generation: where a rank dies, or none makes a step within the deadline, all are
killed and started again from the last checkpoint. Nothing here imports JAX.
"""

import contextlib
import dataclasses
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from shoal.core import child
from shoal.core.errors import Failure
from shoal.core.terminal import say
from shoal.distributed.job import LOST, Gang
from shoal.distributed.watched import Watched

RESTARTS, SPAN = 5, 3600.0  # most restarts in so many seconds
BACK_OFF = 1.0  # seconds before the first restart, twice as many before each one after it
FAR_BACK_OFF = 15.0  # more where other machines have a part: JAX ends the ranks there first
LEAVE_SECONDS = 9.5  # from a signal to the end
LINGER_SECONDS = 2.0  # that the others have to end once rank 0 has
LOOK_SECONDS = 0.25  # between two looks at the clock
LOCAL = "127.0.0.1"
_ABORTED = -signal.SIGABRT
_SHOW_CURSOR = b"\x1b[?25h"  # a progress bar that was killed has hidden it


def supervise(
    gang: Gang,
    ranks: Sequence[int],
    terminal: tuple[int, int],
    again: Callable[[Gang], Gang] | None = None,
) -> int:
    """Runs some ranks of a gang, all or one, to their end, and returns the exit code.

    Args:
        gang: what they do; without a coordinator each generation has one of its own here.
        ranks: which of them run on this machine.
        terminal: the user's standard output and error, to which rank 0 prints.
        again: the gang that goes on from the last checkpoint; none: nothing goes on.

    Raises:
        Failure: a rank died or was stuck, once too often.
    """
    failed: deque[float] = deque()
    with _signals() as wake:
        while True:
            with _generation(gang, ranks, terminal) as watched:
                ended = _watch(watched, wake, gang.deadline)
            if isinstance(ended, int):
                return ended
            if os.isatty(terminal[1]):
                os.write(terminal[1], _SHOW_CURSOR)
            wait = _wait(failed, ended, again is not None, len(ranks) < gang.ranks)
            if _received(wake, wait):
                raise Failure(f"{ended}, and no rank runs: nothing is left to stop")
            assert again is not None
            gang = again(gang)


def _wait(failed: deque[float], why: str, restarts: bool, far: bool) -> float:
    """Seconds until a restart, which is said. Raises `Failure` where there is none."""
    now = time.monotonic()
    while failed and now - failed[0] > SPAN:
        failed.popleft()
    if not restarts:
        raise Failure(why)
    if len(failed) == RESTARTS:
        raise Failure(f"{why}, after {RESTARTS} restarts within an hour: the last was one too many")
    failed.append(now)
    wait = BACK_OFF * 2 ** (len(failed) - 1) + FAR_BACK_OFF * far
    count = f"restart {len(failed)} of at most {RESTARTS} in an hour"
    say(f"shoal: {why}; going on from the last checkpoint in {wait:g} s, {count}")
    return wait


@contextlib.contextmanager
def _generation(
    gang: Gang, ranks: Sequence[int], terminal: tuple[int, int]
) -> Iterator[list[Watched]]:
    """The ranks, started; at the end of it none is left."""
    if not gang.coordinator:
        gang = dataclasses.replace(gang, coordinator=f"{LOCAL}:{_free_port()}")
    watched: list[Watched] = []
    try:
        for rank in ranks:
            watched.append(Watched(gang, rank, _cores(gang, rank, ranks), ranks[0], terminal))
        yield watched
    finally:
        for each in watched:
            each.end()


def _cores(gang: Gang, rank: int, ranks: Sequence[int]) -> list[int]:
    """Of a rank: those of this machine are shared out. One that is deterministic has one."""
    shares = child.shares(sorted(os.sched_getaffinity(0)), len(ranks))
    cores = shares[rank - ranks[0]]
    return cores[:1] if gang.deterministic else cores


def _watch(watched: list[Watched], wake: int, deadline: float) -> int | str:
    """Until the command has ended, with its exit code, or a rank has failed, in a line."""
    leader, until = watched[0], None
    while True:
        channels = [each.channel for each in watched if each.open]
        readable, *_ = select.select([wake, *channels], [], [], LOOK_SECONDS)
        for each in watched:
            each.hear()
        if wake in readable and (number := _received(wake)):
            if leader.rank != 0:
                raise Failure(f"rank {leader.rank} was stopped: the others wait until it is back")
            leader.child.send_signal(number)
            until = until or time.monotonic() + LEAVE_SECONDS
        codes = [(each, code) for each in watched if (code := each.child.poll()) is not None]
        final = [(each, code) for each, code in codes if code in (1, 2) or each is leader]
        for each, code in final:
            if 0 <= code != LOST or until:
                if code and (words := each.words()):
                    say(f"shoal: {words}")
                for other in watched:
                    other.linger(time.monotonic() + LINGER_SECONDS * (code == 0))
                return code if code in (0, 1, 2) else 1
        if until and time.monotonic() > until:
            raise Failure(f"rank 0 did not end within {LEAVE_SECONDS:g} s: it was killed")
        if not until and (why := _failure(codes) or _silence(watched, deadline)):
            return why


def _failure(codes: list[tuple[Watched, int]]) -> str:
    """What became of a rank that ended badly: of one that was killed, where there is one."""
    bad = [(each, code) for each, code in codes if code]
    for each, code in sorted(bad, key=lambda end: end[1] in (LOST, _ABORTED)):
        if not each.joined and code in (LOST, _ABORTED):
            return f"rank {each.rank} waited in vain for the other ranks to come"
        if code == LOST:
            return f"rank {each.rank} lost another ({each.words()})"
        why = ", as JAX does where another one is gone" if code == _ABORTED else ""
        return f"rank {each.rank} was {child.fate(code)}{why}"
    return ""


def _silence(watched: list[Watched], deadline: float) -> str:
    """Which rank shows no sign of life, or that none makes a step."""
    there = [each for each in watched if each.open]
    quiet = max(there, key=Watched.silence, default=None)
    if quiet is None:
        return ""
    stuck = any(each.step() > deadline for each in there)
    if quiet.silence() > (deadline / 2 if stuck else deadline):
        return f"rank {quiet.rank} did not answer within {deadline:g} s"
    return f"no step was made within {deadline:g} s (--deadline)" if stuck else ""


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Within it SIGINT and SIGTERM are bytes of the pipe that is given."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    stopping = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in stopping}
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _received(wake: int, seconds: float = 0.0) -> int:
    """The signal that comes within so many seconds, or 0."""
    until = time.monotonic() + seconds
    while True:
        select.select([wake], [], [], max(until - time.monotonic(), 0.0))
        with contextlib.suppress(BlockingIOError):
            for number in os.read(wake, 1):
                if number in (signal.SIGINT, signal.SIGTERM):
                    return number
        if time.monotonic() >= until:
            return 0


def _free_port() -> int:
    with socket.create_server((LOCAL, 0)) as server:
        return server.getsockname()[1]
