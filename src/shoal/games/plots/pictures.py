"""Pictures of games of two players: best responses, and payoffs as points of a plane.

The plane holds nested sets: equilibria, correlated ones, coarse ones, and all mixtures of outcomes

    NE  within  CE  within  CCE  within  conv { u(a) }       (Aumann 1974; Moulin and Vial 1978)
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from shoal.core.axes import quiet
from shoal.core.colors import DISTINCT, INK, LINE, SOFT
from shoal.core.errors import UserError, require
from shoal.games.correlated import correlated_equilibrium
from shoal.games.dynamics.flows import Replicator
from shoal.games.efficiency import pareto_front
from shoal.games.normal_form import NormalForm
from shoal.games.plots.best_responses import best_response_figure
from shoal.games.plots.canvas import (
    canvas,
    legend,
    place_labels,
    save,
    short,
)
from shoal.games.plots.dynamics import plot_simplex, plot_square
from shoal.games.plots.geometry import (
    MOST_TRACED,
    correlated_payoffs,
    hull,
    nash_payoffs,
    nash_sets,
    payoffs,
    upper_right,
)

__all__ = [
    "best_response_figure",
    "correlated_figure",
    "pareto_figure",
    "plot_best_responses",
    "plot_correlated",
    "plot_pareto",
    "save_pictures",
]

MOST_OUTCOMES = 100_000
"""Games with more action profiles than this are not drawn point by point."""
MOST_NAMED = 40
"""In games with more outcomes than this none is named."""
VISIBLE = 1e-3
"""Corners that stand out by less of the payoffs' range are not drawn."""


def plot_best_responses(game: NormalForm, path: Path | str) -> Path:
    """Writes `best_response_figure(game)` as a PNG.

    Raises:
        UserError: neither player has two or three actions, or there are not two players.
    """
    return save(best_response_figure(game), path)


def plot_correlated(game: NormalForm, path: Path | str) -> Path:
    """Writes `correlated_figure(game)` as a PNG.

    Raises:
        UserError: there are not two players, or the game has more than 400 action profiles.
    """
    return save(correlated_figure(game), path)


def plot_pareto(game: NormalForm, path: Path | str) -> Path:
    """Writes `pareto_figure(game)` as a PNG.

    Raises:
        UserError: there are not two players, or the game has more than 100,000 action profiles.
    """
    return save(pareto_figure(game), path)


def save_pictures(game: NormalForm, directory: Path | str) -> list[Path]:
    """Writes every picture that can be made of the game into a directory, which is made if it is
    not there: `best_responses.png`, `correlated.png`, `pareto.png` and `replicator.png`.

    Raises:
        UserError: the game has not two players.
    """
    payoffs(game)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    makers = {
        "best_responses": plot_best_responses,
        "correlated": plot_correlated,
        "pareto": plot_pareto,
        "replicator": _replicator,
    }
    written = []
    for name, make in makers.items():
        with suppress(UserError):  # of a game that this picture cannot show
            written.append(make(game, directory / f"{name}.png"))
    return written


def correlated_figure(game: NormalForm) -> Figure:
    """What the players can gain in correlated equilibrium, and in the sets around and within it.

    Raises:
        UserError: there are not two players, or the game has more than 400 action profiles.
    """
    inner, outer = (correlated_payoffs(game, coarse, VISIBLE) for coarse in (False, True))
    sets = [("all outcomes and their mixtures", _feasible(game), LINE, 1.0)]
    name = "correlated equilibria"
    if inner.shape == outer.shape and np.allclose(inner, outer, rtol=0, atol=_width(game) * 1e-6):
        name += ", coarse or not"
    else:
        sets.append(("coarse correlated equilibria", outer, DISTINCT[4], 0.55))
    sets.append((name, inner, DISTINCT[0], 0.85))
    figure, axes = _plane(game, "correlated equilibria")
    shown: list[tuple[Artist, str]] = []
    for depth, (name, corners, color, alpha) in enumerate(sets):
        shown.append((_shape(axes, corners, color, alpha, depth), name))
    shown += _equilibria(axes, game)
    legend(figure, shown, loc="outside lower center", ncols=1)
    return figure


