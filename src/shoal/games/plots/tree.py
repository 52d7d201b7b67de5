"""A game tree as a picture: from left to right, with information sets joined by dashed brackets.

Each leaf has a row of its own, and each other node is halfway between its first and last child.
Sets that overlap have brackets of different depths, so that each can be followed by eye.
"""

import itertools
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal.core.axes import MINUS
from shoal.core.colors import DISTINCT, INK, SOFT
from shoal.core.errors import require
from shoal.games.extensive.tree import CHANCE, ExtensiveForm
from shoal.games.plots.canvas import canvas, legend, save, short

MOST_LEAVES = 300
EDGE = "#c9c9c2"
ROW = 0.34
"""The height of a leaf's row, in inches; so are all numbers below."""
LETTER = 0.062
"""The width of a letter of a move, about."""
ALONG = 0.48
"""Where on its line a move's name stands, as a share."""
MOST_DEEP = 1.5
"""The depth of the deepest bracket, about."""


def draw_tree(game: ExtensiveForm, path: Path | str) -> Path:
    """Writes a PNG of the tree. Squares are chance's nodes; colours are players.

    Raises:
        UserError: the tree has too many leaves to be read.
    """
    return save(tree_figure(game), path)


def tree_figure(game: ExtensiveForm) -> Figure:
    """The picture that `draw_tree` writes.

    Raises:
        UserError: the tree has too many leaves to be read.
    """
    leaves = len(game.terminals)
    require(
        leaves <= MOST_LEAVES,
        f"the tree has {leaves} leaves, and a picture can show {MOST_LEAVES}: write_efg makes a "
        "file that Gambit can browse",
    )
    lane = _lanes(game)
    deep = 0.14 + min(0.1, MOST_DEEP / (lane.max(initial=0) + 1)) * lane
    names = _names(game)
    place = _places(game, _columns(game, names, float(deep.max(initial=0.0))))
    texts = [", ".join(f"{x:g}" for x in payoffs) for payoffs in game.payoffs]
    right = max(place[k, 0] + 0.1 + 0.075 * len(t) for k, t in zip(game.terminals, texts))
    drawn = canvas(max(3.2, right + 0.5), ROW * leaves + 1.3, game.title)
    axes = drawn.add_subplot()
    _draw_moves(axes, game, place, names)
    _draw_infosets(axes, game, place, deep)
    shown = _draw_nodes(axes, game, place)
    for k, text in zip(game.terminals, texts):
        text = text.replace("-", MINUS)
        axes.text(place[k, 0] + 0.08, place[k, 1], text, fontsize=8, color=INK, va="center")
    axes.set_xlim(-0.15, right)
    axes.set_ylim(leaves - 0.4, -0.6)
    axes.set_axis_off()
    legend(drawn, shown, loc="outside lower left", ncols=1)
    return drawn


def _names(game: ExtensiveForm) -> list[str]:
    """What stands on the line to each node: the move, and of chance its probability too."""
    out = [short(name, 28) for name in game.moves]
    for k in range(1, game.num_nodes):
        if game.actor[game.parent[k]] == CHANCE:
            out[k] += f" ({game.exact_chance[k]})"
    return out


def _columns(game: ExtensiveForm, names: list[str], deep: float) -> Float[np.ndarray, " D"]:
    """How far to the right the nodes of each depth are: names have room beside the brackets."""
    widths = [0.0]
    for first, last in itertools.pairwise(game.depths[1:]):
        half = LETTER * max(len(names[k]) for k in range(first, last)) / 2 + 0.1
        widths.append(max(1.3, half / ALONG, (half + deep) / (1 - ALONG)))
    return np.cumsum(widths)


