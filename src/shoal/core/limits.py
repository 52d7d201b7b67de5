"""What a field may hold, said where it is declared: `discount: Fraction = 0.99`.

Classes whose fields bear these types call `check_fields` when they are built.
"""

import dataclasses
import math
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from shoal.core.errors import UserError, unknown

MOST = 2**53  # of what is counted: up to here a float is exact


@dataclasses.dataclass(frozen=True)
class Limits:
    """From `low` to `high`, both included unless `above` excludes `low`."""

    text: str
    low: int | float
    high: int | float = math.inf
    above: bool = False

    def admit(self, value: int | float) -> bool:
        enough = self.low < value if self.above else self.low <= value
        return enough and value <= self.high and (isinstance(value, int) or math.isfinite(value))

    def wanted(self, value: int | float) -> str:
        """What a value that is not admitted should be."""
        return f"at most {MOST}" if value > self.high == MOST else self.text


Count = Annotated[int, Limits("at least 1", 1, MOST)]
Several = Annotated[int, Limits("at least 2", 2, MOST)]
Natural = Annotated[int, Limits("0 or more", 0, MOST)]
Positive = Annotated[float, Limits("a positive number", 0, above=True)]
NonPositive = Annotated[float, Limits("0 or less", -math.inf, 0)]
NonNegative = Annotated[float, Limits("0 or more", 0)]
Seed = Annotated[int, Limits("0 to 2^32 - 1", 0, 2**32 - 1)]
Fraction = Annotated[float, Limits("a number in [0, 1]", 0, 1)]
PositiveFraction = Annotated[float, Limits("a number in (0, 1]", 0, 1, above=True)]


def check_fields(thing: Any) -> None:
    """Raises `UserError` for the first field of a dataclass that is not what its type admits.

    Arrays pass: a swept hyper-parameter has been checked as a number.
    """
    try:
        hints = get_type_hints(type(thing), include_extras=True)
    except NameError:  # a type that only a type checker imports
        return
    for field in dataclasses.fields(thing):
        check_value(field.name, getattr(thing, field.name), hints[field.name])


def check_value(name: str, value: Any, kind: Any) -> None:
    """Raises `UserError` where `value` is a plain number or name and not what `kind` admits."""
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise unknown(name, str(value), get_args(kind))
    if get_origin(kind) is Annotated and isinstance(value, int | float):
        _, limits = get_args(kind)
        if not limits.admit(value):
            raise UserError(f"{name} is {_short(value)}, expected {limits.wanted(value)}")


def _short(value: int | float) -> str:
    """A number of any length in a few characters."""
    if isinstance(value, int) and abs(value) > 10**15:
        return f"about 10^{int(math.log10(abs(value)))}"
    return str(value)


_READ = {int: int, float: float, bool: {"True": True, "False": False}.__getitem__}
_EXPECTED = {int: "a whole number", float: "a number", bool: "True or False"}


def read_value(name: str, text: str, kind: Any) -> Any:
    """The value that a word of the command line stands for, checked. Types other than numbers,
    truth values and choices leave it as it is."""
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    try:
        value = _READ.get(base, str)(text)
    except (ValueError, KeyError):
        raise UserError(f"{name} is '{text}', expected {_EXPECTED[base]}") from None
    check_value(name, value, kind)
    return value
