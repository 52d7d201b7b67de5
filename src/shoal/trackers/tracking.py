"""The trackers of one training: told of every report, given a few seconds at the end."""

import os
import time
import uuid
from contextlib import suppress
from typing import Any

from shoal.core.names import to_type
from shoal.core.terminal import say
from shoal.runs.config import Config
from shoal.runs.durable import write_json_atomic
from shoal.runs.run_directory import RunDirectory
from shoal.trackers.choice import NOTE, Track, choose, remembered
from shoal.trackers.isolated import Isolated
from shoal.trackers.tracked import Tracked
from shoal.trackers.tracker import Row, TrackedRun, Tracker, numbers

PATIENCE = 10.0  # seconds that trackers have, together, to take the last rows


class Tracking:
    """Trackers from `__enter__` to `__exit__`; `watch` is the watcher that feeds them.

    Nothing that a tracker does, or fails to do, reaches the training.
    """

    def __init__(
        self, track: Track | None, directory: RunDirectory, config: Config, quiet: bool = False
    ):
        """`track=None` goes on with the trackers that the run was given when it was started.

        Raises:
            UserError: an unknown tracker, or one that is not installed.
        """
        known_id, names = remembered(directory.path)
        self.chosen = choose(names if track is None else track)
        self._id = known_id or uuid.uuid4().hex[:12]
        self._directory, self._quiet = directory, quiet
        self._settings = config.members()
        self._tracked: list[Tracked] = []

    def __enter__(self) -> "Tracking":
        self._note()
        if not self.chosen:
            return self
        run = tracked_run(self._directory, self._settings, self._id, os.getpid())
        for entry in self.chosen:
            if isinstance(entry, Tracker):
                name, make = type(entry).__name__, lambda entry=entry: entry
            else:
                name, make = entry, lambda entry=entry: Isolated(entry)
            self._tracked.append(Tracked(name, make, run, self._tell))
        return self

    def watch(self, rows: list[dict[str, Any]]) -> None:
        """Hands a report over; takes microseconds."""
        if not self._tracked:
            return
        report = [
            Row(member, int(row["step"]), numbers(row, settings))
            for member, (row, settings) in enumerate(zip(rows, self._settings))
        ]
        for tracked in self._tracked:
            tracked.offer(report)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for tracked in self._tracked:
            tracked.end(ok=kind is None)
        until = time.monotonic() + PATIENCE
        for tracked in self._tracked:
            if not tracked.wait(until):
                self._tell(self._missing(tracked.name), True)

    def _missing(self, name: str) -> str:
        run = self._directory.path
        sends = to_type("shoal", "track", run, "--to", name)
        known = f": `{sends}` sends them" if name in self.chosen else ""
        return f"warning: {name} may lack rows of {run} that its metrics.jsonl has{known}"

    def _note(self) -> None:
        """Remembers who follows the run, for when it is resumed."""
        names = [entry for entry in self.chosen if isinstance(entry, str)]
        path = self._directory.path / NOTE
        if self.chosen or path.exists():
            with suppress(OSError):
                write_json_atomic(path, {"id": self._id, "trackers": names})

    def _tell(self, text: str, important: bool) -> None:
        """A line for a person; also from a thread whose interpreter is leaving."""
        if important or not self._quiet:
            say(f"shoal: {text}")


def tracked_run(
    directory: RunDirectory, settings: list[dict[str, Any]], id: str, pid: int | None = None
) -> TrackedRun:
    """The run in `directory` as trackers see it."""
    path = directory.path.resolve()
    return TrackedRun(id, path.name, str(path), directory.read_config(), settings, pid)
