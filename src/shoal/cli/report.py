"""shoal report DIR...: one HTML page on some runs, to keep, print or send."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.cli.arguments import Arguments
from shoal.cli.parse import read_many
from shoal.core.errors import require
from shoal.core.limits import Count


@dataclass(frozen=True)
class Options:
    """Write one self-contained HTML page on some runs: scores with intervals, curves, profiles,
    settings, versions and machines, replays, and the commands that make the runs again."""

    out: Path | None = None
    """The file to write; report.html in the run's directory, or here where there are several."""
    title: str | None = None
    """The page's title; the algorithms and worlds if not given."""
    at_steps: Count | None = None
    """Compare at this many environment steps, with curves cut there; needed where runs made
    different numbers of steps."""
    reference: Literal["scripted", "observed", "none"] = "scripted"
    """What counts as 0 and as 1: random play and the world's scripted controller, or the lowest and
    the highest seed. Worlds are averaged by it alone."""
    replays: bool = True
    """Whether to put the replay of each group's first run into the page."""


def run(arguments: Arguments) -> int:
    """Writes the page and says where."""
    names, options = read_many(arguments, Options, "shoal report DIR...")
    require(bool(names), "shoal report takes a run directory or more")
    from shoal.reports.run_groups import read_groups

    runs = [Path(name) for name in names]
    groups = read_groups(runs, at_steps=options.at_steps)

    from shoal.reports.report import save_report

    path = options.out or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    save_report(
        groups, path, title=options.title, reference=options.reference, replays=options.replays
    )
    size = path.stat().st_size
    print(f"{path} · {size / 1e6:.1f} MB" if size >= 1e6 else f"{path} · {size / 1e3:.0f} kB")
    return 0
