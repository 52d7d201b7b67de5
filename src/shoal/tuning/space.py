"""What is searched, and how: a range for each field, from what the field's type declares.

    --search clip                   a range around its value
    --search clip=0.1:0.4           from 0.1 to 0.4
    --search activation=tanh,relu   one of these

Numbers without a natural size are searched on a log scale, fractions near 1 (such as a discount) by
their distance from 1, whole numbers that are powers of two by powers of two.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from shoal.core.errors import UserError, require, unknown
from shoal.core.limits import Limits, read_value

Value = bool | int | float | str
Scale = Literal["linear", "log", "near one", "integer", "log integer", "power of two", "choice"]
FACTOR = 10.0  # a number is searched from a tenth of its value to ten times
COUNT_FACTOR = 4  # and a whole number from a quarter to four times
DIGITS = 4  # of a number that is tried, so that it can be read and typed
_LOG_FROM = 10.0  # a given range of this ratio or more is searched on a log scale


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One field that is searched: from `low` to `high`, both included, or one of `choices`."""

    field: str
    scale: Scale
    low: int | float = 0
    high: int | float = 0
    choices: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """What the study calls it: the quantity that is drawn evenly or log-evenly."""
        if self.scale == "near one":
            return f"1 - {self.field}"
        return f"log2 {self.field}" if self.scale == "power of two" else self.field

    def distribution(self) -> Any:
        """Optuna's distribution of that quantity."""
        from optuna import distributions as optuna

        match self.scale:
            case "choice":
                return optuna.CategoricalDistribution(self.choices)
            case "power of two":
                return optuna.IntDistribution(_log2(self.low), _log2(self.high))
            case "integer" | "log integer":
                return optuna.IntDistribution(
                    int(self.low), int(self.high), log=self.scale == "log integer"
                )
            case "near one":
                return optuna.FloatDistribution(_rest(self.high), _rest(self.low), log=True)
        return optuna.FloatDistribution(self.low, self.high, log=self.scale == "log")

    def value(self, drawn: Any) -> Value:
        """The field's value for what was drawn; real numbers to a few digits."""
        match self.scale:
            case "choice" | "integer" | "log integer":
                return drawn
            case "power of two":
                return 2**drawn
            case "near one":
                value = _rest(float(f"{drawn:.{DIGITS}g}"))
            case _:
                value = float(f"{drawn:.{DIGITS}g}")
        return min(max(value, float(self.low)), float(self.high))

    def drawn(self, value: Value) -> Any:
        """What must be drawn for a value of the field; `None` where the range does not have it."""
        if self.scale == "choice":
            return value if value in self.choices else None
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if self.scale == "power of two":
            return _log2(value) if _is_power(value) else None
        return _rest(value) if self.scale == "near one" else value

    def __str__(self) -> str:
        if self.scale == "choice":
            return f"{self.field} {', '.join(map(str, self.choices))}"
        return f"{self.field} {self.low:g} to {self.high:g}"


def _rest(x: float) -> float:
    """`1 - x` without the noise of binary fractions."""
    return float(f"{1 - x:.12g}")


def _is_power(x: int | float) -> bool:
    return x >= 1 and math.log2(x).is_integer()


def _log2(x: int | float) -> int:
    return round(math.log2(x))


# From what a field declares ---------------------------------------------------------------------


