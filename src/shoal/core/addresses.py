"""Names outside the registry: `path/to/file.py:NAME` or `module:NAME`, of an environment's class or
of what makes one, or of an algorithm's class.

An address is made absolute before anything is written down, so that a run finds its code again
from any folder. Mistakes are named from the source, before JAX is imported.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import os
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from shoal.core.errors import UserError, in_a_line, require, unknown

FOREIGN = ("gymnasium", "pettingzoo", "mpe2")  # packages whose environments processes step


def resolve(address: str) -> str:
    """The same address, good in any folder: files by their absolute path, modules by name.

    Raises:
        UserError: there is no such file, module or name; the line offers the nearest.
    """
    place, _, name = (address + ":" if address.endswith(".py") else address).rpartition(":")
    require(bool(place), f"'{address}' names no file or module: expected path/to/file.py:Class")
    module = _module(place)
    file = source(module)
    if file is not None:
        names, is_open = _names(file)
        if not name or (name.partition(".")[0] not in names and not is_open):
            classes = [n for n, kind in names.items() if kind is ast.ClassDef]
            kinds = classes + [n for n, kind in names.items() if kind is ast.FunctionDef]
            require(bool(kinds), f"{place} defines no class and no function")
            first = (classes or kinds)[-1]
            require(bool(name), f"{place} is no class, expected for instance {place}:{first}")
            raise unknown(f"class of {place}", name, kinds)
    return f"{module}:{name}"


def is_foreign(address: str) -> bool:
    """Whether the source of a resolved address tells that it is a class of no environment of ours:
    one of Gymnasium's or PettingZoo's, or of nobody's."""
    place, name = address.rsplit(":", 1)
    file = source(place)
    return file is not None and _descends(ast.parse(file.read_bytes()).body, name)


def _descends(body: list[ast.stmt], name: str) -> bool:
    """Whether a class of a file has no bases, or has one that comes from a foreign package."""
    found = [n for n in body if isinstance(n, ast.ClassDef) and n.name == name]
    if not found:
        return False
    roots = [ast.unparse(base).partition(".")[0] for base in found[-1].bases]
    foreign = {name for name, module in _imports(body) if module.split(".")[0] in FOREIGN}
    return not roots or any(r in foreign or (r != name and _descends(body, r)) for r in roots)