def pareto_figure(game: NormalForm) -> Figure:
    """Every outcome as a point, those that are Pareto optimal joined, and the equilibria.

    The steps bound what some outcome is as good as for both players; the dashed line is the
    front of all mixtures of outcomes.

    Raises:
        UserError: there are not two players, or the game has more than 100,000 action profiles.
    """
    outcomes = payoffs(game).reshape(2, -1).T
    require(
        len(outcomes) <= MOST_OUTCOMES,
        f"the game has {len(outcomes)} outcomes, the limit for a picture is {MOST_OUTCOMES}",
    )
    figure, axes = _plane(game, "outcomes")
    front = np.unique([payoffs(game)[:, a, b] for a, b in pareto_front(game)], axis=0)
    mixed = upper_right(_feasible(game))
    steps = np.repeat(front, 2, axis=0)
    corners = np.stack([steps[:-1, 0], steps[1:, 1]], 1)  # down first, and then to the right
    style: dict[str, Any] = {"linestyle": "", "marker": "o", "clip_on": False}
    (dots,) = axes.plot(
        *outcomes.T, color="#b4b9c2", markersize=6, zorder=3, gid="outcomes", **style
    )
    (best,) = axes.plot(*front.T, color=DISTINCT[0], markersize=7, zorder=4, gid="front", **style)
    dashes = {"color": DISTINCT[2], "linewidth": 1.6, "linestyle": (0, (4, 2.5)), "gid": "mixtures"}
    (line,) = axes.plot(*mixed.T, zorder=2.2, **dashes)
    shown: list[tuple[Artist, str]] = [(dots, "outcomes"), (best, "Pareto optimal outcomes")]
    if len(front) > 1:
        edge = {"color": DISTINCT[0], "linewidth": 1.8, "gid": "steps"}
        shown.append((axes.plot(*corners.T, zorder=2, **edge)[0], "edge of what they dominate"))
    shown.append((line, "Pareto front of their mixtures"))
    shown += _equilibria(axes, game, hollow=True) + _most_welfare(axes, game)
    legend(figure, shown, loc="outside lower center", ncols=2)
    _name_outcomes(axes, game, [corners, mixed])
    return figure


def _plane(game: NormalForm, subject: str) -> tuple[Figure, Axes]:
    figure = canvas(5.8, 6.0, f"{game.title}: {subject}" if game.title else subject)
    axes = figure.add_subplot()
    low, high = payoffs(game).min(axis=(1, 2)), payoffs(game).max(axis=(1, 2))
    room = np.where(high > low, 0.16 * (high - low), 0.5)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    axes.set_ylim(low[1] - room[1], high[1] + room[1])
    axes.set_xlabel(f"payoff of {short(game.players[0])}", color=INK, fontsize=10)
    axes.set_ylabel(f"payoff of {short(game.players[1])}", color=INK, fontsize=10)
    axes.locator_params(nbins=6)
    axes.grid(color=LINE, linewidth=0.6)
    quiet(axes)
    return figure, axes


def _feasible(game: NormalForm) -> Float[np.ndarray, "V 2"]:
    """The corners of the convex hull of all outcomes, anticlockwise."""
    width = _width(game)
    return hull(payoffs(game).reshape(2, -1).T / width) * width


def _width(game: NormalForm) -> Float[np.ndarray, "2"]:
    """The range of each player's payoffs, or 1 where they are all the same."""
    width = np.ptp(payoffs(game), axis=(1, 2))
    return np.where(width > 0, width, 1.0)


def _shape(
    axes: Axes, corners: Float[np.ndarray, "V 2"], color: str, alpha: float, depth: int
) -> Artist:
    """A polygon, a thick line or a dot, the inner sets narrower so that the outer ones show."""
    if len(corners) > 2:
        edge = {"edgecolor": SOFT if depth == 0 else DISTINCT[0], "linewidth": 1.0}
        return axes.add_patch(
            Polygon(corners, facecolor=color, alpha=alpha, zorder=1 + depth / 10, **edge)
        )
    width = (12.0, 8.0, 4.0)[depth]
    style: dict[str, Any] = {"color": color, "linewidth": width, "zorder": 1 + depth / 10}
    if len(corners) == 1:
        style |= {"linestyle": "", "marker": "o", "markersize": 26 - 6 * depth}
    return axes.plot(*corners.T, solid_capstyle="round", clip_on=False, **style)[0]


