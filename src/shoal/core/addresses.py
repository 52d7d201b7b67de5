"""Worlds outside the registry: `path/to/world.py:Class` or `module:Class`.

An address is made absolute before anything is written down, so that a run finds its world again
from any folder. Mistakes are named from the source, before JAX is imported.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import os
import sys
import traceback
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

from shoal.core.errors import UserError, in_a_line, require, unknown


def resolve(address: str) -> str:
    """The same address, good in any folder: files by their absolute path, modules by name.

    Raises:
        UserError: there is no such file, module or class; the line offers the nearest.
    """
    place, _, name = (address + ":" if address.endswith(".py") else address).rpartition(":")
    require(bool(place), f"'{address}' names no file or module: expected path/to/world.py:Class")
    module = _module(place)
    file = source(module)
    if file is not None:
        names, is_open = _names(file)
        if not name or (name not in names and not is_open):
            kinds = [n for n, is_class in names.items() if is_class] or list(names)
            require(bool(kinds), f"{place} defines no class, expected one of shoal.Env")
            require(bool(name), f"{place} is no class, expected for instance {place}:{kinds[-1]}")
            raise unknown(f"class of {place}", name, kinds)
    return f"{module}:{name}"


def source(module: str) -> Path | None:
    """The file of a module or of a resolved address's first part; `None` where it has none."""
    if module.endswith(".py"):
        return Path(module)
    spec = _find_spec(module)
    found = None if spec is None else spec.origin
    return Path(found) if found and found.endswith(".py") else None


def load(address: str) -> type:
    """Imports a resolved address: a class whose worlds bear the address as their name.

    Raises:
        UserError: the import fails, or what is there is no class of `shoal.Env`.
    """
    from shoal.core.env import Env

    place, name = address.rsplit(":", 1)
    return _named(_concrete(_attribute(_import(place), place, name), Env, address), address)


def load_algorithm(address: str) -> type:
    """Imports a resolved address: a class of algorithms. One that is imported already is that.

    Raises:
        UserError: the import fails, or what is there is no class of `shoal.Algorithm`.
    """
    from shoal.core.algorithm import Algorithm

    return _concrete(find_class(address), Algorithm, address)


def _concrete(kind: Any, base: type, address: str) -> type:
    """The class, if objects can be made of it. Raises `UserError` that names what it lacks."""
    place, name = address.rsplit(":", 1)
    what = base.__name__.replace("Env", "Environment").lower()
    good = isinstance(kind, type) and issubclass(kind, base)
    require(good, f"{name} of {place} is no {what}, expected a class of shoal.{base.__name__}")
    missing = ", ".join(sorted(getattr(kind, "__abstractmethods__", ())))
    require(not missing, f"{name} of {place} lacks {missing}: an {what} needs them")
    return kind


def address_of(kind: type) -> str:
    """Where a class is found again: `module:Class`, or `/path/to/file.py:Class` where its module
    was not imported by its name, such as a script's."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file and Path(file).stem not in (kind.__module__.rpartition(".")[2], "__init__"):
        return f"{os.path.abspath(file)}:{kind.__qualname__}"
    return f"{kind.__module__}:{kind.__qualname__}"


def imported(place: str) -> ModuleType | None:
    """The module of that name, or from that file, if it is imported already."""
    if place in sys.modules:
        return sys.modules[place]
    files = ((m, getattr(m, "__file__", None)) for m in tuple(sys.modules.values()))
    return next((m for m, file in files if file and os.path.abspath(file) == place), None)


def find_class(address: str) -> type:
    """The class at `address_of`'s address, imported if it is not yet.

    Raises:
        UserError: the import fails, or there is no such class.
    """
    place, name = address.rsplit(":", 1)
    found: Any = imported(place) or _import(place)
    for part in name.split("."):
        found = _attribute(found, place, part)
    require(isinstance(found, type), f"{name} of {place} is no class")
    return found


def _attribute(thing: Any, place: str, name: str) -> Any:
    if not hasattr(thing, name):
        raise unknown(f"class of {place}", name, [n for n in vars(thing) if n[0] != "_"])
    return getattr(thing, name)


@functools.cache
def _named(kind: type, address: str) -> type:
    """The same class, but its worlds are called by what a run needs to build them again."""
    from shoal.core.env import EnvSpec

    def spec(self: Any) -> Any:
        own = super(named, self).spec  # pyright: ignore
        return dataclasses.replace(own, name=address) if isinstance(own, EnvSpec) else own

    about = {"spec": property(spec), "__doc__": kind.__doc__, "__module__": kind.__module__}
    named = type(kind)(kind.__name__, (kind,), about)
    return named


def _module(place: str) -> str:
    """An absolute path, or the name of a module that can be imported from anywhere."""
    if place.endswith(".py") or os.sep in place:
        return str(_file(Path(os.path.abspath(Path(place).expanduser()))))
    here = Path.cwd() / (place.replace(".", os.sep) + ".py")
    if here.is_file() and ("." not in place or _find_spec(place) is None):
        return str(here)
    if _find_spec(place) is None:
        near = difflib.get_close_matches(place, [p.stem for p in Path.cwd().glob("*.py")], n=1)
        hint = f": did you mean '{near[0]}'?" if near else " that Python can import, nor a file"
        raise UserError(f"there is no module '{place}'{hint}")
    return place


def _file(path: Path) -> Path:
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, sorted(beside), n=1, cutoff=0.4)
        hint = f": did you mean '{near[0]}'?" if near else ""
        raise UserError(f"there is no file {path}{hint}")
    return path


def _find_spec(module: str) -> Any:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None


def _names(file: Path) -> tuple[dict[str, bool], bool]:
    """What a file defines, and whether each is a class; and whether there may be more."""
    try:
        body = ast.parse(file.read_bytes()).body
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: {error.msg}") from None
    names: dict[str, bool] = {}
    is_open = False
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                names[name] = True
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name: False for alias in aliases}
                is_open |= any(alias.name == "*" for alias in aliases)
            case ast.Assign(targets=targets):
                names |= {t.id: False for t in targets if isinstance(t, ast.Name)}
            case ast.If() | ast.Try() | ast.With():
                is_open = True
            case ast.FunctionDef(name=name):
                names[name] = False
                is_open |= name == "__getattr__"
    return names, is_open


def _import(place: str) -> ModuleType:
    """The module, imported; one line that says where, should it fail."""
    try:
        return (
            _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        )
    except UserError:
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f[0]]
        where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if len(frames) > 1 else ""
        raise UserError(f"{place} cannot be imported: {where}{in_a_line(error)}") from error


def _import_file(path: Path) -> ModuleType:
    """A file as a module, under a name that changes with it. Its neighbours can be imported."""
    mark = f"{path}{path.stat().st_mtime_ns}{path.stat().st_size}"
    name = f"{path.stem}_{zlib.crc32(mark.encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
