"""Best responses as a picture: each player's, against every mixture of the other's actions.

    BR_i(y) = argmax_x  u_i(x, y)      an equilibrium is where both players are on theirs

Two by two: both in one square. Otherwise a panel for each player whose mixtures can be drawn: of
two actions a line, under the upper envelope; of three a triangle (von Stengel 2007).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle

from shoal.core.axes import quiet
from shoal.core.colors import DISTINCT, INK, SOFT
from shoal.core.errors import require
from shoal.games.normal_form import NormalForm
from shoal.games.plots.canvas import (
    CORNERS,
    action,
    canvas,
    chance_axes,
    chance_ticks,
    legend,
    place_labels,
    short,
    triangle,
)
from shoal.games.plots.geometry import (
    envelope,
    hull,
    nash_sets,
    payoffs,
    regions,
    responses,
    steps,
)

MOST_NUMBERED = 12
"""More sets of equilibria than these are marked without a number."""
MOST_KEYS = 10
"""The most actions that a key names."""
HATCHES = (None, "////", "....", "xx")
DASHES = ("-", (0, (2, 0.5)), (0, (1, 0.5)), (0, (4, 0.5, 1, 0.5)))
"""Told apart where colours come again."""


def best_response_figure(game: NormalForm) -> Figure:
    """The best responses of two players, and the equilibria where they meet.

    Raises:
        UserError: neither player has two or three actions, or there are not two players.
    """
    counts = payoffs(game).shape[1:]
    title = f"{game.title}: best responses" if game.title else "best responses"
    if counts == (2, 2):
        return _square(game, title)
    over = [j for j in (1, 0) if counts[j] in (2, 3)]
    require(
        bool(over),
        "best responses can be drawn where a player has 2 or 3 actions, "
        f"the game is {counts[0]} x {counts[1]}",
    )
    figure = canvas(4.9 * len(over), 5.2, title)
    for panel, j in zip(np.atleast_1d(figure.subplots(1, len(over))), over):
        (_lines if counts[j] == 2 else _triangle)(panel, game, j)
    return figure


# Two by two --------------------------------------------------------------------------------------


def _square(game: NormalForm, title: str) -> Figure:
    figure = canvas(5.6, 6.4, title)
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    shown: list[tuple[Artist, str]] = []
    breaks: list[np.ndarray] = [np.zeros(0), np.zeros(0)]  # of the row's chance and the column's
    for player, (color, width) in enumerate(zip(DISTINCT, (6.0, 2.4))):
        line = steps(responses(game, player))
        name = f"best responses of {short(game.players[player])}"
        if line is None:
            area = Rectangle(
                (0, 0), 1, 1, facecolor=color, alpha=0.22, zorder=1, gid=f"responses {player}"
            )
            shown.append((axes.add_patch(area), f"{name}: all"))
            continue
        breaks[1 - player] = line[1:-1, 0]
        x, y = line.T[::-1] if player == 0 else line.T
        style: dict[str, Any] = {"solid_capstyle": "butt", "solid_joinstyle": "miter"}
        style["gid"] = f"responses {player}"
        (drawn,) = axes.plot(x, y, color=color, linewidth=width, zorder=3 + player, **style)
        shown.append((drawn, name))
    shown += _equilibria_of_square(axes, game)
    chance_axes(axes, game, breaks)
    legend(figure, shown, loc="outside lower center", ncols=1)
    return figure


def _equilibria_of_square(axes: Axes, game: NormalForm) -> list[tuple[Artist, str]]:
    """Isolated ones as dots; segments thick, under the lines; areas hatched."""
    shown: dict[str, Artist] = {}
    for xs, ys in nash_sets(game)[0]:
        (x, x_end), (y, y_end) = ((s[:, 0].min(), s[:, 0].max()) for s in (xs, ys))
        if x_end > x and y_end > y:
            area = Rectangle((x, y), x_end - x, y_end - y, facecolor="none", gid="area")
            area.set(edgecolor=INK, hatch="//", linewidth=2, zorder=2)
            shown["equilibria: the whole area"] = axes.add_patch(area)
        elif x_end > x or y_end > y:
            style = {"color": INK, "linewidth": 12, "solid_capstyle": "round", "gid": "segment"}
            (line,) = axes.plot([x, x_end], [y, y_end], zorder=2, **style)
            shown["equilibria: the whole segment"] = line
        else:
            shown["equilibrium"] = _dot(axes, float(x), float(y))
    return [(artist, name) for name, artist in shown.items()]


def _dot(axes: Axes, x: float, y: float) -> Line2D:
    style = {"marker": "o", "markersize": 9, "markeredgecolor": "white", "clip_on": False}
    return axes.plot(x, y, linestyle="", color=INK, zorder=6, gid="equilibrium", **style)[0]


# Two actions, or three, against any number -------------------------------------------------------


def _lines(axes: Axes, game: NormalForm, other: int) -> None:
    """What each action gains against the other's mixtures; thick where it is a best response."""
    i = 1 - other
    values = _gains(game, i)
    ends, best = envelope(responses(game, i))
    corners = np.stack([ends, _height(values, ends)], 1)
    drawn: dict[str, Artist] = {}
    for a, (at_1, at_0) in enumerate(values):
        k = next((k for k, same in enumerate(best) if a in same), None)
        color = SOFT if k is None else DISTINCT[k % len(DISTINCT)]
        style = {"color": color, "linewidth": 1.1, "linestyle": (0, (4, 3)) if k is None else "-"}
        (line,) = axes.plot([0, 1], [at_0, at_1], zorder=2, gid=f"action {a}", **style)
        if k is None:
            drawn["never a best response"] = line
    pieces: dict[str, Artist] = {}
    for k, same in enumerate(best):
        style = {"color": DISTINCT[k % len(DISTINCT)], "linewidth": 4.5, "solid_capstyle": "butt"}
        style |= {"linestyle": DASHES[k // len(DISTINCT) % len(DASHES)], "dash_capstyle": "butt"}
        (line,) = axes.plot(*corners[k : k + 2].T, zorder=3, gid="envelope", **style)
        pieces[_names(game, i, same)] = line
    axes.margins(y=0.16)
    axes.set_xlim(-0.05, 1.05)
    mixture = f"{short(game.players[other])}: chance of {action(game.actions[other][0])}"
    axes.set_xlabel(mixture, color=INK, fontsize=10)
    axes.set_ylabel(f"payoff of {short(game.players[i])}", color=INK, fontsize=10)
    quiet(axes)
    chance_ticks(axes, "x", game.actions[other], ends[1:-1])
    _key(axes, game, i, pieces | drawn)
    sets = [(np.stack([y[:, 0], _height(values, y[:, 0])], 1)) for y in _strategies(game, other)]
    _mark(axes, sets, [corners, *(np.array([[0, b], [1, a]]) for a, b in values)])


def _triangle(axes: Axes, game: NormalForm, other: int) -> None:
    """The mixtures of the other's three actions, in the colours of the best responses to them."""
    i = 1 - other
    triangle(axes, game.actions[other])
    pieces: dict[str, Artist] = {}
    edges = []
    for k, (same, mixtures) in enumerate(regions(responses(game, i))):
        color, hatch = DISTINCT[k % len(DISTINCT)], HATCHES[k // len(DISTINCT) % len(HATCHES)]
        at, gid = mixtures @ CORNERS, f"action {same[0]}"
        if len(at) > 2:
            shape = Polygon(at, facecolor=color, alpha=0.4, hatch=hatch, edgecolor="white", gid=gid)
            pieces[_names(game, i, same)] = axes.add_patch(shape)
        else:  # best against an edge only, or a corner
            style = {"color": color, "linewidth": 5, "marker": "s", "markersize": 13, "gid": gid}
            style["markevery"] = 1 if len(at) == 1 else []
            (pieces[_names(game, i, same)],) = axes.plot(*at.T, zorder=3, **style)
        edges.append(np.concatenate([at, at[:1]]))
    _key(axes, game, i, pieces)
    _mark(axes, [y @ CORNERS for y in _strategies(game, other)], edges)


def _mark(axes: Axes, sets: Sequence[np.ndarray], lines: Sequence[np.ndarray]) -> None:
    """The equilibria E1, E2, ..., numbered alike in both panels."""
    numbers: dict[tuple[float, ...], list[str]] = {}
    for k, points in enumerate(sets):
        corners = hull(points)
        middle = corners.mean(axis=0)
        numbers.setdefault(tuple(middle.round(6).tolist()), []).append(f"E{k + 1}")
        if len(corners) == 1:
            _dot(axes, *middle.tolist())
        elif len(corners) == 2:
            style = {"color": INK, "linewidth": 10, "solid_capstyle": "round", "gid": "segment"}
            axes.plot(*corners.T, zorder=2.5, **style)
        else:
            axes.add_patch(
                Polygon(corners, fill=False, edgecolor=INK, linewidth=2.5, hatch="//", gid="area")
            )
    if len(sets) <= MOST_NUMBERED:
        points = np.array(list(numbers))
        texts = [", ".join(names) for names in numbers.values()]
        place_labels(axes, points, texts, points, lines, fontweight="bold", fontsize=10)


def _key(axes: Axes, game: NormalForm, player: int, shown: dict[str, Artist]) -> None:
    """Above a panel: whose responses these are, and which colour is which."""
    entries = [(artist, name) for name, artist in shown.items()]
    if len(entries) > MOST_KEYS:
        left = f"and {len(entries) - MOST_KEYS + 1} more"
        entries = [*entries[: MOST_KEYS - 1], (Patch(alpha=0), left)]
    style = {"marker": "o", "markersize": 7, "markeredgecolor": "white", "color": INK}
    entries.append((Line2D([], [], linestyle="", **style), "equilibria"))
    heading = f"best responses of {short(game.players[player])}"
    place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "alignment": "left"}
    legend(axes, entries, ncols=2, title=heading, title_fontsize=10.5, **place)


def _gains(game: NormalForm, player: int) -> np.ndarray:
    """What a player's actions gain, `[own, other]`."""
    values = payoffs(game)[player]
    return values if player == 0 else values.T


def _height(values: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """The most that an action gains at each chance of the other's first action."""
    return (values[:, :1] * chance + values[:, 1:] * (1 - chance)).max(axis=0)


def _strategies(game: NormalForm, player: int) -> list[np.ndarray]:
    """A player's strategies in each set of equilibria."""
    return [pair[player] for pair in nash_sets(game)[0]]


def _names(game: NormalForm, player: int, same: Sequence[int]) -> str:
    """Actions that gain the same, as one."""
    names = [action(game.actions[player][a], 18) for a in same[:2]]
    rest = [f"{len(same) - 2} more"] if len(same) > 2 else []
    return " or ".join(names + rest)
