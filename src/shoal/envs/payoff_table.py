"""A table of payoffs as shapes: a row for each action of one player, a column for the other's."""

import itertools
from collections.abc import Sequence

from shoal.core.picture import Rectangle, Shape, Text

CHOSEN = "#f59f00"
BEST = "#2b8a3e"
GRID = "#ced4da"
CELL = "#ffffff"


def payoff_table(
    cells: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    chosen: Sequence[int] = (),
    best: Sequence[Sequence[int]] = (),
    left: float = -0.8,
    top: float = 0.7,
    side: float = 1.8,
) -> list[Shape]:
    """The table in a square, its actions named above and to the left of it.

    Args:
        cells: what stands in each cell.
        rows: the names of the rows.
        columns: the names of the columns.
        chosen: row and column of a cell to mark as played, if any.
        best: rows and columns of cells to mark with a frame.
        left: where the square begins.
        top: where it ends.
        side: how wide and high it is.
    """
    high, wide = side / len(rows), side / len(columns)
    size = min(0.09, 0.25 * high, 0.2 * wide)

    def middle(row: int, column: int) -> tuple[float, float]:
        return left + wide * (column + 0.5), top - high * (row + 0.5)

    def cell(at: Sequence[int], color: str, gap: float, opacity: float = 1.0) -> Rectangle:
        x, y = middle(*at)
        width, height = wide - 2 * gap, high - 2 * gap
        return Rectangle(x - width / 2, y - height / 2, width, height, color, gap, opacity)

    thin, thick = 0.004 * side, 0.06 * min(high, wide)
    marked = {tuple(each) for each in best}
    shapes: list[Shape] = [
        Rectangle(left - thin, top - side - thin, side + 2 * thin, side + 2 * thin, GRID, thick)
    ]
    for r, c in itertools.product(range(len(rows)), range(len(columns))):
        shapes.append(cell((r, c), BEST if (r, c) in marked else CELL, thin))
        if (r, c) in marked:
            shapes.append(cell((r, c), CELL, thick))
    if chosen:
        shapes.append(cell(chosen, CHOSEN, 1.5 * thick, opacity=0.5))
    for r, name in enumerate(rows):
        shapes.append(Text(left - 0.14 * side, middle(r, 0)[1], name, size=size))
        shapes += [Text(*middle(r, c), text, size=size) for c, text in enumerate(cells[r])]
    for c, name in enumerate(columns):
        shapes.append(Text(middle(0, c)[0], top + 0.1, name, size=size))
    return shapes
