"""Pictures as images, drawn without a display: three times too large, then scaled down."""

import base64
import functools
import io
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from shoal.core.colors import DOT, FLOOR, INK, LINE, PAPER, SOFT
from shoal.core.picture import Bitmap, Circle, Line, Picture, Polygon, Rectangle, Ring, Shape, Text

FINE = 3  # supersampling
TRAIL = 8  # steps of an agent's past that are shown
Real = float | int
View = tuple[Real, Real, Real, Real]
Point = tuple[float, float]


def draw_picture(
    picture: Picture,
    size: int = 480,
    *,
    caption: str = "",
    names: dict[str, str] | None = None,
    view: View | None = None,
    past: Sequence[Picture] | None = None,
) -> Image.Image:
    """A picture `size` pixels wide (RGB), with a line of text under it if there is a `caption`.

    `names` has the agents and shortens their labels; `view` shows another part of the world than
    the picture says. With the pictures of the `past`, which may be none, it stands on a floor, with
    trails behind the agents. Width and height are even, as video codecs want them.
    """
    pen = _Pen(view or picture.view, size, names or {}, bar=34 if caption else 0)
    if past is not None:
        pen.floor()
        pen.trails([*past[-TRAIL:], picture])
    for shape in picture.shapes:
        pen.draw(shape)
    for shape in picture.shapes:
        if isinstance(shape, Circle) and picture.messages.get(shape.label):
            pen.speech(shape, picture.messages[shape.label])
    if caption:
        pen.caption(caption)
    image = pen.image.reduce(FINE)
    if past is not None:
        border = _border(image.width, image.height - pen.bar // FINE)
        image.paste(border, mask=border)
    return image


def photograph(pixels: np.ndarray, width: int = 480) -> Picture:
    """The picture of an image `[H, W, 3]` of bytes, made smaller where it is wider than `width`."""
    image = Image.fromarray(pixels)
    image.thumbnail((width, 4 * width))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=75)
    source = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    height = 2 * image.height / image.width
    view = (-1.0, -height / 2, 1.0, height / 2)
    return Picture((Bitmap(-1.0, -height / 2, 2.0, height, source),), view)


