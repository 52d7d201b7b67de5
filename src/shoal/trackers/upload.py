"""Rows that are on the disk already, sent to a tracker from the first one on.

Always into new tracked runs: trackers do not take rows of the past, so that what is missing in an
old one cannot be filled in.
"""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.core.errors import require
from shoal.runs.config import Config
from shoal.runs.run_directory import RunDirectory, read_metrics
from shoal.trackers.choice import check
from shoal.trackers.isolated import Isolated
from shoal.trackers.tracker import Row, member_of, numbers
from shoal.trackers.tracking import tracked_run

POLL = 5.0  # seconds between two looks at a run that goes on


def upload(directory: Path, to: str, *, follow: bool = False) -> tuple[int, str]:
    """Sends the rows of a run to the tracker called `to`.

    With `follow`, new rows are sent as they come, until the run has reached its end.

    Returns:
        How many rows, and where they are now.

    Raises:
        UserError: no run there, no rows, an unknown tracker, or one that is not installed.
        TrackerError: the tracker does not take them.
    """
    check(to)
    run = RunDirectory.open(directory)
    settings = Config.from_json(run.read_config()).members()
    require(follow or any(_rows(run, settings)), f"{directory} has no rows of metrics yet")
    tracker, count = Isolated(to), 0
    opened = tracker.start(tracked_run(run, settings, uuid.uuid4().hex[:12]))
    for row in _new_rows(run, settings, follow):
        tracker.log(*row)
        count += 1
    tracker.finish((directory / "eval.json").is_file())
    return count, opened.place


def _new_rows(run: RunDirectory, settings: list[dict[str, Any]], follow: bool) -> Iterator[Row]:
    """Every row once, also where an interrupted run was resumed and wrote some a second time."""
    last_steps = [-1] * len(settings)
    while True:
        ended = not follow or (run.path / "eval.json").is_file()  # after its last row
        for row in _rows(run, settings):
            if row.step > last_steps[row.member]:
                last_steps[row.member] = row.step
                yield row
        if ended:
            return
        time.sleep(POLL)


def _rows(run: RunDirectory, settings: list[dict[str, Any]]) -> Iterator[Row]:
    """What the log holds now."""
    if not run.metrics.is_file():
        return
    for row in read_metrics(run.metrics):
        member = member_of(row, settings)
        if member is not None:
            yield Row(member, int(row["step"]), numbers(row, settings[member]))
