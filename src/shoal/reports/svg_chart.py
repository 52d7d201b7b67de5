"""Charts as inline SVG: text that stays sharp and small, in colours that a page's style sheet sets.

A chart is 440 wide in its own units, so that its words stay readable on a telephone. Classes:
`grid`, `axis`, `band`, `line`, `dot`; a series' colour is the variable `--c` of its group.
"""

import html
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from shoal.core.axes import compact

WIDTH, HEIGHT = 440, 290
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 12, 40
ROWS = (34.0, 240.0)  # the least and the most height of a row of an interval chart
FEW = 25  # points of a line that are shown as dots
Number = float | int
Numbers = Sequence[Number | None]


class Line(NamedTuple):
    """One series of P points, perhaps with an interval at each; `None` where there is no number."""

    name: str
    color: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    dashed: bool = False


class Interval(NamedTuple):
    """One row: the value, its interval if there is one, and the single scores."""

    name: str
    color: str
    value: Number
    low: Number | None
    high: Number | None
    scores: Sequence[Number]


class _Axis(NamedTuple):
    """From numbers to places along one side of the picture."""

    low: Number
    high: Number
    start: Number
    end: Number

    def __call__(self, x: Number) -> float:
        return self.start + (x - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    reference: tuple[Number, str] | None = None,
    y_range: tuple[Number, Number] | None = None,
    stepped: bool = False,
) -> str:
    """Lines with bands. `reference` is a height that is marked and named; a `stepped` line keeps a
    value until the next point."""
    lines = [_stepped(line) for line in lines] if stepped else lines
    xs = _numbers(v for line in lines for v in line.x)
    ys = _numbers(v for line in lines for side in (line.y, line.low, line.high) for v in side or ())
    ys += [reference[0]] if reference else []
    if not xs or not ys:
        return f'<p class="soft">There is nothing to draw by {html.escape(x_label)}.</p>'
    x_ticks = [x for x in ticks(min(xs), max(xs)) if min(xs) <= x <= max(xs) or x == 0]
    y_ticks = ticks(*(y_range or (min(ys), max(ys))))
    across = _Axis(*_ends(xs + x_ticks), LEFT, WIDTH - RIGHT)
    up = _Axis(*_ends(ys + y_ticks), HEIGHT - BOTTOM, TOP)
    parts = [_grid(x_ticks, y_ticks, across, up), _labels(x_label, y_label, HEIGHT)]
    if reference:
        parts.append(_reference(up(reference[0]), reference[1]))
    parts += [_line(line, across, up) for line in lines]
    return _svg("".join(parts), HEIGHT, f"{y_label} by {x_label}")


def interval_chart(rows: Sequence[Interval], *, x_label: str) -> str:
    """A row for each: single scores as rings, the value as a bar, its interval as a band."""
    values = _numbers(v for r in rows for v in (*r.scores, r.value, r.low, r.high))
    row_height = min(max((HEIGHT - TOP - BOTTOM) / len(rows), ROWS[0]), ROWS[1])
    marks, height = ticks(min(values), max(values)), TOP + row_height * len(rows) + BOTTOM
    across = _Axis(*_ends(values + marks), LEFT / 2, WIDTH - RIGHT - 8)
    floor = height - BOTTOM
    parts = [
        f'<line class="grid" x1="{across(t):.1f}" x2="{across(t):.1f}" y1="{TOP}" y2="{floor}"/>'
        f'<text x="{across(t):.1f}" y="{floor + 16}" text-anchor="middle">{compact(t)}</text>'
        for t in marks
    ]
    parts.append(_labels(x_label, "", height))
    for i, row in enumerate(rows):
        parts.append(_interval(row, across, TOP + row_height * (i + 0.5) - 17))
    return _svg("".join(parts), height, x_label)


