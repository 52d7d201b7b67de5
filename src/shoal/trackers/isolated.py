"""A tracker's library in a process of its own, because of what such libraries do to the process
that they are in: threads, services, signal handlers, prompts, prints, and exits that wait for ever.

One JSON line asks, one answers (`worker` is the other end). A process that is left behind sends
what it has and ends within a minute.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
from typing import Any

from shoal.core import child
from shoal.trackers.tracker import Opened, TrackedRun, Tracker, TrackerError


class Isolated(Tracker):
    """The tracker called `name`, in a process that training can do without."""

    def __init__(self, name: str):
        self.name = name
        self._child: child.Child | None = None
        self._abandoned = False

    def start(self, run: TrackedRun) -> Opened:
        log = run.place(f"{self.name}.log")  # what the library prints
        with open(log, "ab") as printed:
            self._child = child.start(
                "shoal.trackers.worker",
                self.name,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                bufsize=0,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the training
            )
        if self._abandoned:  # while the process was being started
            self.abandon()
        return Opened(**self._ask({"start": dataclasses.asdict(run)}))

    def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
        self._ask({"log": {"member": member, "step": step, "numbers": numbers}})

    def finish(self, ok: bool) -> None:
        self._ask({"finish": {"ok": ok}})
        self._end()

    def abandon(self) -> None:
        self._abandoned = True
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()

    def _end(self) -> int:
        assert self._child is not None
        return child.end(self._child)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer, however long it takes. After a failure the process is gone."""
        assert self._child is not None
        requests, answers = self._child.stdin, self._child.stdout
        assert requests is not None and answers is not None
        line, rest = b"", json.dumps(request).encode() + b"\n"
        with contextlib.suppress(OSError, ValueError):
            while rest:
                rest = rest[requests.write(rest) :]
            line = answers.readline()
        if not line.endswith(b"\n"):
            raise TrackerError(f"its process ended: {child.fate(self._end())}")
        answer = json.loads(line)
        if "error" in answer:
            self._end()
            raise TrackerError(answer["error"])
        return answer
