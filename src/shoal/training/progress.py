"""What training shows while it runs: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shoal.core.terminal import as_text, say

LINE_SECONDS = 5.0
TEAMS = 3  # whose returns a line has room for


def is_watched() -> bool:
    """Whether somebody may see progress: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Reporter:
    """Shows steps per second, return, loss and time left. Writes to standard error.

    `total_steps` and a row's `step` are those of one of the `members` that are trained together,
    a row's `steps_per_second` those of all.
    """

    def __init__(self, total_steps: int, quiet: bool = False, members: int = 1):
        self._total = total_steps
        self._members = members
        self._each = f" each of {members} members" if members > 1 else ""
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._last_line = 0.0

    def __enter__(self) -> "Reporter":
        if self._terminal and not self._quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps" + self._each),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task("compiling", total=self._total, numbers="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """A line of its own: a warning, or what was saved."""
        if self._bar is not None:
            self._bar.console.print(as_text(text), highlight=False, markup=False)
        elif not self._quiet:
            say(text)

    def update(self, row: dict[str, Any], last: bool = False) -> None:
        """Shows a row of metrics."""
        if self._quiet:
            return
        numbers = " · ".join(
            [f"{row['steps_per_second']:,.0f} steps/s" + (" in all" if self._each else "")]
            + [f"{_words(k)} {row[k]:.2f}" for k in _shown(row) if _is_number(row.get(k))]
        )
        if self._bar is not None:
            self._bar.update(
                self._task, completed=row["step"], numbers=numbers, description="training"
            )
        elif last or time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            steps_left = (self._total - row["step"]) * self._members
            left = steps_left / max(row["steps_per_second"], 1e-9)
            done = f"{row['step']:>12,.0f} / {self._total:,} steps{self._each}"
            print(f"{done} · {numbers} · {max(left, 0):.0f} s left", file=sys.stderr, flush=True)


def _shown(row: dict[str, Any]) -> list[str]:
    """Of rival teams each one's return: their mean says nothing."""
    teams = [name for name in row if name.startswith("return/")][:TEAMS]
    returns = [*teams, *(f"eval_{name}" for name in teams)] or ["return", "eval_return"]
    elsewhere = ["lag", "staleness", "idle", "workers"]  # of runs whose workers are on Ray
    return [*returns, "eval_nash_conv", "loss", "entropy", *elsewhere]


def _words(name: str) -> str:
    """`eval_return/good_agent` is the eval return of good agent."""
    return name.replace("/", " of ").replace("_", " ")


def _is_number(x: Any) -> bool:
    return isinstance(x, float) and x == x
