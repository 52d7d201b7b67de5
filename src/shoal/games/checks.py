"""What is asked of lists and tables of numbers before anything is computed from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from shoal.core.errors import UserError, require

LARGEST = 20_000_000
"""How many payoffs a generated game may have: 160 MB in float64."""
SHAPES = {1: "a list of numbers", 2: "a matrix of numbers"}


def finite(what: str, values: Any, *axes: int) -> Float[np.ndarray, "..."]:
    """Finite numbers as float64: a list where `axes` is 1, a matrix where 2, either where both.

    Raises:
        UserError: it is not; `what` names it.
    """
    expected = " or ".join(SHAPES[count] for count in axes)
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} are ragged or not numbers, expected {expected}") from error
    require(
        array.ndim in axes and array.size > 0,
        f"{what} have shape {list(array.shape)}, expected {expected}",
    )
    bad = np.argwhere(~np.isfinite(array)).tolist()
    require(not bad, f"{what} are not all finite numbers, such as that at {(bad or [[]])[0]}")
    return array


def nonnegative(what: str, values: Any) -> Float[np.ndarray, "K"]:
    """A list of finite numbers, none below 0.

    Raises:
        UserError: it is not.
    """
    array = finite(what, values, 1)
    require(bool((array >= 0).all()), f"{what} are {array.tolist()}, expected none below 0")
    return array


def game_sizes(num_actions: Sequence[int]) -> tuple[int, ...]:
    """The numbers of actions of a game that is to be made.

    Raises:
        UserError: the game would not fit in memory, or a player has no action.
    """
    sizes = tuple(int(n) for n in num_actions)
    require(
        len(sizes) >= 1 and min(sizes) >= 1, f"num_actions are {list(sizes)}, expected 1 or more"
    )
    count = len(sizes) * float(np.prod([float(n) for n in sizes]))
    require(count <= LARGEST, f"the game would have {count:.3g} payoffs, the limit is {LARGEST}")
    return sizes
