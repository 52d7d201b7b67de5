"""What the numbers that policies choose mean to a world's agents.

Discrete spaces of several dimensions become one whole number, the last dimension fastest; boxes
keep their bounds.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shoal.core.errors import UserError, require
from shoal.envs.host.env import Bounds
from shoal.envs.host.spaces import MASK

MOST_COMBINATIONS = 4_096
UNBOUNDED = 1e30  # some worlds write the largest float where they mean infinity
SUPPORTED = "Discrete, MultiDiscrete, MultiBinary or Box"

Act = Callable[[Any], Any]


class Actions:
    """The actions of all agents: all discrete, or all in a box.

    Raises:
        UserError: spaces are mixed, too large, without bounds, or of another kind.
    """

    def __init__(self, agents: Sequence[str], spaces: Sequence[Any]):
        from gymnasium.spaces import Box

        boxes = [isinstance(space, Box) for space in spaces]
        self.discrete = not any(boxes)
        self.low: Bounds = 0.0
        self.high: Bounds = 0.0
        if not (self.discrete or all(boxes)):
            other = agents[boxes.index(False)]
            raise UserError(
                f"the actions of {agents[boxes.index(True)]} are a Box, and those of {other} are "
                "not: expected all discrete, or all in a Box"
            )
        if self.discrete:
            self.digits = [_digits(agent, space) for agent, space in zip(agents, spaces)]
            self.sizes = tuple(_count(agent, *pair) for agent, *pair in zip(agents, self.digits))
            self._acts = [_choose(space, digits) for space, digits in zip(spaces, self.digits)]
        else:
            self.sizes = tuple(int(np.prod(space.shape)) for space in spaces)
            self._bound(agents, spaces)

    def __call__(self, i: int, action: Any) -> Any:
        """What agent `i` does in its world's own terms: of a number, or float `[A]`."""
        return self._acts[i](action)

    def legal(self, i: int, mask: Any) -> np.ndarray:
        """A world's mask of legal actions as bool `[sizes[i]]`. Of several dimensions it may have a
        row each, as a list or tuple, or one behind the other; or an entry for each combination."""
        digits, size = self.digits[i].tolist(), self.sizes[i]
        rows = _rows(mask, digits)
        if rows is None:
            flat = np.asarray(mask, bool).reshape(-1)
            if flat.size != size:
                raise UserError(f"{MASK} has {flat.size} entries, expected {_form(digits)}")
            return flat
        legal = rows[0]
        for row in rows[1:]:
            legal = np.logical_and.outer(legal, row)
        return legal.reshape(-1)

    def _bound(self, agents: Sequence[str], spaces: Sequence[Any]) -> None:
        for agent, space in zip(agents, spaces):
            _require_bounds(agent, space)
        self.low = _shared([space.low for space in spaces])
        self.high = _shared([space.high for space in spaces])
        self._acts = [_within(space) for space in spaces]


def _rows(mask: Any, digits: list[int]) -> list[np.ndarray] | None:
    """A mask's rows, one for each of several dimensions; `None` where it has none."""
    if len(digits) == 1:
        return None
    if isinstance(mask, list | tuple) and not np.isscalar(mask[0] if mask else 0):
        rows = [np.asarray(row, bool).reshape(-1) for row in mask]
        return rows if [row.size for row in rows] == digits else None
    flat = np.asarray(mask, bool)
    if flat.ndim != 1 or flat.size != sum(digits):
        return None
    if flat.size == math.prod(digits):
        raise UserError(
            f"{MASK} has {flat.size} entries, which may be one for each of {sum(digits)} values or "
            f"of {math.prod(digits)} combinations: expected a tuple of {len(digits)} arrays"
        )
    return np.split(flat, np.cumsum(digits)[:-1])


def _form(digits: list[int]) -> str:
    """What a mask should be."""
    if len(digits) == 1:
        return f"{digits[0]}"
    sizes = ", ".join(map(str, digits))
    return f"a tuple of {len(digits)} arrays of {sizes} entries, or {math.prod(digits)} entries"


def _digits(agent: str, space: Any) -> np.ndarray:
    """How many values each dimension of a discrete space has."""
    from gymnasium import spaces

    match space:
        case spaces.Discrete():
            return np.array([space.n])
        case spaces.MultiDiscrete():
            return space.nvec.reshape(-1)
        case spaces.MultiBinary():
            return np.full(int(np.prod(space.shape)), 2)
    raise UserError(
        f"the actions of {agent} are {type(space).__name__}, which is not supported: expected "
        f"{SUPPORTED}"
    )


def _count(agent: str, digits: np.ndarray) -> int:
    count = math.prod(int(digit) for digit in digits)
    few = count <= MOST_COMBINATIONS or len(digits) == 1
    require(
        few,
        f"the actions of {agent} have {count:,} combinations in {len(digits)} dimensions, "
        f"expected {MOST_COMBINATIONS:,} at most",
    )
    return count


def _choose(space: Any, digits: np.ndarray) -> Act:
    """A whole number from 0 on as an element of a discrete space."""
    from gymnasium import spaces

    kind = space.dtype.type
    start = getattr(space, "start", 0)
    if isinstance(space, spaces.Discrete):
        first = int(start)
        return lambda action: kind(first + int(action))
    table = np.stack(np.unravel_index(np.arange(math.prod(digits.tolist())), digits), axis=-1)
    table = (table.reshape(-1, *space.shape) + start).astype(kind)
    return lambda action: table[int(action)].copy()


def _within(space: Any) -> Act:
    """Numbers in the box's own bounds."""
    low, high, size = space.low.reshape(-1), space.high.reshape(-1), int(np.prod(space.shape))
    shape, cast = space.shape, _cast(space.dtype)
    return lambda action: cast(np.clip(action[:size], low, high)).reshape(shape)


def _cast(dtype: np.dtype) -> Callable[[np.ndarray], np.ndarray]:
    """Numbers as the box holds them: cutting off decimals would favour zero."""
    if dtype.kind == "f":
        return lambda values: values.astype(dtype)
    return lambda values: np.rint(values).astype(dtype)


def _shared(ends: Sequence[np.ndarray]) -> Bounds:
    """The one bound of all dimensions, or else a row for each agent."""
    rows = tuple(tuple(map(float, end.reshape(-1))) for end in ends)
    found = {bound for row in rows for bound in row}
    return found.pop() if len(found) == 1 else rows


def _require_bounds(agent: str, space: Any) -> None:
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    loose = ~((np.abs(low) < UNBOUNDED) & (np.abs(high) < UNBOUNDED))
    if loose.any():
        first = int(loose.argmax())
        raise UserError(
            f"the actions of {agent} have no bounds in {loose.sum()} of {low.size} dimensions "
            f"(number {first}: {low[first]} to {high[first]}), expected finite ones"
        )
    empty = ~(low.astype(np.float32) < high.astype(np.float32))
    first = int(empty.argmax())
    require(
        not empty.any(),
        f"the actions of {agent} go from {low[first]} to {high[first]} in dimension {first}, "
        "expected the lower bound first",
    )
