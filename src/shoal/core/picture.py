"""What an environment looks like at one moment: a few primitives that any renderer can draw."""

from typing import NamedTuple


class Circle(NamedTuple):
    """A filled disc, in world units."""

    x: float
    y: float
    radius: float
    color: str
    label: str = ""
    opacity: float = 1.0


class Line(NamedTuple):
    """A straight line, in world units; `width` is in hundredths of the view."""

    x1: float
    y1: float
    x2: float
    y2: float
    color: str
    width: float = 0.5
    opacity: float = 1.0


class Text(NamedTuple):
    """A word in the world, `size` in world units."""

    x: float
    y: float
    text: str
    color: str = "#212529"
    size: float = 0.08


Shape = Circle | Line | Text


class Picture(NamedTuple):
    """Shapes from back to front, inside `view` = (left, bottom, right, top), and what each agent says."""

    shapes: tuple[Shape, ...] = ()
    view: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0)
    messages: dict[str, str] = {}
