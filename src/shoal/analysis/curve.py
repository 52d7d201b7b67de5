"""Learning curves: return against environment steps, with the spread over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from shoal.analysis.recording import PALETTE
from shoal.analysis.statistics import bootstrap_interval
from shoal.core.errors import require

INK, SOFT, LINE = "#1d2127", "#6a707b", "#e4e4de"


class Curve(NamedTuple):
    """P points of K seeds. Returns are undiscounted, summed over an episode's steps and averaged
    over agents."""

    label: str
    steps: Float[np.ndarray, "P"]
    returns: Float[np.ndarray, "P K"]


def curve_from_rows(rows: Iterable[Mapping[str, Any]], label: str, name: str = "return") -> Curve:
    """The curve of metric `name` in rows with a `step` and a `seed`, such as a run's log has, all
    of one setting of the hyper-parameters. Rows that lack the metric, and steps that not every
    seed reached, are left out.
    """
    table: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.get(name) is not None:
            table.setdefault(row["step"], {})[row["seed"]] = row[name]
    seeds = sorted({seed for point in table.values() for seed in point})
    steps = [step for step in sorted(table) if len(table[step]) == len(seeds)]
    returns = [[table[step][seed] for seed in seeds] for step in steps]
    shape = (len(steps), len(seeds))
    return Curve(label, np.array(steps, float), np.array(returns, float).reshape(shape))


def save_curve(
    path: Path | str,
    curves: Sequence[Curve],
    *,
    title: str,
    horizon: int,
    scripted: float | None = None,
) -> Path:
    """Writes `figure(...)` as a PNG."""
    path = Path(path)
    drawn = figure(curves, title=title, horizon=horizon, scripted=scripted)
    FigureCanvasAgg(drawn).print_png(path)
    return path


def figure(
    curves: Sequence[Curve], *, title: str, horizon: int, scripted: float | None = None
) -> Figure:
    """Means over seeds as lines, 95 % bootstrap intervals of the means as bands.

    Args:
        curves: at least one; those of several algorithms lie in one picture.
        title: what was learned where.
        horizon: steps in an episode: the scale of a return, named at the axis.
        scripted: the return of a hand-written controller, as a line for reference.
    """
    require(any(len(c.steps) for c in curves), "there is no finished episode to draw a curve of")
    drawn = Figure(figsize=(7.2, 4.2), dpi=160, layout="constrained")
    axes = drawn.add_subplot()
    for curve, color in zip(curves, PALETTE * len(curves), strict=False):
        _draw(axes, curve, color)
    if scripted is not None:
        label = f"scripted controller, {scripted:.2f}".replace("-", "\N{MINUS SIGN}")
        axes.axhline(scripted, color=SOFT, linewidth=1.2, linestyle=(0, (5, 3)), label=label)
    _dress(axes, title, horizon)
    return drawn


def _draw(axes: Axes, curve: Curve, color: str) -> None:
    """One line. A curve of few points shows them."""
    seeds = curve.returns.shape[1]
    label = (
        curve.label if seeds == 1 else f"{curve.label}, mean of {seeds} seeds with 95 % interval"
    )
    marker = "o" if len(curve.steps) <= 20 else ""
    axes.plot(
        curve.steps,
        curve.returns.mean(1),
        color=color,
        linewidth=1.8,
        marker=marker,
        markersize=4,
        label=label,
    )
    if seeds > 1:
        low, high = bootstrap_interval(curve.returns)
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.18, linewidth=0)


def _dress(axes: Axes, title: str, horizon: int) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=12)
    axes.set_xlabel("environment steps", color=SOFT)
    axes.set_ylabel(f"return per agent, {horizon} steps", color=SOFT)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, colors=SOFT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
