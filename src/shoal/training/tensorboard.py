"""Metrics for TensorBoard. A failing disk or writer costs the curves, never the run.

`SummaryWriter` hands its events to a thread through a queue that is soon full; whoever writes then
waits for a thread that a full disk may have ended. So events are written here, one after another.
"""

import contextlib
import time
import warnings
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboardX.summary import scalar

FLUSH_SECONDS = 30.0


class TensorBoard:
    """Writes every number of a row under its name, one run a member."""

    def __init__(self, path: Path):
        self._path = path
        self._writers: dict[str, EventsWriter] = {}
        self._broken = False
        self._flushed_at = -FLUSH_SECONDS

    def write(self, row: dict[str, Any]) -> None:
        """Writes a row; after a first failure, nothing."""
        if self._broken:
            return
        now, step, member = time.time(), row["step"], f"seed_{row['seed']}"
        try:
            writer = self._writers.get(member) or self._open(member, step)
            for name, value in row.items():
                if isinstance(value, float):
                    summary = scalar(name, value)
                    writer.write_event(Event(wall_time=now, step=step, summary=summary))
            if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
                for writer in self._writers.values():
                    writer.flush()
                self._flushed_at = time.monotonic()
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Flushes and closes."""
        try:
            for writer in self._writers.values():
                writer.close()
        except OSError as error:
            self._fail(error)

    def _open(self, member: str, step: int) -> EventsWriter:
        """A new file, which hides what an interrupted run wrote after its checkpoint."""
        directory = self._path / member
        directory.mkdir(parents=True, exist_ok=True)
        writer = self._writers[member] = EventsWriter(str(directory / "events"))
        start = SessionLog(status=SessionLog.START)
        writer.write_event(Event(wall_time=time.time(), step=step, session_log=start))
        return writer

    def _fail(self, error: OSError) -> None:
        warnings.warn(f"TensorBoard is off: {error}", RuntimeWarning, stacklevel=3)
        self._broken = True
        for writer in self._writers.values():
            with contextlib.suppress(OSError):
                writer.close()
        self._writers.clear()
