"""What a run shows while it lasts: one moving line on a terminal, plain lines elsewhere."""

import math
import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from shoal.core.terminal import as_text, say

LINE_SECONDS = 5.0
TEAMS = 3  # whose returns a line has room for
REFRESH = 10  # frames a second
SPARE = 3  # columns that stay free, for the ^C that a terminal echoes
BAR, SHORT = 20, 8  # columns
WIDE = 100  # columns that a line needs for a long bar and whole numbers of steps
WINDOW = 10.0  # seconds of training that the speed is of, or LEAST intervals where they take longer
LEAST = 2
STALL = 2.0  # how many times as long as expected an interval counts at most


class Pace:
    """Steps per second over the last intervals: an exponential window. An interval that took much
    longer than was to be expected, as when the machine was busy, counts for `STALL` times that."""

    def __init__(self) -> None:
        self._steps = self._seconds = 0.0

    def add(self, steps: float, seconds: float) -> None:
        """One more interval."""
        if self._steps:
            seconds = min(seconds, STALL * steps * self._seconds / self._steps)
        keep = math.exp(-min(seconds / WINDOW, 1 / LEAST))
        self._steps = keep * self._steps + steps
        self._seconds = keep * self._seconds + seconds

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self._steps / max(self._seconds, 1e-9)


