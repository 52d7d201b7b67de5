"""Whether values are of their declared types, for what is read from files. Without JAX, so that a
mistake is found at once."""

import dataclasses
import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from shoal.core.errors import require
from shoal.runs.durable import Json

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_BEYOND_FLOATS = 2**1023
_WORDS_OF = {dict: "an object", list: "a list"}


def check_values(kind: type, values: Json, place: str) -> None:
    """Raises `UserError` for the first of a class's fields that is not of its type, as far as that
    is plain. Of a `TypedDict` all that is required must be there, and there may be more."""
    try:
        hints = get_type_hints(kind, include_extras=not is_typeddict(kind))
    except NameError:  # a type that only a type checker imports
        return
    if is_typeddict(kind):
        missing = sorted(kind.__required_keys__ - values.keys())
        require(not missing, f"{place} lacks {', '.join(missing)}")
        values = {name: values[name] for name in hints if name in values}
    for name, value in values.items():
        good = _is_of(value, hints[name])
        require(good, f"{place}.{name} is {_short(value)}, expected {_say(hints[name])}")


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; types that are not plain admit all."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _is_of(value, inner[0])
    if origin in (Union, types.UnionType):
        return any(_is_of(value, option) for option in inner)
    if origin is tuple and isinstance(value, tuple):
        each = inner[:1] * len(value) if inner[-1:] == (...,) else inner
        return len(each) == len(value) and all(_is_of(x, k) for x, k in zip(value, each))
    if is_typeddict(kind):
        hints = get_type_hints(kind)
        known = isinstance(value, dict) and kind.__required_keys__ <= value.keys()
        return known and all(_is_of(value[n], k) for n, k in hints.items() if n in value)
    if origin is list:
        return isinstance(value, list) and all(_is_of(x, inner[0]) for x in value)
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else ()
        typed = all(_is_of(k, inner[0]) and _is_of(v, inner[1]) for k, v in pairs)
        return isinstance(value, dict) and typed
    if origin is tuple or kind is type(None):
        return value is None and origin is not tuple
    if kind in (int, float) and hasattr(value, "dtype"):
        return True  # an array of a sweep: checked as a number
    if kind is int:
        return type(value) is int
    if kind is float:
        return type(value) is float or (type(value) is int and abs(value) < _BEYOND_FLOATS)
    if kind in (bool, str):
        return type(value) is kind
    plain = isinstance(kind, type) and origin is None and dataclasses.is_dataclass(kind)
    return isinstance(value, kind) if plain else True


def _say(kind: Any) -> str:
    inner = get_args(kind)
    if get_origin(kind) is Annotated:
        return _say(inner[0])
    if kind in _WORDS:
        return _WORDS[kind]
    if get_origin(kind) in _WORDS_OF:
        return _WORDS_OF[get_origin(kind)]
    return kind.__name__ if isinstance(kind, type) and not inner else str(kind)


def _short(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return f"a {type(value).__name__}"
    return repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
