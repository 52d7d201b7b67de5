"""Ctrl-C and SIGTERM: finish the step at hand, save, leave, and never take longer than that."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

GRACE_SECONDS = 8.0


class Stopper:
    """While it is entered, the first SIGINT or SIGTERM sets `requested`; a second one ends the
    process at once. So does the end of the grace period: a program may still be compiling, and
    what is closed afterwards, such as workers and trackers, may hang. It is entered first and left
    last, so that there is one clock for all of that.

    `saved` says how to go on, while everything that was learned is on the disk; until training has
    `begun` there is nothing to save.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self.saved, self.begun = "", False
        self._main = threading.current_thread() is threading.main_thread()
        self._before: dict[int, object] = {}
        self._pipe: tuple[int, int] | None = None
        self._woken = -1

    def __enter__(self) -> "Stopper":
        if not self._main:  # signals reach the main thread only
            return self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._request)
        read, write = os.pipe()
        os.set_blocking(write, False)
        self._pipe = (read, write)
        # The interpreter runs handlers between instructions; this byte is written at once.
        self._woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(read,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is None:
            return
        signal.set_wakeup_fd(self._woken)
        os.close(self._pipe[1])
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _request(self, number: int, _: FrameType | None) -> None:
        self.requested = self.requested or signal.Signals(number)

    def _watch(self, read: int) -> None:
        """Waits for the first signal, then for the second or the end of the grace period."""
        if first := _received(read):
            why = f"{GRACE_SECONDS:g} s after {first.name}"
            killer = threading.Timer(GRACE_SECONDS, self._leave, (why,))
            killer.daemon = True
            killer.start()
            if _received(read):
                self._leave("by a second signal")
            killer.cancel()
        os.close(read)

    def _leave(self, why: str) -> None:
        """Ends the process at once, and says what that costs."""
        lost = "without saving: what was learned since the last checkpoint is lost"
        lost = lost if self.begun else "before training began: nothing was saved"
        how = f"with all saved; {self.saved}" if self.saved else lost
        _end(f"{why}, {how}")


@contextlib.contextmanager
def ended_in_a_line() -> Iterator[None]:
    """Within it SIGTERM ends the process at once, and says so, unless a `Stopper` is entered: also
    while JAX is imported, a program compiles or a world hangs."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def watch() -> None:
        while received := _received(read):
            if received is signal.SIGTERM:
                _end("by SIGTERM: no training was under way")

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, before)
        os.close(write)


def _end(how: str) -> NoReturn:
    """Ends the process with a line, whatever its other threads are at."""
    clear = "\r\x1b[2K\x1b[?25h" if os.isatty(2) else ""  # a line that moved, without a cursor
    with contextlib.suppress(OSError):
        os.write(2, f"{clear}shoal: ended {how}\n".encode())
    os._exit(1)


def _received(read: int) -> signal.Signals | None:
    """The signal that came before the pipe was closed."""
    while byte := os.read(read, 1):
        if byte[0] in (signal.SIGINT, signal.SIGTERM):
            return signal.Signals(byte[0])
    return None
