"""One tracker in a thread of its own: training hands over rows and never waits.

Rows wait in a queue that forgets the oldest when it is full. A tracker that fails is started again
after a while, and gets the rows that it has not seen; one that hangs is left alone.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from shoal.core.errors import in_a_line
from shoal.trackers.tracker import Row, TrackedRun, Tracker

CAPACITY = 10_000  # rows that wait: some 20 MB
FIRST_RETRY, LAST_RETRY = 10.0, 300.0  # seconds between attempts, doubled from one to the next


class Tracked:
    """A tracker and the rows that wait for it.

    `make` gives the tracker for each attempt; `tell(text, important)` is for a person.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Tracker],
        run: TrackedRun,
        tell: Callable[[str, bool], None],
        capacity: int = CAPACITY,
    ):
        self.name = name
        self.dropped = 0
        self.complete = False  # whether the tracker has every row, and said so
        self._make, self._run, self._tell = make, run, tell
        self._tracker: Tracker | None = None
        self._rows: deque[Row] = deque()
        self._row: Row | None = None  # taken out of the queue, and not yet logged
        self._logged: dict[int, int] = {}  # the last step of each member
        self._capacity = capacity
        self._changed = threading.Condition()
        self._ending: bool | None = None  # whether training ended well, once it has ended
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=f"track-{name}", daemon=True)
        self._thread.start()

    # For the thread that trains.

    def offer(self, rows: Sequence[Row]) -> None:
        """Puts rows into the queue, at the cost of the oldest where there is no room."""
        with self._changed:
            self._rows.extend(rows)
            while len(self._rows) > self._capacity:
                self._rows.popleft()
                self.dropped += 1
            self._changed.notify()

    def end(self, ok: bool) -> None:
        """There will be no more rows."""
        with self._changed:
            self._ending = ok
            self._changed.notify()

    def wait(self, until: float) -> bool:
        """Whether the tracker has every row, at the latest at `until` (`time.monotonic`). Then one
        that is still busy is abandoned."""
        try:
            self._thread.join(max(0.0, until - time.monotonic()))
        finally:  # also if the user has no patience
            if self._thread.is_alive() and self._tracker is not None:
                self._tracker.abandon()
        return self.complete

    # For the thread of the tracker.

    def _work(self) -> None:
        pause = FIRST_RETRY
        while True:
            try:
                self._attempt()
                return
            except BaseException as problem:  # libraries call sys.exit, too
                self._report(problem)
            if self._ended_within(pause):
                return
            pause = min(2 * pause, LAST_RETRY)

    def _attempt(self) -> None:
        """Opens the tracked runs, and logs until the end."""
        self._tracker = tracker = self._make()
        opened = tracker.start(self._run)
        if not self._failed:
            self._tell(f"{self.name}: {opened.place}", False)
        # What an earlier attempt logged and the tracker has not kept is lost to it.
        self.dropped += sum(opened.last_steps[m] < step for m, step in self._logged.items())
        while (row := self._next()) is not None:
            # A run that was resumed, or a tracker that was started again, repeats some rows.
            if row.step > opened.last_steps[row.member]:
                tracker.log(*row)
                self._logged[row.member] = row.step
            self._row = None
        tracker.finish(bool(self._ending))
        self.complete = self.dropped == 0

    def _next(self) -> Row | None:
        """The row to log, once there is one; `None` at the end."""
        with self._changed:
            if self._row is None:
                self._changed.wait_for(lambda: self._rows or self._ending is not None)
                self._row = self._rows.popleft() if self._rows else None
            return self._row

    def _ended_within(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._ending is not None, seconds)

    def _report(self, problem: BaseException) -> None:
        """Tells of the first failure; more of the same would only hide what matters."""
        if not self._failed and self._ending is None:
            said = problem_line(problem).rstrip(".")
            self._tell(f"warning: {self.name}: {said}; training goes on without it", True)
        self._failed = True


def problem_line(problem: BaseException) -> str:
    """An exception as one short line."""
    line = in_a_line(problem, named=False)
    return f"it asked to exit with {line}" if isinstance(problem, SystemExit) else line
