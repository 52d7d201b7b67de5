"""Pictures of a tuning study: its trials in their order, and which fields mattered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from shoal.core.axes import percent, ruled
from shoal.core.colors import DISTINCT, INK, SOFT
from shoal.core.errors import require
from shoal.games.plots.canvas import canvas, save

_BEST, _FINISHED = DISTINCT[5], DISTINCT[0]
_OUTLYING = 3.0  # widths of the middle half beyond which a bad value is drawn at the edge


class Point(NamedTuple):
    """A trial. `value` is what it ended with, and of a pruned one its last evaluation; `None` where
    it never was evaluated."""

    number: int
    state: str  # finished, pruned or failed
    value: float | None


def best_so_far(points: Sequence[Point], goal: str) -> list[tuple[int, float]]:
    """The best value of the finished trials up to each of them."""
    pick = max if goal == "max" else min
    out: list[tuple[int, float]] = []
    for point in points:
        if point.state == "finished" and point.value is not None:
            out.append((point.number, pick([point.value, *(v for _, v in out[-1:])])))
    return out


def save_history(
    path: Path | str, points: Sequence[Point], *, title: str, metric: str, goal: str
) -> Path:
    """Writes a PNG of all trials in their order: dots, and the best so far as a line.

    Very bad values are drawn at the edge, so that the good ones can be told apart; trials without
    a value are crosses there.

    Raises:
        UserError: no trial has finished.
    """
    best = best_so_far(points, goal)
    require(bool(best), "there is no finished trial to draw")
    figure = canvas(7.2, 4.2, title)
    axes = figure.add_subplot()
    edge = _edge([p for p in points if p.state == "finished"], goal)
    _draw_states(axes, points, edge, goal)
    steps = [*best, (max(p.number for p in points), best[-1][1])]
    axes.step(*zip(*steps), where="post", color=_BEST, linewidth=1.8, label="best so far")
    ruled(axes)
    axes.set_xlabel("trial", color=SOFT)
    axes.set_ylabel(metric if goal == "max" else f"{metric}, less is better", color=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
    return save(figure, path)


def _edge(finished: Sequence[Point], goal: str) -> float:
    """The worst value that is drawn where it is."""
    values = np.array([p.value for p in finished], float)
    low, middle, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
    reach = max(_OUTLYING * (high - low), abs(middle) * 1e-3)
    if goal == "max":
        return max(float(values.min()), middle - reach)
    return min(float(values.max()), middle + reach)


def _draw_states(axes: Axes, points: Sequence[Point], edge: float, goal: str) -> None:
    """A dot a trial, one kind of dot a state."""
    worst = "v" if goal == "max" else "^"

    def beyond(value: float) -> bool:
        return value < edge if goal == "max" else value > edge

    kinds = {"finished": (_FINISHED, _FINISHED), "pruned": ("none", SOFT)}
    for state, (face, line) in kinds.items():
        known = [(p.number, p.value) for p in points if p.state == state and p.value is not None]
        near = [(n, v) for n, v in known if not beyond(v)]
        far = [n for n, v in known if beyond(v)]
        style = {"facecolors": face, "edgecolors": line, "s": 32, "linewidths": 1.3, "zorder": 3}
        if near:
            axes.scatter(*zip(*near), label=state, **style)
        if far:
            axes.scatter(far, [edge] * len(far), marker=worst, label=f"{state}, beyond", **style)
    failed = [p.number for p in points if p.state == "failed"]
    if failed:
        axes.scatter(failed, [edge] * len(failed), marker="x", color=INK, label="failed", zorder=3)


def save_importance(
    path: Path | str, shares: Mapping[str, float], *, title: str, trials: int
) -> Path:
    """Writes a PNG of bars, the most important field first. `shares` sum to 1."""
    require(bool(shares), "there are no importances to draw")
    ranked = sorted(shares.items(), key=lambda item: item[1])
    figure = canvas(7.2, 1.5 + 0.38 * len(ranked), title)
    axes = figure.add_subplot()
    bars = axes.barh([n for n, _ in ranked], [s for _, s in ranked], color=_FINISHED, height=0.62)
    axes.bar_label(bars, [percent(s) for _, s in ranked], padding=4, fontsize=9, color=INK)
    ruled(axes)
    axes.grid(False)
    axes.set_xlim(0, max(s for _, s in ranked) * 1.12)
    axes.xaxis.set_major_formatter(percent)
    axes.set_xlabel(
        f"share in what sets the best of {trials} finished trials apart (PED-ANOVA)", color=SOFT
    )
    return save(figure, path)