def _places(game: ExtensiveForm, columns: Float[np.ndarray, " D"]) -> Float[np.ndarray, "K 2"]:
    """Where each node is, to the right in inches, and down in rows."""
    place = np.zeros((game.num_nodes, 2))
    counts = np.bincount(game.parent[1:], minlength=game.num_nodes)
    waiting, row = [0], 0
    while waiting:  # leaves in depth-first order, so that no lines cross
        k = waiting.pop()
        place[k, 1] = row
        row += int(counts[k] == 0)
        first = int(game.first_child[k])
        waiting += reversed(range(first, first + int(counts[k])))
    for depth in reversed(range(len(game.depths) - 1)):
        for k in range(game.depths[depth], game.depths[depth + 1]):
            place[k, 0] = columns[depth]
            if counts[k]:
                first = game.first_child[k]
                place[k, 1] = (place[first, 1] + place[first + counts[k] - 1, 1]) / 2
    return place


def _lanes(game: ExtensiveForm) -> Int[np.ndarray, " I"]:
    """A number for each information set, from 0; sets of one depth share one only where neither
    reaches into the other's rows."""
    rows = _places(game, np.zeros(len(game.depths)))[:, 1]
    depth = np.searchsorted(np.asarray(game.depths), np.arange(game.num_nodes), side="right")
    lanes = np.zeros(len(game.owner), int)
    spans = []
    for s in range(len(game.owner)):
        nodes = np.flatnonzero(game.infoset == s)
        if len(nodes) > 1:
            spans.append((rows[nodes].min(), rows[nodes].max(), int(depth[nodes].min()), s))
    used: dict[int, list[float]] = {}  # where the last set on each lane of a depth ends
    for low, high, at, s in sorted(spans):
        ends = used.setdefault(at, [])
        lanes[s] = next((k for k, end in enumerate(ends) if end < low), len(ends))
        ends[lanes[s] : lanes[s] + 1] = [high]
    return lanes


def _draw_moves(
    axes: Axes, game: ExtensiveForm, place: Float[np.ndarray, "K 2"], names: list[str]
) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    for k in range(1, game.num_nodes):
        (x, y), (to_x, to_y) = place[game.parent[k]], place[k]
        axes.plot([x, to_x], [y, to_y], color=EDGE, linewidth=1, zorder=1)
        at = (x + ALONG * (to_x - x), y + ALONG * (to_y - y))
        style = {"fontsize": 7.5, "color": SOFT, "ha": "center", "va": "center"}
        axes.text(*at, names[k], bbox=behind, zorder=2, **style)


def _draw_infosets(
    axes: Axes,
    game: ExtensiveForm,
    place: Float[np.ndarray, "K 2"],
    deep: Float[np.ndarray, " I"],
) -> None:
    for s, owner in enumerate(game.owner):
        nodes = place[game.infoset == s]
        nodes = nodes[np.argsort(nodes[:, 1])]
        color = DISTINCT[owner % len(DISTINCT)]
        for (x, y), (to_x, to_y) in itertools.pairwise(nodes):
            # To the left, where no payoffs are, and slanted, so as not to hide lines to the nodes.
            side, slant = min(x, to_x) - deep[s], min(0.5, (to_y - y) / 2)
            line = np.array([[x, y], [side, y + slant], [side, to_y - slant], [to_x, to_y]])
            axes.plot(*line.T, "--", color=color, linewidth=1.1, zorder=3, gid=f"set {s}")


def _draw_nodes(
    axes: Axes, game: ExtensiveForm, place: Float[np.ndarray, "K 2"]
) -> list[tuple[Artist, str]]:
    shown: list[tuple[Artist, str]] = []
    for player, name in enumerate(game.players):
        at, color = place[game.actor == player].T, DISTINCT[player % len(DISTINCT)]
        shown.append((axes.scatter(*at, s=36, color=color, zorder=4), short(name)))
    by_chance = place[game.actor == CHANCE].T
    if by_chance.size:
        squares = axes.scatter(*by_chance, s=36, color=SOFT, marker="s", zorder=4)
        shown.append((squares, "chance"))
    return shown