def _equilibria(axes: Axes, game: NormalForm, hollow: bool = False) -> list[tuple[Artist, str]]:
    """The payoffs of each convex set of equilibria: a dot, a segment or a box."""
    sets, complete = nash_sets(game)
    name = "Nash equilibria" if complete else "Nash equilibria, the pure ones"
    ring = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 1.8}
    dot = {"markersize": 8, "markeredgecolor": "white"}
    shown: dict[str, Artist] = {}
    for nash in sets:
        (x, x_end), (y, y_end) = nash_payoffs(game, nash).tolist()
        corners = hull(np.array([[x, y], [x_end, y], [x_end, y_end], [x, y_end]]))
        style: dict[str, Any] = {"color": INK, "zorder": 6, "clip_on": False, "gid": "nash"}
        if len(corners) == 1:
            style |= {"linestyle": "", "marker": "o"} | (ring if hollow else dot)
            shown[name] = axes.plot(*corners.T, **style)[0]
        elif len(corners) == 2:
            style |= {"linewidth": 3.5, "solid_capstyle": "round"}
            shown[f"{name}: the whole segment"] = axes.plot(*corners.T, **style)[0]
        else:
            box = Polygon(corners, fill=False, hatch="////", edgecolor=INK, zorder=6, gid="nash")
            shown[f"{name}: the whole area"] = axes.add_patch(box)
    return [(artist, text) for text, artist in shown.items()]


def _most_welfare(axes: Axes, game: NormalForm) -> list[tuple[Artist, str]]:
    if payoffs(game)[0].size > MOST_TRACED:
        return []
    gained = correlated_equilibrium(game, "welfare").payoffs
    style: dict[str, Any] = {"marker": "D", "markersize": 15, "markerfacecolor": "none"}
    style |= {"color": DISTINCT[5], "markeredgewidth": 1.8, "linestyle": "", "clip_on": False}
    (mark,) = axes.plot(*gained[:, None], zorder=5, gid="welfare", **style)
    return [(mark, "correlated equilibrium of most welfare")]


def _name_outcomes(axes: Axes, game: NormalForm, lines: Sequence[np.ndarray]) -> None:
    """Writes the actions beside their outcomes where there is room, at the front first."""
    counts = game.num_actions
    if counts[0] * counts[1] > MOST_NAMED:
        return
    best, where = pareto_front(game), {}
    for a, b in [*best, *(c for c in np.ndindex(*counts) if c not in best)]:
        where.setdefault(tuple(payoffs(game)[:, a, b].tolist()), []).append((a, b))
    texts = [_name(game, profiles) for profiles in where.values()]
    welfare = [line.get_xydata() for line in axes.lines if line.get_gid() in ("nash", "welfare")]
    keep_off = np.concatenate([np.zeros((0, 2)), *(np.asarray(points) for points in welfare)])
    place_labels(axes, np.array(list(where)), texts, keep_off, lines, fontsize=8.5)


def _name(game: NormalForm, profiles: Sequence[tuple[int, int]]) -> str:
    """The outcomes of one point: up to three by name, or two and how many more there are."""
    most = 3 if len(profiles) <= 3 else 2
    numbered = all(name.isdecimal() for names in game.actions for name in names)
    names = [[short(game.actions[i][a[i]], 16) for i in (0, 1)] for a in profiles[:most]]
    lines = [("actions " if numbered else "") + f"{a}, {b}" for a, b in names]
    return "\n".join(lines + ([f"and {len(profiles) - most} more"] if len(profiles) > most else []))


def _replicator(game: NormalForm, path: Path) -> Path:
    """The replicator dynamic: of one population with three actions, or of two with two each.

    Raises:
        UserError: the game is neither.
    """
    isolated = [(x[0], y[0]) for x, y in nash_sets(game)[0] if len(x) == len(y) == 1]
    title = f"{game.title}: replicator dynamic" if game.title else "replicator dynamic"
    if game.num_actions == (2, 2):
        return plot_square(path, game, Replicator(), points=isolated, title=title)
    alike = [x for x, y in isolated if len(x) == len(y) and np.allclose(x, y, rtol=0, atol=1e-9)]
    return plot_simplex(path, game, Replicator(), points=alike, title=title)
