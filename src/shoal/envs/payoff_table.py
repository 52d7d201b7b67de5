"""A table of payoffs as shapes: a row for each action of one player, a column for the other's."""

from collections.abc import Sequence

from shoal.core.picture import Circle, Line, Ring, Shape, Text

CHOSEN = "#ffe066"
BEST = "#2b8a3e"
GRID = "#868e96"


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
        chosen: row and column of a cell to mark with a disc, if any.
        best: rows and columns of cells to mark with a ring.
        left: where the square begins.
        top: where it ends.
        side: how wide and high it is.
    """
    high, wide = side / len(rows), side / len(columns)
    size = min(0.09, 0.25 * high, 0.2 * wide)

    def middle(row: int, column: int) -> tuple[float, float]:
        return left + wide * (column + 0.5), top - high * (row + 0.5)

    shapes: list[Shape] = []
    if chosen:
        shapes.append(Circle(*middle(*chosen), 0.4 * min(high, wide), CHOSEN))
    shapes += [Ring(*middle(*cell), 0.42 * min(high, wide), BEST) for cell in best]
    for r in range(len(rows) + 1):
        shapes.append(Line(left, top - high * r, left + side, top - high * r, GRID, 0.3))
    for c in range(len(columns) + 1):
        shapes.append(Line(left + wide * c, top, left + wide * c, top - side, GRID, 0.3))
    for r, name in enumerate(rows):
        shapes.append(Text(left - 0.14 * side, middle(r, 0)[1], name, size=size))
        shapes += [Text(*middle(r, c), text, size=size) for c, text in enumerate(cells[r])]
    for c, name in enumerate(columns):
        shapes.append(Text(middle(0, c)[0], top + 0.1, name, size=size))
    return shapes
