"""What the pictures of games share: colours, titles that fit, labels that keep off each other.

A label tries places around its point, near ones first, and takes the one that covers least; where
none is free of other labels and points it is left out (Christensen, Marks and Shieber 1995).
"""

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from shoal.core.axes import fraction, quiet
from shoal.core.colors import INK, SOFT
from shoal.games.normal_form import NormalForm

HEIGHT = np.sqrt(3) / 2
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]])
"""The triangle on which mixtures of three actions are drawn."""
TITLE = {"fontsize": 12, "fontweight": "bold", "color": INK}
AROUND = [(dx, dy) for dx in (1, -1, 0) for dy in (1, -1, 0) if dx or dy]
RADIUS = 5.0
"""How far labels keep from points, in points of type."""


def canvas(width: float, height: float, title: str = "") -> Figure:
    """An empty figure, in inches, with a title on as many lines as it needs."""
    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore
    FigureCanvasAgg(figure)
    if title:
        lines = textwrap.fill(title, int(width * 9))
        figure.suptitle(lines, x=0.015, ha="left", **TITLE)
    return figure


def save(figure: Figure, path: Path | str) -> Path:
    """Writes a PNG. Dollars in names are dollars, not formulas."""
    literal(figure)
    path = Path(path)
    FigureCanvasAgg(figure).print_png(path)
    return path


def literal(figure: Figure) -> None:
    """Takes every text as it is written."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore


def short(name: str, most: int = 22) -> str:
    """A name of `most` letters at most."""
    return name if len(name) <= most else name[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def action(name: str, most: int = 22) -> str:
    """An action's name, at most so long, that cannot be taken for an amount."""
    return short(f"action {name}" if name.isdecimal() else name, most)


def chance_ticks(
    axes: Axes, name: str, actions: Sequence[str], breaks: Any, most: int = 16
) -> None:
    """Ticks of an axis "x" or "y" that is the chance of the first of two actions: its ends, which
    bear the actions' names, and the breaks that are not too near to others."""
    ticks, texts = [0.0, 1.0], [f"0\n{action(actions[1], most)}", f"1\n{action(actions[0], most)}"]
    for at in np.asarray(breaks, float).tolist():
        if min(abs(at - tick) for tick in ticks) > 0.07:
            ticks.append(at)
            texts.append(fraction(at))
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_ticks(ticks, texts)


def chance_axes(axes: Axes, game: NormalForm, breaks: Sequence[Any]) -> None:
    """The sides of the square of two players with two actions: the chance of each one's first, the
    row's from left to right and the column's upwards. `breaks` are ticks between the ends."""
    for k, name in enumerate("xy"):
        chance_ticks(axes, name, game.actions[k], breaks[k], 22 if k == 0 else 12)
        text = f"{short(game.players[k])}: chance of {action(game.actions[k][0])}"
        getattr(axes, f"set_{name}label")(text, color=INK, fontsize=10, labelpad=6)
        getattr(axes, f"set_{name}lim")(-0.05, 1.05)
    quiet(axes)


def triangle(axes: Axes, names: Sequence[str]) -> None:
    """The triangle of three actions, its corners named, with room for long names."""
    axes.set_aspect("equal")
    axes.fill(*CORNERS.T, facecolor="none", edgecolor=SOFT, linewidth=1.2, zorder=2)
    places = [(-0.04, -0.035, "left", "top"), (1.04, -0.035, "right", "top")]
    places.append((0.5, HEIGHT + 0.035, "center", "bottom"))
    style: dict[str, Any] = {"fontsize": 11, "fontweight": "bold", "color": INK}
    for (x, y, ha, va), name in zip(places, names):
        axes.text(x, y, action(name, 18), ha=ha, va=va, **style)
    axes.set_xlim(-0.06, 1.06)
    axes.set_ylim(-0.1, HEIGHT + 0.1)
    axes.axis("off")