def ticks(low: Number, high: Number, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from `low` or below to `high` or above.

    >>> ticks(-7.3, 1.2)
    [-8.0, -6.0, -4.0, -2.0, 0.0, 2.0]
    """
    span = (high - low) or max(abs(high), 1.0)
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(k * power for k in (1, 2, 5, 10) if k * power * about >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _ends(values: Sequence[Number]) -> tuple[Number, Number]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _numbers(values: Iterable[Number | None]) -> list[float]:
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def _grid(x_ticks: list[float], y_ticks: list[float], across: _Axis, up: _Axis) -> str:
    floor = HEIGHT - BOTTOM
    rows = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(y):.1f}" y2="{up(y):.1f}"/>'
        f'<text x="{LEFT - 7}" y="{up(y) + 4:.1f}" text-anchor="end">{compact(y)}</text>'
        for y in y_ticks
    )
    columns = "".join(
        f'<text x="{across(x):.1f}" y="{floor + 16}" text-anchor="middle">{compact(x)}</text>'
        for x in x_ticks
    )
    return rows + columns


def _labels(x_label: str, y_label: str, height: Number) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2 if y_label else WIDTH / 2
    below = f'<text class="axis" x="{middle}" y="{height - 6}" text-anchor="middle">'
    beside = (
        f'<text class="axis" transform="translate(11 {(TOP + height - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(y_label)}</text>'
    )
    return f"{below}{html.escape(x_label)}</text>" + (beside if y_label else "")


def _reference(y: Number, name: str) -> str:
    return (
        f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end">{html.escape(name)}</text>'
    )


def _line(line: Line, across: _Axis, up: _Axis) -> str:
    kept = [i for i, (x, y) in enumerate(zip(line.x, line.y)) if _numbers((x, y)) == [x, y]]
    points = [(across(float(line.x[i] or 0)), up(float(line.y[i] or 0))) for i in kept]
    if not points:
        return ""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 3"' if line.dashed else ""
    drawn = [_band(line, kept, across, up), f'<path class="line" d="{path}"{dash}/>']
    if len(points) <= FEW:
        drawn += [
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.6"><title>{_said(line, i)}</title>'
            "</circle>"
            for (x, y), i in zip(points, kept)
        ]
    title = f"<title>{html.escape(line.name)}</title>"
    return f'<g style="--c:{line.color}">{title}{"".join(drawn)}</g>'


def _stepped(line: Line) -> Line:
    """The same line with a corner before each point."""

    def held(values: Numbers | None) -> Numbers | None:
        return values and [values[k // 2] for k in range(2 * len(values) - 1)]

    x = [line.x[(k + 1) // 2] for k in range(2 * len(line.x) - 1)]
    return line._replace(x=x, y=held(line.y) or [], low=held(line.low), high=held(line.high))


def _band(line: Line, kept: list[int], across: _Axis, up: _Axis) -> str:
    if line.low is None or line.high is None:
        return ""
    low, high = line.low, line.high
    at = [i for i in kept if len(_numbers((low[i], high[i]))) == 2]
    there = [f"{across(float(line.x[i] or 0)):.1f} {up(float(high[i] or 0)):.1f}" for i in at]
    back = [f"{across(float(line.x[i] or 0)):.1f} {up(float(low[i] or 0)):.1f}" for i in at[::-1]]
    return f'<path class="band" d="M{"L".join(there + back)}Z"/>' if at else ""


def _said(line: Line, i: int) -> str:
    x, y = line.x[i], line.y[i]
    return html.escape(f"{line.name}: {compact(float(y or 0))} at {compact(float(x or 0))}")


def _interval(row: Interval, across: _Axis, top: Number) -> str:
    middle, name = top + 22, html.escape(row.name)
    parts = [f'<text class="name" x="{LEFT / 2}" y="{top + 10}">{name}</text>']
    if row.low is not None and row.high is not None:
        start, end = across(row.low), across(row.high)
        parts.append(
            f'<rect class="band" x="{start:.1f}" width="{max(end - start, 1):.1f}" '
            f'y="{middle - 6}" height="12" rx="3"/>'
        )
    parts += [
        f'<circle class="ring" cx="{across(x):.1f}" cy="{middle}" r="3.4">'
        f"<title>{name}: a seed scored {compact(np.round(x, 4))}</title></circle>"
        for x in row.scores
    ]
    place = f"{across(row.value):.1f}"
    parts.append(
        f'<line class="line" x1="{place}" x2="{place}" y1="{middle - 8}" y2="{middle + 8}"/>'
    )
    return f'<g style="--c:{row.color}">{"".join(parts)}</g>'


def _svg(content: str, height: Number, name: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(name)}">'
        f"{content}</svg>"
    )
