"""What a world may draw from besides its own generator, seeded before each episode.

Seeds alone make an episode, also of worlds that call `random` or `numpy.random`, or that sample
from their spaces.
"""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

_MOST = 2**32 - 1  # the largest seed that numpy.random takes
_GOLDEN = 0x9E3779B97F4A7C15F39CC0605CEDC835  # spreads numbers that are near each other


class Draws:
    """The generators of this process and of a world's spaces, those within others included."""

    def __init__(self, spaces: Iterable[Any]):
        self._spaces = _all_within(spaces)

    def seed(self, seed: int) -> None:
        """All that is drawn from here on follows from the seed."""
        random.seed(seed)
        np.random.seed(seed & _MOST)
        for i, space in enumerate(self._spaces):
            generator = space.np_random.bit_generator
            if isinstance(generator, np.random.PCG64):
                generator.state = _state(seed + (i << 64))  # a twentieth of the time of space.seed
            else:
                space.seed(seed)


def _state(number: int) -> Any:
    """A state of PCG64 that a number decides."""
    state = {"state": (number + 1) * _GOLDEN % 2**128, "inc": 1}
    return {"bit_generator": "PCG64", "state": state, "has_uint32": 0, "uinteger": 0}


def _all_within(spaces: Iterable[Any]) -> list[Any]:
    """These spaces and those that they are made of, each once, outer ones first."""
    from gymnasium import Space

    found: dict[int, Any] = {}
    waiting = list(spaces)
    while waiting:
        thing = waiting.pop(0)
        if isinstance(thing, Space) and id(thing) not in found:
            found[id(thing)] = thing
            waiting += vars(thing).values()
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, list | tuple):
            waiting += thing
    return list(found.values())