def legend(where: Axes | Figure, shown: Sequence[tuple[Artist, str]], **place: Any) -> None:
    """What is what. A name that begins with an underscore is not a secret here."""
    handles = [_sample(artist) for artist, _ in shown]
    texts = [" " + text if text.startswith("_") else text for _, text in shown]
    place = {"frameon": False, "fontsize": 9, "labelcolor": INK, "handletextpad": 1.2} | place
    where.legend(handles, texts, **place)


def _sample(artist: Artist) -> Artist:
    """The artist as a key shows it: big marks and thick lines would touch."""
    if not isinstance(artist, Line2D):
        return artist
    sample = Line2D([], [])
    sample.update_from(artist)
    sample.set(
        linewidth=min(artist.get_linewidth(), 6.0),
        markersize=min(artist.get_markersize(), 8.0),
        solid_capstyle="butt",
    )
    return sample


def place_labels(
    axes: Axes,
    points: Float[np.ndarray, "P 2"],
    texts: Sequence[str],
    keep_off: Float[np.ndarray, "Q 2"],
    lines: Sequence[Float[np.ndarray, "_ 2"]] = (),
    **style: Any,
) -> list[Annotation]:
    """Writes texts beside their points, in the order given, and returns those that found room.

    Args:
        axes: with its limits and all else drawn.
        points: where the labels belong.
        texts: one for each.
        keep_off: points, of the axes' data, that no label may cover.
        lines: corners of lines that labels cover only where they have to.
    """
    figure = axes.figure
    assert isinstance(figure, Figure), "pictures have no figures inside figures"
    literal(figure)
    figure.draw_without_rendering()
    to_pixels, unit = axes.transData.transform, figure.dpi / 72
    dots = to_pixels(np.concatenate([points, keep_off]))
    traced = [to_pixels(_traced(line)) for line in lines]
    along = np.concatenate([np.zeros((0, 2)), *traced])
    taken = [text.get_window_extent().frozen() for text in axes.texts]
    placed = []
    for point, text in zip(points, texts):
        label = axes.annotate(
            text, tuple(point), (0, 0), textcoords="offset points", ha="center", va="center"
        )
        label.set(**({"fontsize": 9, "color": INK, "zorder": 8} | style))
        label.set_parse_math(False)  # pyright: ignore
        label.set_in_layout(False)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        size = label.get_window_extent()
        sides = np.array([size.width, size.height])
        inside = axes.get_window_extent().frozen()
        center = _free(to_pixels(point), sides, unit, inside, taken, dots, along)
        if center is None:
            label.remove()
            continue
        taken.append(_box(center, sides))
        label.set_position(tuple((center - to_pixels(point)) / unit))
        placed.append(label)
    return placed


def _free(
    point: np.ndarray,
    sides: np.ndarray,
    unit: float,
    inside: Bbox,
    taken: Sequence[Bbox],
    dots: np.ndarray,
    along: np.ndarray,
) -> np.ndarray | None:
    """Where to centre a label of these sides, in pixels; None where there is no room."""
    best, least = None, np.inf
    for reach in (7.0, 12.0, 20.0):
        for step in AROUND:
            center = point + np.array(step) * (sides / 2 + reach * unit)
            box = _box(center, sides)
            out = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0
            if out or box.y1 > inside.y1 or any(box.overlaps(other) for other in taken):
                continue
            if _within(dots, box.padded(RADIUS * unit)).any():
                continue
            cost = reach + _within(along, box).sum()
            if cost < least:
                best, least = center, cost
    return best


def _box(center: np.ndarray, sides: np.ndarray) -> Bbox:
    return Bbox([center - sides / 2, center + sides / 2])


def _within(points: np.ndarray, box: Bbox) -> np.ndarray:
    return np.all((points > box.min) & (points < box.max), axis=1)


def _traced(line: np.ndarray) -> np.ndarray:
    """Points along a line through some corners."""
    share = np.linspace(0, 1, 60)[:, None]
    parts = [a + share * (b - a) for a, b in itertools.pairwise(line)]
    return np.concatenate([line[:1], *parts])
