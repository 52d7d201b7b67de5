"""A clock that stands still while this process is stopped, by Ctrl-Z or in a frozen container.

Deadlines for children count by it: they were stopped as well, and could not answer.
"""

import threading
import time

TICK = 0.25  # seconds between two looks; what is more than twice as long was a stop


class _Clock:
    """Adds up the time between looks, of which a thread of its own takes one each tick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked, self._awake, self._ticks = time.monotonic(), 0.0, False

    def now(self) -> float:
        with self._lock:
            now = time.monotonic()
            self._awake += min(now - self._looked, 2 * TICK)
            self._looked = now
            if not self._ticks:
                self._ticks = True
                threading.Thread(target=self._tick, daemon=True).start()
            return self._awake

    def _tick(self) -> None:
        while True:
            time.sleep(TICK)
            self.now()


_CLOCK = _Clock()


def now() -> float:
    """Seconds that this process has been awake, from some moment on."""
    return _CLOCK.now()
