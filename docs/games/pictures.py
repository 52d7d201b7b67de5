"""Draws the pictures of these pages beside itself: `python docs/games/pictures.py`."""

from pathlib import Path

from bluff import Bluff
from PIL import Image

from shoal.games import NormalForm, classic, equilibria, extensive_form, replicator
from shoal.games.dynamics.flows import Replicator
from shoal.games.plots.dynamics import plot_simplex
from shoal.games.plots.pictures import plot_best_responses, plot_correlated
from shoal.games.plots.tree import draw_tree

HERE = Path(__file__).parent


def rock_paper_scissors(win: float, loss: float, title: str) -> NormalForm:
    """The game with other prizes."""
    names = ["rock", "paper", "scissors"]
    row = [[0, -loss, win], [win, 0, -loss], [-loss, win, 0]]
    return NormalForm.symmetric(row, actions=[names, names], title=title)


plot_best_responses(classic("battle_of_the_sexes"), HERE / "best_responses.png")
plot_correlated(classic("chicken"), HERE / "correlated.png")
bitter = rock_paper_scissors(1, 2, "rock-paper-scissors, a loss costs 2")
plot_correlated(bitter, HERE / "coarse.png")
draw_tree(extensive_form(Bluff()), HERE / "bluff.png")

generous = rock_paper_scissors(2, 1, "Replicator dynamic, a win pays 2")
run = replicator(generous, 4000, symmetric=True, start=[0.8, 0.1, 0.1])
points = [x for x, _ in equilibria(generous)]
plot_simplex(HERE / "replicator.png", generous, Replicator(), [run], points=points)

for path in HERE.glob("*.png"):  # few colours: a third of the size
    Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