class _Pen:
    """Draws in world units on an image of `FINE` times the size."""

    def __init__(self, view: View, size: int, names: dict[str, str], bar: int):
        left, bottom, right, top = view
        self.view, self.left, self.top, self.names = view, left, top, names
        self.width = FINE * _even(size)
        self.scale = self.width / (right - left)
        self.bar = FINE * bar
        self.height = FINE * _even((self.scale * (top - bottom) + self.bar) / FINE)
        self.image = Image.new("RGB", (self.width, self.height), PAPER)
        self.ink = ImageDraw.Draw(self.image, "RGBA")

    def floor(self) -> None:
        """A tint with dots in round distances, seven or so to the width of the view."""
        self.ink.rectangle((0, 0, self.width, self.height - self.bar), FLOOR)
        left, bottom, right, top = self.view
        rough = 0.1 * (right - left)
        power = 10 ** math.floor(math.log10(rough))
        gap = next(k * power for k in (1, 2, 5, 10) if k * power >= rough)
        for i in range(math.ceil(left / gap), math.floor(right / gap) + 1):
            for j in range(math.ceil(bottom / gap), math.floor(top / gap) + 1):
                self.ink.ellipse(self.box(i * gap, j * gap, 1.2 * FINE), DOT)

    def trails(self, pictures: Sequence[Picture]) -> None:
        """Where each agent came from, paler the longer ago; not where it leapt."""
        for last in pictures[-1].shapes:
            if not isinstance(last, Circle) or last.label not in self.names:
                continue
            same = [s for p in pictures for s in p.shapes if isinstance(s, Circle)]
            path = [self.at(s.x, s.y) for s in same if s.label == last.label]
            width = round(max(2 * FINE, min(5 * FINE, 0.3 * last.radius * self.scale)))
            for k, (start, end) in enumerate(pairwise(path), 1):
                if math.dist(start, end) <= 0.5 * self.width:
                    faded = last._replace(opacity=0.45 * k / len(path))
                    self.ink.line((*start, *end), fill=_rgba(faded), width=width)

    def at(self, x: Real, y: Real) -> Point:
        return self.scale * (x - self.left), self.scale * (self.top - y)

    def draw(self, shape: Shape) -> None:
        match shape:
            case Circle():
                self.disc(shape)
            case Ring():
                box = self.box(shape.x, shape.y, shape.radius * self.scale + self.stroke(shape) / 2)
                self.ink.ellipse(box, outline=_rgba(shape), width=self.stroke(shape))
            case Line():
                self.line(shape)
            case Rectangle():
                self.rectangle(shape)
            case Polygon():
                self.ink.polygon([self.at(*point) for point in shape.points], fill=_rgba(shape))
            case Text():
                self.word(
                    self.at(shape.x, shape.y), shape.text, shape.color, shape.size * self.scale
                )
            case Bitmap():
                self.bitmap(shape)

    def rectangle(self, shape: Rectangle) -> None:
        left, top = self.at(shape.x, shape.y + shape.height)
        right, bottom = self.at(shape.x + shape.width, shape.y)
        box = (left, top, max(left, right - 1), max(top, bottom - 1))  # both ends are drawn
        self.ink.rounded_rectangle(box, shape.corner * self.scale, _rgba(shape))

    def bitmap(self, shape: Bitmap) -> None:
        pixels = base64.b64decode(shape.source.partition(",")[2])
        size = (round(shape.width * self.scale), round(shape.height * self.scale))
        with Image.open(io.BytesIO(pixels)) as image:
            corner = self.at(shape.x, shape.y + shape.height)
            self.image.paste(
                image.convert("RGB").resize(size), (round(corner[0]), round(corner[1]))
            )

    def disc(self, shape: Circle) -> None:
        radius = shape.radius * self.scale
        self.ink.ellipse(self.box(shape.x, shape.y, radius), fill=_rgba(shape))
        label = self.names.get(shape.label, shape.label)
        if not label:
            return
        x, y = self.at(shape.x, shape.y)
        size = min(15 * FINE, max(9.5 * FINE, 0.85 * radius))
        if _font(size).getlength(label) < 1.7 * radius and size < 1.7 * radius:
            self.word((x, y), label, _contrast(shape.color), size)
        elif radius >= 4 * FINE:  # not from far away
            self.word((x, y + radius + 9 * FINE), label, SOFT, 11.5 * FINE)

    def line(self, shape: Line) -> None:
        """A line with round ends; they are too small to show where it is translucent."""
        start, end = self.at(shape.x1, shape.y1), self.at(shape.x2, shape.y2)
        if start == end:
            return
        self.ink.line((*start, *end), fill=_rgba(shape), width=self.stroke(shape))

    def speech(self, speaker: Circle, text: str) -> None:
        """A bubble above a disc."""
        x, y = self.at(speaker.x, speaker.y)
        tip = y - speaker.radius * self.scale - 3 * FINE
        half = max(11 * FINE, _font(12.5 * FINE).getlength(text) / 2 + 7 * FINE)
        bottom, height, edge = tip - 6 * FINE, 21 * FINE, round(1.5 * FINE)
        box = (x - half, bottom - height, x + half, bottom)
        self.ink.rounded_rectangle(box, 6 * FINE, PAPER, speaker.color, edge)
        side = 5 * FINE
        self.ink.polygon([(x - side, bottom - edge), (x, tip), (x + side, bottom - edge)], PAPER)
        tail = [(x - side, bottom - edge / 2), (x, tip), (x + side, bottom - edge / 2)]
        self.ink.line(tail, speaker.color, edge, joint="curve")
        self.word((x, bottom - height / 2), text, INK, 12.5 * FINE)

    def caption(self, text: str) -> None:
        self.ink.rectangle((0, self.height - self.bar, self.width, self.height), PAPER)
        left, size = 14 * FINE, 13 * FINE
        fit = (self.width - 2 * left) / _font(size).getlength(text)
        font = _font(size * min(1, fit))
        self.ink.text((left, self.height - self.bar / 2), text, SOFT, font, anchor="lm")

    def word(self, at: Point, text: str, color: str, size: Real) -> None:
        self.ink.text(at, text, color, _font(size), anchor="mm")

    def box(self, x: Real, y: Real, radius: Real) -> View:
        """The square around a circle of `radius` pixels."""
        px, py = self.at(x, y)
        return (px - radius, py - radius, px + radius, py + radius)

    def stroke(self, shape: Ring | Line) -> int:
        """The width of a stroke in pixels, from hundredths of the view."""
        return max(FINE, round(shape.width / 100 * self.width))


@functools.lru_cache(maxsize=4)
def _border(width: int, height: int) -> Image.Image:
    """What lies over a picture: paper beyond its rounded corners, and a line around it."""
    over = Image.new("RGBA", (FINE * width, FINE * height), PAPER)
    box = (0, 0, over.width - 1, over.height - 1)
    inside = (*ImageColor.getrgb(LINE), 0)
    ImageDraw.Draw(over).rounded_rectangle(box, 10 * FINE, inside, LINE, FINE)
    return over.reduce(FINE)


def _even(x: Real) -> int:
    return 2 * round(x / 2)


def _font(size: Real) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that Pillow brings along: the same on every machine."""
    return ImageFont.load_default(round(size))


def _rgba(shape: Circle | Ring | Line | Rectangle | Polygon) -> tuple[int, ...]:
    return (*ImageColor.getrgb(shape.color)[:3], round(255 * shape.opacity))


def _contrast(color: str) -> str:
    """Ink or paper, whichever is easier to read on a colour."""
    r, g, b = ImageColor.getrgb(color)[:3]
    return INK if 0.299 * r + 0.587 * g + 0.114 * b > 150 else PAPER