def _imports(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that a file imports, and the module of each."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((a.asname or a.name.partition(".")[0], a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((a.asname or a.name, node.module or "") for a in node.names)


def source(module: str) -> Path | None:
    """The file of a module or of a resolved address's first part; `None` where it has none."""
    if module.endswith(".py"):
        return Path(module)
    spec = _find_spec(module)
    found = None if spec is None else spec.origin
    return Path(found) if found and found.endswith(".py") else None


def load(address: str) -> Any:
    """Imports a resolved address: a class of `shoal.Env` whose environments bear the address as
    their name, another class whose objects can be stepped, or a function.

    Raises:
        UserError: the import fails, or what is there is none of these.
    """
    from shoal.core.env import Env

    found = find_own(address)
    place, name = address.rsplit(":", 1)
    if isinstance(found, type) and issubclass(found, Env):
        return named(_concrete(found, "environment", address), address)
    good = _can_step(found) if isinstance(found, type) else callable(found)
    expected = f"expected a class {_KINDS}, or a function that makes an object of one"
    require(good, f"{name} of {place} is no environment, {expected}")
    return _concrete(found, "environment", address)


_KINDS = "of shoal.Env, of Gymnasium's Env or of PettingZoo's ParallelEnv or AECEnv"


def _can_step(thing: Any) -> bool:
    return all(callable(getattr(thing, method, None)) for method in ("reset", "step"))


def call(make: Any, address: str) -> Any:
    """The environment that the function at an address makes.

    Raises:
        UserError: it raises, or makes something else.
    """
    try:
        made = make()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{address} makes no environment: {said(error)}") from error
    kind = type(made).__name__
    require(_can_step(made), f"{address} makes a {kind}, expected an object {_KINDS}")
    return made


def load_algorithm(address: str) -> type:
    """Imports a resolved address: a class of algorithms. One that is imported already is that.

    Raises:
        UserError: the import fails, or what is there is no class of `shoal.Algorithm`.
    """
    from shoal.core.algorithm import Algorithm

    kind = find(address)
    place, name = address.rsplit(":", 1)
    good = isinstance(kind, type) and issubclass(kind, Algorithm)
    require(good, f"{name} of {place} is no algorithm, expected a class of shoal.Algorithm")
    return _concrete(kind, "algorithm", address)


def _concrete(kind: Any, what: str, address: str) -> Any:
    """The class, if objects can be made of it. Raises `UserError` that names what it lacks."""
    place, name = address.rsplit(":", 1)
    missing = ", ".join(sorted(getattr(kind, "__abstractmethods__", ())))
    require(not missing, f"{name} of {place} lacks {missing}: an {what} needs them")
    return kind


def address_of(kind: type | Callable[..., Any]) -> str:
    """Where a class or function is found again: `module:NAME`, or `/path/to/file.py:NAME` where its
    module was not imported by its name, such as a script's."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if file and Path(file).stem not in (kind.__module__.rpartition(".")[2], "__init__"):
        return f"{os.path.abspath(file)}:{kind.__qualname__}"
    return f"{kind.__module__}:{kind.__qualname__}"


def imported(place: str) -> ModuleType | None:
    """The module of that name, or from that file, if it is imported already. Of a file that was
    imported here, the module is that of its present content."""
    if place in sys.modules:
        return sys.modules[place]
    if not place.endswith(".py"):
        return None
    marked = re.compile(f"{re.escape(Path(place).stem)}_[0-9a-f]{{8}}")
    for name, module in tuple(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and os.path.abspath(file) == place and not marked.fullmatch(name):
            return module
    return sys.modules.get(_mark(place))


def find(address: str) -> Any:
    """What is at a resolved address or at one of `address_of`, imported if it is not yet.

    Raises:
        UserError: the import fails, or there is no such thing.
    """
    place, name = address.rsplit(":", 1)
    found: Any = imported(place) or _import(place)
    for part in name.split("."):
        if not hasattr(found, part):
            raise unknown(f"class of {place}", part, [n for n in vars(found) if n[0] != "_"])
        found = getattr(found, part)
    return found


def find_own(address: str) -> Any:
    """What is at an address, to be called. The files of a run name it, which others may have
    written: nothing of Python's own library will do."""
    theirs = address.partition(":")[0].partition(".")[0] in sys.stdlib_module_names
    require(not theirs, f"{address} is of Python's own library, expected code of yours")
    return find(address)


@functools.cache
def named(kind: type, address: str) -> type:
    """The same class, but its worlds are called by what a run needs to build them again."""
    from shoal.core.env import EnvSpec

    def spec(self: Any) -> Any:
        own = super(new, self).spec  # pyright: ignore
        return dataclasses.replace(own, name=address) if isinstance(own, EnvSpec) else own

    about = {"spec": property(spec), "__doc__": kind.__doc__, "__module__": kind.__module__}
    new = type(kind)(kind.__name__, (kind,), about)
    return new


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


def _names(file: Path) -> tuple[dict[str, type | None], bool]:
    """What a file defines, and by which kind of statement; and whether there may be more."""
    try:
        body = ast.parse(file.read_bytes()).body
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: {error.msg}") from None
    names: dict[str, type | None] = {}
    is_open = False
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                names[name] = ast.ClassDef
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name: None for alias in aliases}
                is_open |= any(alias.name == "*" for alias in aliases)
            case ast.Assign(targets=targets):
                names |= {t.id: None for t in targets if isinstance(t, ast.Name)}
            case ast.If() | ast.Try() | ast.With():
                is_open = True
            case ast.FunctionDef(name=name):
                names[name] = None if name[0] == "_" else ast.FunctionDef
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
        raise UserError(f"{place} cannot be imported: {said(error)}") from error


def said(error: Exception) -> str:
    """An exception in a line: where it was raised, its type, what it says."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f[0]]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if len(frames) > 1 else ""
    return f"{where}{in_a_line(error)}"


def _mark(place: str) -> str:
    """The name of a file's module: it changes with the file."""
    path = Path(place)
    about = path.stat() if path.is_file() else None
    mark = f"{path}{about.st_mtime_ns}{about.st_size}" if about else ""
    return f"{path.stem}_{zlib.crc32(mark.encode()):08x}"


def _import_file(path: Path) -> ModuleType:
    """A file as a module. Its neighbours can be imported."""
    name = _mark(str(_file(path)))
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
