"""Numbers as they were written, beside the floats nearest to them.

Floats are what is computed with; but 1/3, 0.1234567 and 2^53 + 1 are no floats, and whether two
payoffs tie may hang on that. A float alone becomes the simplest number that it is nearest to.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from shoal.core.errors import UserError

WHOLE = 2**53
"""Below this, floats hold every whole number."""


@dataclass(frozen=True, eq=False)
class Written:
    """A note of the numbers that floats were made of. It is no part of what a game is: any two
    notes are equal, so that games of one shape stack, and no program is compiled anew; and it is
    believed only where the floats are still those that it was made for."""

    numbers: np.ndarray | None = None
    """The numbers as `Fraction`s; None where the floats tell them."""
    floats: np.ndarray | None = None
    """The floats nearest to them."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Written)

    def __hash__(self) -> int:
        return 0

    def of(self, floats: Any) -> np.ndarray:
        """What was written where these floats are now, as `Fraction`s."""
        floats = np.asarray(floats)
        if self.numbers is not None and np.array_equal(floats, np.asarray(self.floats)):
            return self.numbers
        return rational(floats)


def noted(numbers: np.ndarray) -> tuple[Float[np.ndarray, "..."], Written]:
    """What `exact_array` gives, as floats and a note."""
    if numbers.dtype.kind != "O":
        return numbers, Written()
    floats = numbers.astype(np.float64)
    return floats, Written(numbers, floats)


def exact_array(values: Any, what: str = "payoff") -> Shaped[np.ndarray, "..."]:
    """A full array of finite numbers: of float64 where floats tell them, else of `Fraction`s. There
    is no -0.

    Raises:
        UserError: it is ragged, or one is not a number, not finite or beyond floats.
    """
    try:
        array = np.asarray(values)
        floats = array.astype(np.float64) + 0.0
    except (TypeError, ValueError) as error:
        listed = isinstance(values, list | tuple | np.ndarray)
        them = "ragged" if listed else f"of type {type(values).__name__}"
        raise UserError(
            f"{what}s are {them} or not numbers: expected a full array of numbers"
        ) from error
    except OverflowError:
        raise UserError(f"a {what} is beyond 1e308, the largest that floats hold") from None
    bad = np.argwhere(~np.isfinite(floats)).tolist()
    if bad:
        where = bad[0] if floats.ndim != 1 else bad[0][0]
        raise UserError(f"{what} {where} is {floats[tuple(bad[0])]}, expected a finite number")
    large = array.dtype.kind != "f" or not isinstance(values, np.ndarray)
    if array.dtype.kind != "O" and not (large and (np.abs(floats) >= WHOLE).any()):
        return floats
    numbers = rational(np.asarray(values, object))
    plain = all(x.denominator == 1 and abs(x) < WHOLE for x in numbers.flat)
    return floats if plain else numbers


def rational(values: Any, largest_denominator: int = 10**6) -> np.ndarray:
    """`Fraction`s equal to the numbers given. A float becomes the simple fraction that it is
    nearest to, such as 1/3, if there is one of a small denominator; else the shortest decimal
    that it prints as."""
    values = np.asarray(values)
    out = np.empty(values.shape, object)
    if values.dtype.kind != "f":
        out[...] = np.frompyfunc(_exactly, 1, 1)(values)
        return out
    distinct, index = np.unique(values, return_inverse=True)
    numbers = np.empty(len(distinct), object)
    numbers[:] = [_simplest(value, largest_denominator) for value in distinct]
    out[...] = numbers[index.reshape(values.shape)]
    return out


def _exactly(value: Any) -> Fraction:
    if isinstance(value, Rational):  # of NumPy's integers, too, which overflow
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, Decimal):
        return Fraction(value)
    return _simplest(np.float64(value), 10**6)


def _simplest(value: np.floating, largest_denominator: int) -> Fraction:
    if value.itemsize < 8:  # of seven digits, fractions of six would be everywhere
        largest_denominator = min(largest_denominator, 100)
    simple = Fraction(float(value)).limit_denominator(largest_denominator)
    told = abs(value) < WHOLE and type(value)(float(simple)) == value
    return simple if told else Fraction(str(value))
