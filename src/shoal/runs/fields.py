"""The fields of algorithms and environments as plain data, and back.

A field that holds an object of its own fields, such as the algorithm within a wrapper, becomes

    {"type": "module:Class", "fields": {...}}

and tuples become lists, at any depth. Reading a file must not run what it names: a class is looked
up in Shoal, in the module of the algorithm or environment itself, or in what is imported already.
"""

import dataclasses
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import jax
import numpy as np

from shoal.core import addresses
from shoal.core.errors import UserError, in_a_line, require, unknown
from shoal.runs.durable import Json

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_WORDS_OF = {dict: "an object", list: "a list"}


def fields_of(thing: Any) -> Json:
    """The fields of an algorithm or environment as JSON values.

    Raises:
        UserError: a field holds what cannot be kept, such as a function, or an array that nothing
            makes an array again; the line names it.
    """
    name = type(thing).__name__
    return {f.name: _plain(getattr(thing, f.name), f, f"{name}.{f.name}") for f in _saved(thing)}


def _saved(thing: Any) -> list[dataclasses.Field]:
    return [f for f in dataclasses.fields(thing) if f.metadata.get("saved", True)]


def _plain(value: Any, field: dataclasses.Field, place: str) -> Any:
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, tuple | list):
        return [_plain(x, field, place) for x in value]
    array = isinstance(value, jax.Array | np.ndarray | np.generic)
    if array and (value.ndim == 0 or "converter" in field.metadata):
        return value.tolist()
    if array:
        raise UserError(f"{place} is an array: give it eqx.field(converter=jnp.asarray) to be kept")
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        raise UserError(f"{place} is a {type(value).__name__}: cannot be kept in a config")
    return {"type": addresses.address_of(type(value)), "fields": fields_of(value)}


def from_fields(values: Json, *, place: str = "fields", home: str = "") -> Json:
    """The inverse of `fields_of`: lists become tuples and data become objects again.

    Args:
        place: what errors call the values, such as `config.json: algorithm_fields`.
        home: the module, or the file, of the algorithm or environment whose fields they are.

    Raises:
        UserError: a class is not known here or has no fields, a field is not one of it, or a value
            will not do; the line names the place.
    """
    return {name: _object(value, f"{place}.{name}", home) for name, value in values.items()}


def _object(value: Any, place: str, home: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_object(x, f"{place}.{i}", home) for i, x in enumerate(value))
    if not isinstance(value, dict):
        return value
    good = value.keys() == {"type", "fields"} and isinstance(value["fields"], dict)
    require(good and isinstance(value["type"], str), f"{place}: expected a type and its fields")
    kind = _class(value["type"], place, home)
    valid = [f.name for f in _saved(kind)]
    for name in value["fields"]:
        if name not in valid:
            raise UserError(f"{place}: {unknown(f'field of {kind.__name__}', name, valid)}")
    fields = from_fields(value["fields"], place=place, home=home)
    converted = {f.name for f in _saved(kind) if "converter" in f.metadata}
    check_values(kind, {n: x for n, x in fields.items() if n not in converted}, place)
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: {in_a_line(error, named=False, whole=True)}") from error


def _class(address: str, place: str, home: str) -> type:
    module, _, _ = address.rpartition(":")
    trusted = module.split(".")[0] == "shoal" or module == home or addresses.imported(module)
    require(
        bool(module) and bool(trusted),
        f"{place}: {address} is of a module that is neither Shoal's nor imported: import it first",
    )
    try:
        kind = addresses.find(address)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    good = isinstance(kind, type) and dataclasses.is_dataclass(kind)
    require(good, f"{place}: {address} is no class with fields")
    return kind


def check_types(thing: Any, place: str) -> None:
    """Raises `UserError` for the first field that is not of its type, as far as that is plain."""
    check_values(type(thing), {f.name: getattr(thing, f.name) for f in _saved(thing)}, place)


def check_values(kind: type, values: Json, place: str) -> None:
    """Raises `UserError` for the first of a class's fields that is not of its type, as far as that
    is plain."""
    try:
        hints = get_type_hints(kind, include_extras=True)
    except NameError:  # a type that only a type checker imports
        return
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
    if origin is list:
        return isinstance(value, list) and all(_is_of(x, inner[0]) for x in value)
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else ()
        typed = all(_is_of(k, inner[0]) and _is_of(v, inner[1]) for k, v in pairs)
        return isinstance(value, dict) and typed
    if origin is tuple or kind is type(None):
        return value is None and origin is not tuple
    if kind in (int, float) and isinstance(value, jax.Array | np.ndarray):
        return True  # of a sweep: checked as a number
    if kind in (int, float):
        return type(value) is int or (kind is float and type(value) is float)
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


# Fields by their path, such as `inner.learning_rate` or `parts.0.clip` ------------------------


def replace_at(thing: Any, path: str, value: Any) -> Any:
    """The same algorithm with another value in the field of that path."""
    name, _, rest = path.partition(".")
    if isinstance(thing, tuple):
        i = int(name)
        return (*thing[:i], replace_at(thing[i], rest, value), *thing[i + 1 :])
    new = replace_at(getattr(thing, name), rest, value) if rest else value
    return dataclasses.replace(thing, **{name: new})


def paths(thing: Any, prefix: str = "", shapes: bool = False) -> Iterator[tuple[str, bool]]:
    """The path of every field, and whether it shapes the program."""
    for f in dataclasses.fields(thing):
        value = getattr(thing, f.name)
        static = shapes or bool(f.metadata.get("static"))
        parts = {f"{f.name}.{i}": x for i, x in enumerate(value)} if _parts(value) else {}
        parts = parts or {f.name: value}
        for name, part in parts.items():
            if dataclasses.is_dataclass(part):
                yield from paths(part, f"{prefix}{name}.", static)
            else:
                yield prefix + name, static


def _parts(value: Any) -> bool:
    return isinstance(value, tuple) and any(dataclasses.is_dataclass(x) for x in value)
