"""Pictures of trees: sets of nodes can be told apart, and nothing is written over."""

import itertools

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.extensive.kuhn import kuhn
from shoal.games.extensive.leduc import leduc
from shoal.games.gambit.efg import read_efg
from shoal.games.plots.tree import draw_tree, tree_figure

SMALL = """EFG 2 R "who pays $1, and who pays $2 in a game whose name is long" { "_ann" "bob" }
""
c "root" 1 "" { "red" 1/2 "black" 1/2 } 0
p "" 1 1 "red" { "raise" "fold, which loses at once" } 0
p "" 2 1 "bob" { "meet" "pass" } 0
t "" 1 "a" { 2 -2 }
t "" 2 "b" { 1 -1 }
t "" 3 "c" { 1.23456 -1.23456 }
p "" 1 2 "black" { "raise" "fold" } 0
p "" 2 1 "bob" { "meet" "pass" } 0
t "" 4 "d" { -2 2 }
t "" 2 "b" { 1 -1 }
t "" 5 "e" { -1 1 }
"""


def brackets(axes) -> dict[str, np.ndarray]:
    """The first piece of the bracket of each information set."""
    lines = [line for line in axes.lines if str(line.get_gid()).startswith("set ")]
    return {line.get_gid(): np.array(line.get_data()).T for line in reversed(lines)}


def test_overlapping_sets_have_brackets_of_different_depths() -> None:
    game = kuhn()
    (axes,) = tree_figure(game).axes
    found = brackets(axes)
    # Each card of each player, after each history at which that player acts: two nodes a set.
    assert len(found) == len(game.owner) == 12
    for one, other in itertools.combinations(found.values(), 2):
        apart = one[:, 1].max() < other[:, 1].min() or other[:, 1].max() < one[:, 1].min()
        assert apart or abs(one[:, 0].min() - other[:, 0].min()) > 0.05
    for name, line in found.items():
        owner = game.owner[int(name.split()[1])]
        nodes = np.flatnonzero(game.infoset == int(name.split()[1]))
        assert (game.actor[nodes] == owner).all()
        assert line[0, 0] == line[-1, 0] and line[1, 0] == line[2, 0] < line[0, 0]


@pytest.mark.parametrize("game", [kuhn(), read_efg(SMALL)], ids=["kuhn", "efg"])
def test_texts_are_whole_and_apart(game) -> None:
    figure = tree_figure(game)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == game.num_nodes - 1 + len(game.terminals)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    seen = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert min(seen.x0, seen.y0) >= 0 and seen.x1 <= width and seen.y1 <= height


def test_brackets_keep_off_texts() -> None:
    figure = tree_figure(kuhn())
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    for line in brackets(axes).values():
        upright = axes.transData.transform(np.linspace(line[1], line[2], 400))
        for box in boxes:
            assert not ((upright > box.min) & (upright < box.max)).all(1).any()


def test_what_stands_in_the_picture(tmp_path) -> None:
    figure = tree_figure(read_efg(SMALL))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert {"red (1/2)", "black (1/2)", "raise", "meet"} <= set(texts)
    assert "1.23456, \N{MINUS SIGN}1.23456" in texts
    # A name that begins with an underscore is in the key too, which Matplotlib would leave out.
    key = [text.get_text().strip() for text in figure.legends[0].get_texts()]
    assert key == ["_ann", "bob", "chance"]
    path = draw_tree(read_efg(SMALL), str(tmp_path / "small.png"))
    assert path == tmp_path / "small.png" and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_trees_too_large_to_be_read_are_refused() -> None:
    with pytest.raises(UserError, match="5520 leaves, and a picture can show 300"):
        tree_figure(leduc())
