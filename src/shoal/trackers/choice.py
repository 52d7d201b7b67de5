"""Which trackers there are, which ones a run was given, and what a resumed run continues with."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shoal.core.errors import UserError, not_installed, unknown
from shoal.runs.durable import read_json
from shoal.trackers.tracker import Tracker

Track = str | Tracker | Sequence[str | Tracker]
"""Names of trackers, or trackers: `"wandb"`, `"wandb,mlflow"`, `[MyTracker()]`."""

NONE = "none"
NOTE = "tracker.json"
"""The file in a run's directory that says which trackers follow it, and by which id."""


class Known(NamedTuple):
    """A library, and the `module:class` that speaks to it."""

    package: str
    target: str


_HERE = "shoal.trackers"
TRACKERS = {
    "wandb": Known("wandb", f"{_HERE}.wandb_tracker:WandbTracker"),
    "mlflow": Known("mlflow", f"{_HERE}.mlflow_tracker:MlflowTracker"),
    "trackio": Known("trackio", f"{_HERE}.trackio_tracker:TrackioTracker"),
}


def choose(track: Track) -> tuple[str | Tracker, ...]:
    """The trackers that `track` names, each once and in order; none of them for `"none"`.

    Raises:
        UserError: a name that does not exist, or whose library is not installed.
    """
    given = [track] if isinstance(track, str | Tracker) else track
    chosen: list[str | Tracker] = []
    for entry in given:
        names = entry.split(",") if isinstance(entry, str) else [entry]
        chosen += [name.strip() if isinstance(name, str) else name for name in names]
    chosen = [entry for entry in chosen if entry not in ("", NONE)]
    for entry in chosen:
        if isinstance(entry, str):
            check(entry)
        elif not isinstance(entry, Tracker):
            raise UserError(f"{entry!r} is no tracker: expected a name or a Tracker")
    return tuple(dict.fromkeys(chosen))


def check(name: str) -> None:
    """Raises `UserError` unless a tracker of that name can be used here."""
    if name not in TRACKERS:
        raise unknown("tracker", name, (*TRACKERS, NONE))
    # A folder `wandb`, such as the library itself leaves behind, is found too; it has no origin.
    spec = importlib.util.find_spec(TRACKERS[name].package)
    if spec is None or spec.origin is None:
        raise not_installed(name, name)


def make(name: str) -> Tracker:
    """The tracker of that name, in this process."""
    module, attribute = TRACKERS[name].target.split(":")
    return getattr(importlib.import_module(module), attribute)()


def remembered(directory: Path) -> tuple[str | None, tuple[str, ...]]:
    """The id by which trackers know the run in `directory`, and their names. What is damaged or
    missing is no reason not to train: then there is no id and nobody."""
    try:
        note = read_json(directory / NOTE)
        names = tuple(name for name in note["trackers"] if name in TRACKERS)
        return str(note["id"]), names
    except (OSError, ValueError, KeyError, TypeError):
        return None, ()