def _base(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _limits(kind: Any) -> Limits | None:
    return get_args(kind)[1] if get_origin(kind) is Annotated else None


def is_number(kind: Any) -> bool:
    """Whether a field's type is a number with declared limits: those are searched by default."""
    return _limits(kind) is not None and _base(kind) in (int, float)


def around(field: str, kind: Any, value: Any) -> Dimension | None:
    """The range around a field's value; `None` where the value says nothing of a scale, as 0 does,
    or stands for itself, as an undiscounted 1 does."""
    if get_origin(kind) is Literal:
        return Dimension(field, "choice", choices=get_args(kind))
    if kind is bool:
        return Dimension(field, "choice", choices=(False, True))
    if _base(kind) is int:
        return _whole(field, _limits(kind), value)
    if _base(kind) is float:
        return _real(field, _limits(kind), value)
    return None


def _whole(field: str, limits: Limits | None, value: int) -> Dimension | None:
    if value < 1:
        return None
    lowest, highest = (limits.low, limits.high) if limits else (1, math.inf)
    low = max(-(-value // COUNT_FACTOR), lowest, 1)
    high = min(value * COUNT_FACTOR, highest)
    power = _is_power(value) and _is_power(low) and _is_power(high)
    return Dimension(field, "power of two" if power else "log integer", int(low), int(high))


def _real(field: str, limits: Limits | None, value: float) -> Dimension | None:
    if limits is None:
        width = max(abs(value), 1.0)
        return Dimension(field, "linear", value - width, value + width)
    if not 0 < value < limits.high:
        return None
    if limits.high == 1 and value > 0.5:
        far = min(_rest(value) * FACTOR, 0.5)
        return Dimension(field, "near one", _rest(far), _rest(_rest(value) / FACTOR))
    high = min(_tidy(value * FACTOR), float(limits.high))
    return Dimension(field, "log", _tidy(value / FACTOR), high)


def _tidy(x: float) -> float:
    return float(f"{x:.12g}")


# From what the user gives -----------------------------------------------------------------------


def read_search(words: Iterable[str], kinds: Mapping[str, Any]) -> dict[str, Dimension | None]:
    """What `--search` says: the fields, with a range where one is given.

    Args:
        words: `FIELD`, `FIELD,FIELD`, `FIELD=LOW:HIGH` or `FIELD=a,b,c` each.
        kinds: the type of each field that exists; `None` where it is not a simple one.

    Raises:
        UserError: no such field, one that cannot be searched or is named twice, an empty range, a
            value that the field does not admit.
    """
    out: dict[str, Dimension | None] = {}
    for word in words:
        names, given, text = word.partition("=")
        fields = [name.strip().replace("-", "_") for name in names.split(",")]
        require(
            not given or len(fields) == 1,
            f"--search {word} gives several fields one range: write a --search for each",
        )
        for field in fields:
            if field not in kinds:
                raise unknown("field to search", field, kinds)
            require(field not in out, f"--search names {field} twice")
            require(
                kinds[field] is not None,
                f"{field} cannot be searched: it is neither a number nor a choice",
            )
            out[field] = _read(field, text, kinds[field]) if given else None
    return out


def _read(field: str, text: str, kind: Any) -> Dimension:
    option = f"--search {field}"
    if ":" in text:
        if _base(kind) not in (int, float):
            raise UserError(f"{option} is '{text}', expected values with commas: it has no range")
        low, high = (read_value(option, part, kind) for part in _two(option, text))
        require(low < high, f"{option} is the empty range {text}, expected LOW:HIGH with LOW below")
        return Dimension(field, _scale(kind, low, high), low, high)
    values = tuple(read_value(option, part.strip(), kind) for part in text.split(","))
    require(
        len(values) > 1,
        f"{option} has one value, expected two or more; --algo.{field} {text} sets it",
    )
    require(len(set(values)) == len(values), f"{option} has a value twice: {text}")
    return Dimension(field, "choice", choices=values)


def _two(option: str, text: str) -> list[str]:
    parts = text.split(":")
    require(
        len(parts) == 2 and all(parts), f"{option} is '{text}', expected LOW:HIGH, such as 0.1:0.5"
    )
    return parts


def _scale(kind: Any, low: int | float, high: int | float) -> Scale:
    """A log scale for a range over orders of magnitude, counted from 1 for fractions near it."""
    require(math.isfinite(low) and math.isfinite(high), f"a range has no end: {low}:{high}")
    wide = low > 0 and high >= low * _LOG_FROM
    if _base(kind) is int:
        return "log integer" if wide else "integer"
    limits = _limits(kind)
    if limits is not None and limits.high == 1 and low >= 0.5 and high < 1:
        return "near one"
    return "log" if wide else "linear"


def search_space(
    given: Mapping[str, Dimension | None],
    kinds: Mapping[str, Any],
    values: Mapping[str, Any],
    fixed: Iterable[str] = (),
    leaves: Iterable[str] = (),
) -> tuple[Dimension, ...]:
    """The dimensions of a study.

    Args:
        given: what `read_search` read. Empty: every number among `leaves` that is not `fixed` and
            whose value gives a range.
        kinds: the type of each field.
        values: each field's value, around which ranges lie.

    Raises:
        UserError: a field's value gives no range, or nothing is left to search.
    """
    if not given:
        numbers = [n for n in leaves if is_number(kinds[n]) and n not in set(fixed)]
        found = [around(name, kinds[name], values[name]) for name in numbers]
        space = tuple(d for d in found if d is not None)
        require(bool(space), "there is nothing to search: name fields with --search")
        return space
    out = []
    for field, dimension in given.items():
        dimension = dimension or around(field, kinds[field], values[field])
        if dimension is None:
            raise UserError(
                f"{field} is {values[field]}, which gives no range around it: "
                f"write --search {field}=LOW:HIGH"
            )
        out.append(dimension)
    return tuple(out)