def is_watched() -> bool:
    """Whether somebody may see progress: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Reporter:
    """Shows the stage that a run is at and how long it has lasted; in training steps per second,
    return, loss and time left. Writes to standard error.

    It may be entered within itself: what enters it first ends it.
    """

    def __init__(self, quiet: bool = False):
        self.seconds: dict[str, float] = {}
        """How long each stage took, by the first word of its name."""
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._terminal = sys.stderr.isatty() and not self._console.is_dumb_terminal
        self._live: Live | None = None
        self._entered = 0
        self._stage, self._since = "", time.monotonic()
        self._hint, self._hint_at = "", 0.0
        self._told = {"starting"}  # where lines stay, one that may be of a mistake comes first
        self._last_line = 0.0
        self.begin(0)

    def begin(self, total_steps: int, members: int = 1) -> None:
        """A training of so many steps. They, and a row's `step`, are those of one of the `members`
        that are trained together, a row's `steps_per_second` those of all."""
        self._total, self._members = total_steps, members
        self._each = f" each of {members} members" if members > 1 else ""
        self._step, self._row_step, self._pace = 0.0, 0.0, Pace()
        self._numbers: list[str] = []
        self._speed = ""
        self._row_at = time.monotonic()

    def __enter__(self) -> "Reporter":
        self._entered += 1
        if self._entered == 1 and self._terminal and not self._quiet:
            self._live = Live(
                console=self._console,
                refresh_per_second=REFRESH,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
                get_renderable=self._line,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        if self._entered == 0:
            self.stop()

    def stop(self) -> None:
        """Takes the line away, so that results can be printed."""
        self._count()
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._stage = ""

    def stage(self, name: str) -> None:
        """Says what is being done from now on. Without a terminal each stage has one line."""
        self._count()
        self._stage, self._since, self._hint = name, time.monotonic(), ""
        kind = name.partition(" ")[0]
        if self._live is None and not self._quiet and kind not in self._told:
            say(f"{name} · after {sum(self.seconds.values()):.0f} s")
        self._told.add(kind)

    def hint(self, text: str, after: float = 0.0) -> None:
        """More on the stage, shown `after` some seconds if there is no other hint by then."""
        self._hint, self._hint_at = text, time.monotonic() + after

    def _count(self) -> None:
        if self._stage:
            kind, spent = self._stage.partition(" ")[0], time.monotonic() - self._since
            self.seconds[kind] = self.seconds.get(kind, 0.0) + spent

    def note(self, text: str) -> None:
        """A line of its own: a warning, or what was saved."""
        if self._live is not None:
            self._console.print(as_text(text), highlight=False, markup=False)
        elif not self._quiet:
            say(text)

    def advance(self, step: int) -> None:
        """Shows how far training has come, between two rows."""
        self._step = step

    def update(self, row: dict[str, Any], last: bool = False) -> None:
        """Shows a row of metrics."""
        if self._quiet:
            return
        steps = (row["step"] - self._row_step) * self._members
        self._pace.add(steps, steps / max(row["steps_per_second"], 1e-9))
        self._step = self._row_step = row["step"]
        self._row_at = time.monotonic()
        self._speed = f"{self._pace.rate:,.0f} steps/s" + (" in all" if self._each else "")
        self._numbers = [
            f"{_words(k)} {row[k]:.2f}" for k in _shown(row) if _is_number(row.get(k))
        ] + _of_workers(row)
        if self._live is None and (last or time.monotonic() - self._last_line > LINE_SECONDS):
            self._last_line = time.monotonic()
            done = f"{row['step']:>12,.0f} / {self._total:,} steps{self._each}"
            said = " · ".join([done, self._speed, *self._numbers, self._left()])
            print(said, file=sys.stderr, flush=True)

    def _left(self) -> str:
        """Time left, counted down since the last row."""
        steps = (self._total - self._row_step) * self._members
        left = steps / max(self._pace.rate, 1e-9) - (time.monotonic() - self._row_at)
        return f"{max(left, 0):.0f} s left"

    def _line(self) -> Text:
        """What stands on the terminal now; where it is narrow, what matters most."""
        now, plain = time.monotonic(), self._console.options.ascii_only
        frames = "|/-\\" if plain else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        line = Text(f"{frames[int(now * REFRESH) % len(frames)]} {self._stage}", end="")
        kind, room = self._stage.partition(" ")[0], max(self._console.width - SPARE, 1)
        clock = f" · {self.seconds.get(kind, 0.0) + now - self._since:.0f} s"
        if kind == "training" or (kind == "evaluating" and self._step < self._total):
            share = min(self._step / max(self._total, 1), 1.0)
            columns = BAR if room >= WIDE else SHORT
            full, mark = round(share * columns), "=" if plain else "━"
            line.append(f" {mark * full}", "cyan")
            line.append(("-" if plain else mark) * (columns - full), "bright_black")
            counts = f"{self._step:,.0f}/{self._total:,} steps{self._each}"
            line.append(f" {counts}" if room >= WIDE else f" {share:.0%}")
            parts = self._by_weight() if self._numbers else []
        else:
            parts = [self._hint] if self._hint and now >= self._hint_at else []
        for part in parts:
            if line.cell_len + len(f" · {part}{clock}") > room:
                break
            line.append(f" · {part}")
        line.append(clock)
        line.truncate(room, overflow="ellipsis")
        return line

    def _by_weight(self) -> list[str]:
        """The numbers of training, those that matter most first."""
        returns = [number for number in self._numbers if "return" in number]
        first = [number for number in returns if number.startswith("eval")] or returns
        others = [number for number in self._numbers if number not in first]
        return [*first, self._left(), self._speed, *others]


def _shown(row: dict[str, Any]) -> list[str]:
    """Of rival teams each one's return: their mean says nothing."""
    teams = [name for name in row if name.startswith("return/")][:TEAMS]
    returns = [*teams, *(f"eval_{name}" for name in teams)] or ["return", "eval_return"]
    elsewhere = ["lag", "staleness", "idle"]  # of runs whose workers are on Ray
    return [*returns, "eval_nash_conv", "loss", "entropy", *elsewhere]


def _of_workers(row: dict[str, Any]) -> list[str]:
    """Of workers on Ray how many there are, who is slowest and how far behind one of them is."""
    if "workers" not in row:
        return []
    slow, fast = (row[f"worker_steps_per_second_{end}"] for end in ("min", "max"))
    return [
        f"workers {row['workers']:.2f}, each {slow:,.0f} (worker {row['slowest_worker']:.0f}) to "
        f"{fast:,.0f} steps/s, up to {row['worker_lag_max']:.1f} updates behind"
    ]


def _words(name: str) -> str:
    """`eval_return/good_agent` is the eval return of good agent."""
    return name.replace("/", " of ").replace("_", " ")


def _is_number(x: Any) -> bool:
    return isinstance(x, float) and x == x
