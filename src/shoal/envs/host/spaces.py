"""Gymnasium's spaces: which numbers and images an observation has, and how they are written down.

Discrete and MultiDiscrete are one-hot; Dict and Tuple are taken apart in their own order. Towers et
al., Gymnasium (2024), arXiv:2407.17032.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from shoal.core.errors import UserError
from shoal.envs.host.views import is_image

MASK = "action_mask"
SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple"

NO_IMAGE = "no image"
Write = Callable[[Any, np.ndarray], None]


class Part(NamedTuple):
    """A part of an observation: an image, or numbers in a row."""

    path: tuple[Any, ...]  # keys that lead to it
    image: tuple[int, ...]  # the shape of its array; () for numbers
    size: int  # how many numbers; 0 for an image
    write: Write | None  # puts a value into as many numbers

    def of(self, observation: Any) -> Any:
        """The part's own value within an observation."""
        for key in self.path:
            observation = observation[key]
        return observation


def parts(space: Any, whose: str, path: tuple[Any, ...] = ()) -> Iterator[Part]:
    """The parts of a space's observations, in its own order.

    Raises:
        UserError: a space within is none of those that are supported.
    """
    from gymnasium import spaces

    match space:
        case spaces.Dict():
            for key, inner in space.spaces.items():
                yield from parts(inner, whose, (*path, key))
        case spaces.Tuple():
            for i, inner in enumerate(space.spaces):
                yield from parts(inner, whose, (*path, i))
        case spaces.Box() if _shows(space):
            yield Part(path, space.shape, 0, None)
        case spaces.Box() | spaces.MultiBinary():
            size = int(np.prod(space.shape))
            yield Part(path, (), size, _numbers(size))
        case spaces.Discrete():
            yield Part(path, (), int(space.n), _one_hot(int(space.start), int(space.n)))
        case spaces.MultiDiscrete():
            yield Part(path, (), int(space.nvec.sum()), _several_hot(space.start, space.nvec))
        case _:
            where = f" at {list(path)}" if path else ""
            raise UserError(
                f"the observation of {whose} is {type(space).__name__}{where}, which is not "
                f"supported: expected {SUPPORTED}"
            )


def split_mask(space: Any) -> tuple[Any, bool]:
    """The space without its mask of legal actions, and whether it had one.

    PettingZoo's worlds show `{"observation": ..., "action_mask": ...}`.
    """
    from gymnasium import spaces

    if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
        return space, False
    rest = {key: inner for key, inner in space.spaces.items() if key != MASK}
    return spaces.Dict(rest), True


def _shows(space: Any) -> bool:
    """Whether a Box holds images: bytes from 0 to 255 with a height and a width."""
    return _is_bytes(space) and is_image(space.shape)


def _is_bytes(space: Any) -> bool:
    whole = space.dtype == np.uint8 and space.low.size > 0
    return bool(whole and space.low.min() == 0 and space.high.max() == 255)


def say_what_is_no_image(space: Any, whose: str) -> None:
    """Warns of bytes in several dimensions that look like pixels, and are shown as numbers."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        for part in inner:
            say_what_is_no_image(part, whose)
        return
    pixels = isinstance(space, spaces.Box) and len(space.shape) > 1 and _is_bytes(space)
    if pixels and not is_image(space.shape):
        warnings.warn(
            f"{NO_IMAGE} for {whose}: bytes of shape {list(space.shape)}, expected [H, W], "
            "[H, W, C], [C, H, W] or [K, H, W, C]; shown as numbers from 0 to 255, which "
            "--normalise-observations True scales",
            RuntimeWarning,
            stacklevel=2,
        )


def _numbers(size: int) -> Write:
    def write(value: Any, out: np.ndarray) -> None:
        flat = np.asarray(value).reshape(-1)
        if flat.size != size:
            raise ValueError(f"a part of the observation has {flat.size} numbers, expected {size}")
        out[:] = flat

    return write


def _one_hot(start: int, size: int) -> Write:
    def write(value: Any, out: np.ndarray) -> None:
        index = int(value) - start
        if not 0 <= index < size:
            last = start + size - 1
            raise ValueError(f"a part of the observation is {value}, expected {start} to {last}")
        out[:] = 0
        out[index] = 1

    return write


def _several_hot(start: np.ndarray, sizes: np.ndarray) -> Write:
    start, sizes = start.reshape(-1), sizes.reshape(-1)
    offsets = np.cumsum(sizes) - sizes

    def write(value: Any, out: np.ndarray) -> None:
        index = np.asarray(value).reshape(-1) - start
        if (index < 0).any() or (index >= sizes).any():
            raise ValueError(
                f"a part of the observation is {value}, expected {start} to {start + sizes - 1}"
            )
        out[:] = 0
        out[index + offsets] = 1

    return write
