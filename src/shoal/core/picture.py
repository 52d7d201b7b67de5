"""What an environment looks like at one moment: a few primitives that any renderer can draw."""

import colorsys
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Circle(NamedTuple):
    """A filled disc, in world units. One labelled with an agent's name is that agent: renderers
    take the agent's colour from it, hang its messages on it and shorten the label."""

    x: float
    y: float
    radius: float
    color: str
    label: str = ""
    opacity: float = 1.0


class Ring(NamedTuple):
    """A circle's outline, in world units; `width` is in hundredths of the view."""

    x: float
    y: float
    radius: float
    color: str
    width: float = 0.5
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


class Rectangle(NamedTuple):
    """A filled rectangle, from its lower left corner at (x, y), in world units, as is `corner`, the
    radius that rounds its corners."""

    x: float
    y: float
    width: float
    height: float
    color: str
    corner: float = 0.0
    opacity: float = 1.0


class Polygon(NamedTuple):
    """A filled polygon, its corners (x, y) in order, in world units."""

    points: tuple[tuple[float, float], ...]
    color: str
    opacity: float = 1.0


class Text(NamedTuple):
    """A word in the world, `size` in world units."""

    x: float
    y: float
    text: str
    color: str = "#212529"
    size: float = 0.08


class Bitmap(NamedTuple):
    """An image, from its lower left corner at (x, y), in world units. `source` is a data URI."""

    x: float
    y: float
    width: float
    height: float
    source: str


Shape = Circle | Ring | Line | Rectangle | Polygon | Text | Bitmap


class Picture(NamedTuple):
    """Shapes from back to front in `view` = (left, bottom, right, top), and what agents say."""

    shapes: tuple[Shape, ...] = ()
    view: tuple[float, float, float, float] = (-1.0, -1.0, 1.0, 1.0)
    messages: Mapping[str, str] = MappingProxyType({})


def shades(color: str, n: int) -> tuple[str, ...]:
    """`n` relatives of a colour `#rrggbb` that can be told apart: neighbouring hues, with the
    colour itself in the middle. For agents that look alike but must be followed one by one."""
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(*channels)
    spread = min(110, max(50, 35 * (n - 1))) / 360  # in turns of the colour wheel
    out = []
    for k in range(n):
        offset = k / (n - 1) - 0.5 if n > 1 else 0.0
        rgb = colorsys.hls_to_rgb((hue + offset * spread) % 1.0, light, saturation)
        out.append("#" + "".join(f"{round(255 * x):02x}" for x in rgb))
    return tuple(out)
