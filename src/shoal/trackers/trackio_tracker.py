"""Trackio: a trackio run a member, in the project TRACKIO_PROJECT or `shoal`.

Local by default (`trackio show`); TRACKIO_SPACE_ID and TRACKIO_SERVER_URL send it elsewhere.
"""

import contextvars
import os
from typing import Any

from shoal.trackers.tracker import Opened, TrackedRun, Tracker


class TrackioTracker(Tracker):
    """Rows as trackio's logs, by environment steps."""

    def __init__(self) -> None:
        self._runs: list[Any] = []

    def start(self, run: TrackedRun) -> Opened:
        project = os.environ.get("TRACKIO_PROJECT") or "shoal"
        # The library has one current run a context and finishes it when another begins.
        self._runs = [
            contextvars.Context().run(_open, project, run, member)
            for member in range(len(run.settings))
        ]
        last_steps = [r._next_step - 1 for r in self._runs]  # it has no public name for this
        return Opened(last_steps, f"trackio show --project {project}")

    def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
        self._runs[member].log(numbers, step=step)

    def finish(self, ok: bool) -> None:
        for run in self._runs:
            run.finish()


def _open(project: str, run: TrackedRun, member: int) -> Any:
    import trackio  # pyright: ignore[reportMissingImports]

    return trackio.init(
        project,
        name=f"{run.member_name(member)}-{run.id}",  # to trackio a name is an identity
        group=run.name,
        config=run.member_config(member),
        resume="allow",
        embed=False,
        auto_log_gpu=member == 0 and run.pid is not None,
        auto_log_cpu=False,  # of this small process, not of the one that trains
    )
