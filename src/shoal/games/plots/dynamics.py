"""Pictures of dynamics: the unit square of two players with two actions, the triangle of three.

Arrows show the field, the longer the faster; lines are runs, from the open dot to the arrow head.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal.core.colors import DISTINCT, INK
from shoal.core.errors import require
from shoal.games.dynamics.flows import Field, velocities
from shoal.games.dynamics.trajectory import Trajectory
from shoal.games.evolutionary.populations import check_symmetric
from shoal.games.normal_form import NormalForm
from shoal.games.plots.canvas import (
    CORNERS,
    canvas,
    chance_axes,
    save,
    triangle,
)

ARROW = "#98a1b3"


def plot_square(
    path: Path | str,
    game: NormalForm,
    field: Field,
    runs: Sequence[Trajectory] = (),
    *,
    points: Sequence[Any] = (),
    title: str = "",
) -> Path:
    """Draws a dynamic of two players with two actions each, by the chance of their first action, as
    best responses are drawn.

    Args:
        path: of the PNG to write.
        game: of shape 2 x 2.
        field: such as `Replicator()`.
        runs: lines to draw, such as `replicator(game, 1000, start=...)`.
        points: profiles to mark, such as the game's equilibria.
        title: of the picture; by default the game's.

    Raises:
        UserError: the game is not 2 x 2.
    """
    require(game.num_actions == (2, 2), f"the game has actions {game.num_actions}, expected (2, 2)")
    side = np.linspace(0, 1, 17)
    x, y = (g.ravel() for g in np.meshgrid(side, side))
    slopes = velocities(game, field, [np.stack([p, 1 - p], 1) for p in (x, y)])
    figure, axes = _canvas(title or game.title)
    _arrows(axes, np.stack([x, y], 1), np.stack([s[:, 0] for s in slopes], 1), side[1])
    for at in runs:
        lines = np.stack([p[..., 0] for p in at.profiles], -1)
        _lines(axes, lines.reshape(-1, *lines.shape[-2:]))
    _points(axes, np.array([[p[0][0], p[1][0]] for p in points], float).reshape(-1, 2))
    chance_axes(axes, game, [side[4:-1:4]] * 2)
    return save(figure, path)


def plot_simplex(
    path: Path | str,
    game: NormalForm,
    field: Field,
    runs: Sequence[Trajectory] = (),
    *,
    points: Sequence[Any] = (),
    title: str = "",
) -> Path:
    """Draws a dynamic of one population with three actions, each a corner.

    Args:
        path: of the PNG to write.
        game: symmetric, of three actions.
        field: such as `Replicator()`.
        runs: lines to draw, such as `replicator(game, 1000, symmetric=True, start=...)`.
        points: strategies `[3]` to mark.
        title: of the picture; by default the game's.

    Raises:
        UserError: the game is not symmetric or not of three actions, a run not of one population.
    """
    check_symmetric(game)
    require(game.num_actions[0] == 3, f"the game has {game.num_actions[0]} actions, expected 3")
    require(all(r.symmetric for r in runs), "a run has a population for each player, expected one")
    rows = 16
    grid = np.array([[i, j, rows - i - j] for i in range(rows + 1) for j in range(rows + 1 - i)])
    (slopes,) = velocities(game, field, [grid / rows], symmetric=True)
    figure, axes = _canvas(title or game.title, 5.2)
    triangle(axes, game.actions[0])
    _arrows(axes, grid / rows @ CORNERS, slopes @ CORNERS, 1 / rows)
    for run in runs:
        lines = run.profiles[0] @ CORNERS
        _lines(axes, lines.reshape(-1, *lines.shape[-2:]))
    _points(axes, np.array(points, float).reshape(-1, 3) @ CORNERS)
    return save(figure, path)


def _canvas(title: str, height: float = 5.8) -> tuple[Figure, Axes]:
    figure = canvas(5.6, height, title)
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    return figure, axes


def _arrows(
    axes: Axes, at: Float[np.ndarray, "P 2"], slopes: Float[np.ndarray, "P 2"], gap: float
) -> None:
    """Arrows about their points, none longer than the grid's gap; the slow ones still show."""
    speed = np.linalg.norm(slopes, axis=1)
    moving = speed > 1e-9 * max(1e-300, speed.max())
    at, slopes, speed = at[moving], slopes[moving], speed[moving]
    length = 0.85 * gap * (0.35 + 0.65 * np.sqrt(speed / speed.max(initial=1e-300)))
    steps = slopes / speed[:, None] * length[:, None]
    axes.quiver(
        *at.T,
        *steps.T,
        angles="xy",
        scale_units="xy",
        scale=1,
        pivot="middle",
        color=ARROW,
        width=0.0032,
        headwidth=4.2,
        headlength=4.6,
        headaxislength=4.2,
        zorder=1,
    )


def _lines(axes: Axes, lines: Float[np.ndarray, "R K 2"]) -> None:
    used = sum(bool(line.get_gid() == "run") for line in axes.lines)
    for k, line in enumerate(lines):
        color = DISTINCT[(used + k) % len(DISTINCT)]
        axes.plot(*line.T, color=color, linewidth=2.0, zorder=3, gid="run", solid_capstyle="round")
        axes.plot(
            *line[0], marker="o", markersize=7, markerfacecolor="white", color=color, zorder=4
        )
        _head(axes, line, color)


def _head(axes: Axes, line: Float[np.ndarray, "K 2"], color: str) -> None:
    """An arrow head where the line ends, or no head where it has hardly moved."""
    far = np.linalg.norm(line - line[-1], axis=1) > 0.02
    if far.any():
        before = line[np.flatnonzero(far)[-1]]
        style = {"arrowstyle": "-|>", "color": color, "lw": 2.0, "mutation_scale": 16}
        style |= {"shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=tuple(line[-1]), xytext=tuple(before), arrowprops=style, zorder=5)


def _points(axes: Axes, points: Float[np.ndarray, "R 2"]) -> None:
    axes.plot(*points.T, linestyle="", marker="o", markersize=8, color=INK, zorder=6, clip_on=False)
