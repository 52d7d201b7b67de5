"""What a tracker is: something that takes a run's rows and may fail at it in every way.

Every member of a run (a seed, a setting of a sweep) is a tracked run of its own, so that a tracker
can average, filter and compare them; the name of the run's directory is their group.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shoal.core.errors import Failure
from shoal.runs.durable import to_json


class TrackerError(Failure):
    """A tracker did not do what it was asked."""


class Row(NamedTuple):
    """What one member has to report: numbers after `step` environment steps."""

    member: int
    step: int
    numbers: dict[str, float]


@dataclass(frozen=True)
class Opened:
    """A tracker's answer to `start`: the last step that it has of each member already, -1 for none,
    and where a person finds the tracked runs."""

    last_steps: list[int]
    place: str


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers see it. `settings` are what its members differ in: `{"seed": 3}`, and the
    swept hyper-parameters. `id` is kept over interruptions; `pid` is the process that trains."""

    id: str
    name: str
    directory: str
    config: dict[str, Any]
    settings: list[dict[str, Any]]
    pid: int | None = None

    def member_id(self, member: int) -> str:
        """The name of a member that no other tracked run has."""
        return f"{self.id}-{member}"

    def member_name(self, member: int) -> str:
        """The name of a member for people; that of the run where it is alone."""
        if len(self.settings) == 1:
            return self.name
        said = (f"{name}_{value}" for name, value in self.settings[member].items())
        return f"{self.name}/{'_'.join(said)}"

    def member_config(self, member: int) -> dict[str, Any]:
        """The configuration with the member's own seed and hyper-parameters."""
        own = dict(self.settings[member])
        config = {**self.config, "seed": own.pop("seed", self.config.get("seed"))}
        config["algorithm_fields"] = {**config.get("algorithm_fields", {}), **own}
        return to_json(config)

    def place(self, name: str) -> Path:
        """A file or folder for what a tracker leaves behind; its folder is made."""
        folder = Path(self.directory) / "trackers"
        folder.mkdir(exist_ok=True)
        return folder / name


class Tracker(ABC):
    """Takes a run's rows. Used from one thread alone, except for `abandon`."""

    @abstractmethod
    def start(self, run: TrackedRun) -> Opened:
        """Opens or, after an interruption or a failure of its own, reopens the tracked runs."""

    @abstractmethod
    def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
        """Takes a row of one member. Steps of a member grow."""

    @abstractmethod
    def finish(self, ok: bool) -> None:
        """Returns when all rows are where they belong. `ok`: training reached its end."""

    def abandon(self) -> None:
        """The time is up: lets go of everything at once. Called from another thread."""
        return


def numbers(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, float]:
    """The measurements in a row of `metrics.jsonl`: no step, no settings, no gaps.

    >>> numbers({"step": 8, "seed": 0, "return": 1.5, "loss": None}, {"seed": 0})
    {'return': 1.5}
    """
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step" and name not in settings and _is_number(value)
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def member_of(row: dict[str, Any], settings: Sequence[dict[str, Any]]) -> int | None:
    """Which member a row of `metrics.jsonl` is of; `None` if it is of no member of this run."""
    for member, own in enumerate(settings):
        if all(row.get(name) == value for name, value in own.items()):
            return member
    return None
