"""The fields of algorithms and environments as plain data, and back.

A field that holds an object of its own fields, such as the algorithm within a wrapper, becomes

    {"type": "module:Class", "fields": {...}}

and tuples become lists, at any depth. Reading a file must not run what it names: a class is looked
up in Shoal, in the module of the algorithm or environment itself, or in what is imported already.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from shoal.core import addresses
from shoal.core.errors import UserError, in_a_line, require, unknown
from shoal.runs.durable import Json
from shoal.runs.types import check_values


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
