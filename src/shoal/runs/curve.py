"""Learning curves: return against environment steps, with the spread over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from shoal.core.axes import MINUS, compact, ruled
from shoal.core.colors import INK, PALETTE, SOFT
from shoal.core.errors import require
from shoal.math.statistics import mean_interval
from shoal.runs.durable import replacing

INSIDE, ROWS = 4, 22  # curves named in a legend inside the picture; in a column beside it


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
    horizon: int | None,
    beside: Mapping[str, float] = MappingProxyType({}),
    behind: Sequence[Curve] = (),
) -> Path:
    """Writes `figure(...)` as a PNG."""
    path = Path(path)
    drawn = figure(curves, title=title, horizon=horizon, beside=beside, behind=behind)
    with replacing(path) as temporary:
        FigureCanvasAgg(drawn).print_png(temporary)
    return path


def figure(
    curves: Sequence[Curve],
    *,
    title: str,
    horizon: int | None,
    beside: Mapping[str, float] = MappingProxyType({}),
    behind: Sequence[Curve] = (),
) -> Figure:
    """Means over seeds as lines, 95 % intervals of the means as bands. Many curves, such as a
    sweep's, have shades of one scale in their order and a legend beside them.

    Args:
        curves: at least one; those of several algorithms lie in one picture.
        title: what was learned where.
        horizon: steps in an episode: the scale of a return, named at the axis where it is known.
        beside: returns of others by name, such as random play's, as lines to compare with.
        behind: for each curve a pale one of its colour, such as what training returned, or none.
    """
    require(any(len(c.steps) for c in curves), "there is no finished episode to draw a curve of")
    columns = -(-len(curves) // ROWS) if len(curves) > INSIDE else 0
    drawn = Figure(figsize=(7.2 + 2.1 * columns, 4.2), dpi=160, layout="constrained")
    axes = drawn.add_subplot()
    colors = _colors(len(curves))
    for curve, color in zip(curves, colors):
        _draw(axes, curve, color, alone=len(curves) == 1)
    for number, (curve, color) in enumerate(zip(behind, colors)):
        label = curve.label if number == 0 else None
        style: dict[str, Any] = {"color": color, "linewidth": 1.0, "alpha": 0.35, "zorder": 1.5}
        axes.plot(curve.steps, curve.returns.mean(1), label=label, **style)
    for (name, score), dashes in zip(beside.items(), cycle(((5, 3), (1, 2)))):
        label = f"{name}, {score:.2f}".replace("-", MINUS)
        axes.axhline(score, color=SOFT, linewidth=1.2, linestyle=(0, dashes), label=label)
    _dress(axes, title, horizon)
    _add_legend(axes, curves, columns)
    return drawn


def _colors(count: int) -> list[str]:
    """Colours that are told apart; of many curves, shades in their order."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    shades = colormaps["viridis"]
    return [to_hex(shades(i / (count - 1) * 0.92)) for i in range(count)]  # its end is too pale


def _draw(axes: Axes, curve: Curve, color: str, alone: bool) -> None:
    """One line. A curve of few points shows them."""
    seeds = curve.returns.shape[1]
    label = f"{curve.label}, {_mean_of(seeds)}" if alone and seeds > 1 else curve.label
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
        low, high = mean_interval(curve.returns)
        alpha = 0.18 if alone else 0.12
        axes.fill_between(curve.steps, low, high, color=color, alpha=alpha, linewidth=0)


def _mean_of(seeds: int) -> str:
    return f"mean of {seeds} seeds with 95 % interval"


def _add_legend(axes: Axes, curves: Sequence[Curve], columns: int) -> None:
    """Inside, or beside the picture where there are many curves; the seeds of several curves stand
    above them once."""
    style: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.9}
    style |= {"fontsize": 9, "labelcolor": INK}
    seeds = {c.returns.shape[1] for c in curves if len(c.steps)}
    if len(curves) > 1 and len(seeds) == 1 and seeds != {1}:
        style |= {"title": _mean_of(*seeds), "title_fontsize": 9, "alignment": "left"}
    if columns:
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "ncols": columns}
        style |= place | {"fontsize": 8}
    axes.legend(**({"loc": "best"} | style)).get_title().set_color(INK)


def _dress(axes: Axes, title: str, horizon: int | None) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=12)
    axes.set_xlabel("environment steps", color=SOFT)
    steps = f", {horizon} steps" if horizon else ""
    axes.set_ylabel(f"return per agent{steps}", color=SOFT)
    axes.xaxis.set_major_formatter(compact)
    axes.set_xlim(left=0)
    ruled(axes)
