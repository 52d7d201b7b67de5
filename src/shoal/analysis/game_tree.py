"""A game tree as a picture: from left to right, with information sets joined by dashed lines.

Each leaf has a row of its own, and each other node is halfway between its first and last child.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shoal.core.errors import require
from shoal.games.extensive.tree import CHANCE, TERMINAL, ExtensiveForm
from shoal.games.normal_form import rational

PALETTE = ("#4c6ef5", "#f08c00", "#12b886", "#e64980", "#7950f2", "#15aabf", "#fa5252", "#82c91e")
INK, SOFT, LINE = "#1d2127", "#6a707b", "#c9c9c2"
MOST_LEAVES = 300
ROW = 0.34
"""The height of a leaf's row, in inches."""


def draw_tree(game: ExtensiveForm, path: Path | str) -> Path:
    """Writes a PNG of the tree. Squares are chance's nodes; colours are players.

    Raises:
        UserError: the tree has too many leaves to be read.
    """
    leaves = len(game.terminals)
    require(
        leaves <= MOST_LEAVES,
        f"the tree has {leaves} leaves, and a picture can show {MOST_LEAVES}: write_efg makes a "
        "file that Gambit can browse",
    )
    place = _places(game)
    width = 2.2 * (len(game.depths) - 1) + 1
    drawn = Figure(figsize=(width, ROW * leaves + 1.2), dpi=120, layout="constrained")
    axes = drawn.add_subplot()
    _draw_moves(axes, game, place)
    _draw_infosets(axes, game, place)
    _draw_nodes(axes, game, place)
    axes.set_title(game.title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_xlim(-0.2, len(game.depths) - 1.4)
    axes.set_ylim(leaves - 0.3, -0.7)
    axes.set_axis_off()
    axes.legend(loc="lower left", frameon=False, fontsize=9, labelcolor=INK)
    FigureCanvasAgg(drawn).print_png(Path(path))
    return Path(path)


def _places(game: ExtensiveForm) -> Float[np.ndarray, "K 2"]:
    """The depth and the row of each node."""
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
            place[k, 0] = depth
            if counts[k]:
                first = game.first_child[k]
                place[k, 1] = (place[first, 1] + place[first + counts[k] - 1, 1]) / 2
    return place


def _draw_moves(axes: Axes, game: ExtensiveForm, place: Float[np.ndarray, "K 2"]) -> None:
    for k in range(1, game.num_nodes):
        (x, y), (to_x, to_y) = place[game.parent[k]], place[k]
        axes.plot([x, to_x], [y, to_y], color=LINE, linewidth=1, zorder=1)
        name = game.moves[k]
        if game.actor[game.parent[k]] == CHANCE:
            name += f" ({rational(game.chance[k]).item()})"
        at = (x + 0.6 * (to_x - x), y + 0.6 * (to_y - y))
        axes.text(*at, name, fontsize=7, color=SOFT, ha="center", va="bottom", zorder=2)


def _draw_infosets(axes: Axes, game: ExtensiveForm, place: Float[np.ndarray, "K 2"]) -> None:
    for s, owner in enumerate(game.owner):
        nodes = place[game.infoset == s]
        if len(nodes) > 1:
            # Bent a little, and each differently, so that sets on one depth can be told apart.
            x = nodes[:, 0] + 0.04 * (1 + s % 3) * np.sin(np.linspace(0, np.pi, len(nodes)))
            color = PALETTE[owner % len(PALETTE)]
            axes.plot(x, nodes[:, 1], "--", color=color, linewidth=1, alpha=0.7, zorder=3)


def _draw_nodes(axes: Axes, game: ExtensiveForm, place: Float[np.ndarray, "K 2"]) -> None:
    for player, name in enumerate(game.players):
        at = place[game.actor == player].T
        axes.scatter(*at, s=36, color=PALETTE[player % len(PALETTE)], label=name, zorder=4)
    by_chance = place[game.actor == CHANCE].T
    if by_chance.size:
        axes.scatter(*by_chance, s=36, color=SOFT, marker="s", label="chance", zorder=4)
    for k, payoffs in zip(np.flatnonzero(game.actor == TERMINAL), game.payoffs):
        text = ", ".join(f"{x:g}".replace("-", "\N{MINUS SIGN}") for x in payoffs)
        axes.text(place[k, 0] + 0.05, place[k, 1], text, fontsize=8, color=INK, va="center")
