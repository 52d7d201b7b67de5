"""How a world's images reach a learner: scaled to [0, 1], smaller, grey, several frames together.

Frames are stacked as in Mnih et al., Human-level control (2015); an image shrinks by the mean
over the area that each new pixel covers, so that nothing thin is lost.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.core.errors import UserError, in_a_line, require
from shoal.envs.host.env import Image

LUMA = np.array([0.299, 0.587, 0.114, 0.0], np.float32)  # ITU-R BT.601; alpha weighs nothing
COLOURS = (1, 3, 4)  # channels that come last, whatever the other sides are


@dataclass(frozen=True)
class View:
    """What is done to observations before they are shown."""

    frame_stack: int = 1
    """How many of the last observations are shown together, the newest last."""
    image_size: int = 0
    """Height and width to which images are scaled; 0 leaves them."""
    grayscale: bool = False
    """Whether images of three channels, or of four with alpha, become grey."""

    def __post_init__(self) -> None:
        require(self.frame_stack >= 1, f"frame_stack is {self.frame_stack}, expected at least 1")
        require(self.image_size >= 0, f"image_size is {self.image_size}, expected 0 or more")

    def shape(self, raw: tuple[int, ...]) -> Image:
        """Height, width and channels of one observation whose array has the shape `raw`."""
        if len(raw) == 4:
            height, width, channels = self.shape(raw[1:])
            return height, width, raw[0] * channels
        height, width, channels = _last(raw)
        side = self.image_size
        gray = self.grayscale and _coloured(raw)
        return side or height, side or width, 1 if gray else channels

    def image(self, raw: np.ndarray) -> np.ndarray:
        """Bytes `[H, W, C]`, `[C, H, W]`, `[H, W]` or several frames `[K, H, W, C]` as float32
        `[H', W', C']`, where frames are channels."""
        raw = np.asarray(raw)
        if raw.ndim == 4:
            return np.concatenate([self.image(frame) for frame in raw], -1)
        gray = self.grayscale and _coloured(raw.shape)
        if raw.ndim == 2:
            raw = raw[:, :, None]
        elif _channels(raw.shape) == 0:
            raw = np.moveaxis(raw, 0, -1)
        image = raw.astype(np.float32) / np.float32(255)
        if gray:
            image = (image @ LUMA[: image.shape[2]])[:, :, None]
        return shrink(image, self.image_size) if self.image_size else image


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether an array of bytes of that shape is an image: `[H, W]`, `[H, W, C]` or `[C, H, W]`, or
    several, `[K, H, W, C]`."""
    if len(shape) == 4:
        return _channels(shape[1:]) == 2
    return len(shape) == 2 or (len(shape) == 3 and _channels(shape) is not None)


def _channels(shape: tuple[int, ...]) -> int | None:
    """The axis of an image's channels: the last where it may be colours, else the first or last if
    it is smaller than both others."""
    if shape[2] in COLOURS or shape[2] < min(shape[:2]):
        return 2
    return 0 if shape[0] < min(shape[1:]) else None


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """An image `[H, W, C]` as `[size, size, C]`: each pixel is the mean over the area it covers."""
    height, width, channels = image.shape
    low = (_areas(height, size) @ image.reshape(height, -1)).reshape(size, width, channels)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(low, 2, 0)) @ _areas(width, size).T, 0, 2)


def picture(render: Callable[[], Any], name: str) -> np.ndarray:
    """What a world draws, as bytes `[H, W, 3]`.

    Raises:
        UserError: it draws nothing, or cannot.
    """
    try:
        drawn = render()
    except Exception as error:  # a world of others may raise anything
        raise UserError(f"{name} cannot be drawn: {in_a_line(error)}") from error
    if isinstance(drawn, list) and drawn:  # all frames since the last time
        drawn = drawn[-1]
    if not isinstance(drawn, np.ndarray) or drawn.ndim not in (2, 3):
        what = "nothing" if drawn is None else f"a {type(drawn).__name__}"
        problem = "expected an image: make it with render_mode='rgb_array'"
        raise UserError(f"{name} draws {what}, {problem}")
    image = drawn if drawn.ndim == 3 else drawn[:, :, None]
    if image.shape[2] < 3:
        image = np.repeat(image[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3], np.uint8)


def _last(raw: tuple[int, ...]) -> Image:
    if len(raw) == 2:
        return raw[0], raw[1], 1
    return raw if _channels(raw) == 2 else (raw[1], raw[2], raw[0])  # pyright: ignore


def _coloured(raw: tuple[int, ...]) -> bool:
    """Whether channels are colours. Four that come first are frames, which someone has stacked."""
    if len(raw) == 2:
        return False
    return raw[2] in (3, 4) or (_channels(raw) == 0 and raw[0] == 3)


@functools.lru_cache(maxsize=32)
def _areas(length: int, size: int) -> np.ndarray:
    """Float `[size, length]`: which share of a new pixel each old one is."""
    edges = np.arange(size + 1)[:, None] * (length / size)
    old = np.arange(length)
    overlap = np.minimum(edges[1:], old + 1) - np.maximum(edges[:-1], old)
    return (np.maximum(overlap, 0) * (size / length)).astype(np.float32)
