"""The picture of heat maps: where each agent was, and which goals it served.

Up to 12 agents have a map each; of more there is one for each kind, a team's agents of one role.
Colours go from white to an agent's own and on to black, so that lightness alone tells them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from shoal.core.axes import percent, quiet
from shoal.core.colors import DISTINCT, INK, PAPER, SOFT
from shoal.core.teams import group_names, members
from shoal.games.plots.canvas import canvas, literal, short
from shoal.runs.durable import replacing

if TYPE_CHECKING:
    from shoal.training.heat_maps import HeatMaps

MAPS, COLUMNS = 12, (5, 4, 3)  # agents with a map each; panels in a row: what leaves least empty
WRITTEN, NAMED = 6, 24  # columns of a matrix whose numbers are written; rows, of which names too
SIDE, FOOT = 2.9, 1.2  # inches of a panel, and of the title and the scale together
GRAYS = LinearSegmentedColormap.from_list("grays", [PAPER, SOFT])
WHEN = {"last": "share of episodes at whose end it does", "mean": "share of steps in which it does"}


class Map(NamedTuple):
    """Of an agent or a kind."""

    name: str
    visits: Float[np.ndarray, "H W"]
    colors: Colormap


def save_picture(path: Path, maps: HeatMaps, title: str) -> None:
    """Writes the picture as a PNG."""
    drawn = figure(maps, title)
    literal(drawn)
    with replacing(path) as temporary:
        FigureCanvasAgg(drawn).print_png(temporary)


def figure(maps: HeatMaps, title: str) -> Figure:
    """The maps, the matrix of agents and goals if there are goals, and one scale for all maps."""
    shown = maps_of(maps)
    count = len(shown) + (maps.served is not None)
    columns = count if count <= COLUMNS[1] else min(COLUMNS, key=lambda c: -count % c)
    rows = -(-count // columns)
    title = f"{title}: where agents go, {maps.episodes:,} episodes"
    drawn = canvas(max(SIDE * columns, 6.4), SIDE * rows + FOOT, title)
    grid = drawn.add_gridspec(rows + 1, columns, height_ratios=[1.0] * rows + [0.05])
    spots = [drawn.add_subplot(grid[divmod(i, columns)]) for i in range(count)]
    top = max(float(each.visits.max()) for each in shown) or 1.0
    for axes, each in zip(spots, shown):
        _draw_map(axes, each, maps, top)
    if maps.served is not None:
        _draw_matrix(spots[-1], maps)
    _draw_scale(drawn.add_subplot(grid[rows, :]), shown, top)
    return drawn


def maps_of(maps: HeatMaps) -> list[Map]:
    """Each agent's map, or the mean of each kind's."""
    if len(maps.agents) <= MAPS:
        each = list(zip(maps.agents, maps.visits))
    else:
        kinds = list(zip(maps.teams, maps.roles))
        names = group_names(maps.agents, kinds, "group")
        each = [
            (f"{name}: mean of {len(group)} agents", maps.visits[group].mean(0))
            for name, group in zip(names, members(kinds))
        ]
    return [Map(*pair, _shades(DISTINCT[i % len(DISTINCT)])) for i, pair in enumerate(each)]


def _shades(color: str) -> Colormap:
    return LinearSegmentedColormap.from_list(color, [PAPER, color, INK])


def _draw_map(axes: Axes, shown: Map, maps: HeatMaps, top: float) -> None:
    style: dict[str, Any] = {"extent": maps.extent, "origin": "lower", "interpolation": "nearest"}
    axes.imshow(shown.visits, cmap=shown.colors, vmin=0.0, vmax=top, **style)
    axes.locator_params(nbins=5)
    _dress(axes, shown.name)
    if not shown.visits.any():
        place = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, "never acted", color=SOFT, fontsize=9, **place)
    places = [] if maps.goal_places is None else maps.goal_places.tolist()
    for name, (x, y) in zip(maps.goals, places):
        if np.isfinite(x):
            axes.plot(x, y, "*", markersize=11, color=PAPER, markeredgecolor=INK, clip_on=False)
            label = axes.annotate(short(name), (x, y), (0, -8), textcoords="offset points")
            label.set(fontsize=8, color=INK, ha="center", va="top")
            label.set_path_effects([withStroke(linewidth=2.5, foreground=PAPER)])


def _draw_matrix(axes: Axes, maps: HeatMaps) -> None:
    """Numbers where there is room, and their intervals where there is more; else a scale."""
    served = maps.served
    assert served is not None, "who calls knows that there are goals"
    top = 1.0 if maps.counts == "last" else float(served.mean.max()) or 1.0
    style: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "vmin": 0.0}
    image = axes.imshow(served.mean, cmap=GRAYS, vmax=top, **style)
    axes.set_box_aspect(1)
    axes.set_xlabel(WHEN[maps.counts], fontsize=9, color=SOFT)
    _dress(axes, "who serves which goal")
    for axis, names in ((axes.yaxis, maps.agents), (axes.xaxis, maps.goals)):
        axis.set_ticks(range(len(names)), [short(name) for name in names])
        upright = axis is axes.xaxis and max(map(len, names)) * len(names) > 30
        axis.set_tick_params(labelsize=8, rotation=90 if upright else 0)
        if len(names) > NAMED:
            axis.set_ticks([])
    rows, columns = served.mean.shape
    if columns > WRITTEN or rows > NAMED:
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, format=percent)
        quiet(bar.ax)
        return
    digits = 0 if maps.counts == "last" else 1
    for i, j in np.ndindex(rows, columns):
        mean, low, high = (float(x[i, j]) for x in (served.mean, served.low, served.high))
        said = f"{mean:.{digits}%}"
        if rows <= WRITTEN:
            said += f"\n{low:.{digits}%} to {high:.{digits}%}"
        color = PAPER if mean > 0.75 * top else INK
        axes.text(j, i, said, ha="center", va="center", fontsize=7.5, color=color)


def _draw_scale(axes: Axes, shown: list[Map], top: float) -> None:
    """A stripe for each map's colours."""
    steps = np.linspace(0.0, 1.0, 256)
    stripes = np.stack([each.colors(steps) for each in shown])
    axes.imshow(stripes, extent=(0.0, top, 0.0, 1.0), aspect="auto", interpolation="nearest")
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.3g}%")
    axes.set_xlabel("share of its steps after which an agent is in a cell", fontsize=9, color=SOFT)
    quiet(axes)


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    quiet(axes)
