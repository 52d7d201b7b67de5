"""The process in which a tracker's library lives: reads requests, answers each with one line.

It gives way to the training (`nice`), outlives its signals, and ends when its parent has ended.
"""

import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from shoal.core import child
from shoal.trackers.choice import make
from shoal.trackers.tracked import problem_line
from shoal.trackers.tracker import TrackedRun, Tracker

LAST_SECONDS = 60.0  # to send what is left once the training has gone


def main(name: str) -> None:
    """Serves until the pipe ends; leaves without the exit handlers of the library."""
    requests, answers = _pipes()
    child.settle(requests.fileno(), LAST_SECONDS)
    with suppress(OSError):
        os.nice(10)
    tracker, finished = None, False
    for line in requests:
        request = json.loads(line)
        try:
            tracker = tracker or make(name)
            answer = _serve(tracker, request)
            finished = finished or "finish" in request
        except BaseException as problem:
            answer = {"error": problem_line(problem)}
        with suppress(OSError):  # nobody listens any more
            print(json.dumps(answer), file=answers, flush=True)
    if tracker is not None and not finished:
        with suppress(BaseException):
            tracker.finish(False)
    os._exit(0)


def _serve(tracker: Tracker, request: dict[str, Any]) -> dict[str, Any]:
    (call, values), *_ = request.items()
    if call == "start":
        return vars(tracker.start(TrackedRun(**values)))
    if call == "log":
        tracker.log(**values)
    else:
        tracker.finish(**values)
    return {}


def _pipes() -> tuple[TextIO, TextIO]:
    """Requests and answers. What the library reads is nothing, what it prints goes to the log."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    main(sys.argv[1])
