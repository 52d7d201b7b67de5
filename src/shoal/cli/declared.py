"""What a class declares, read off its source, so that a mistake in an option is named at once.

Importing an algorithm imports JAX, which takes a second or more; its fields, their types and
limits stand in plain sight. Types that this reading does not follow are left to the real parser.
"""

import ast
import dataclasses
import functools
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from shoal.cli.arguments import Arguments
from shoal.core import addresses, limits
from shoal.core.errors import unknown

_BARE = ("Module", "Env", "Algorithm")  # classes without fields, whatever they are imported from
OPEN = "*"  # the fields of an object that the source does not tell
_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "Any": None}


class _Field(NamedTuple):
    """Its type, or `None` where that is not a simple one, and whether it shapes the program."""

    kind: Any
    static: bool


def check_options(arguments: Arguments, targets: dict[str, str]) -> None:
    """Raises `UserError` for the first option that does not exist, or whose value will not do.

    `targets` says which class lies behind each prefix: `{"--algo.": "module:name", ...}`.
    """
    try:
        kinds = {
            prefix + name.replace("_", "-"): kind
            for prefix, target in targets.items()
            for name, kind in fields(target).items()
        }
    except LookupError:
        return
    for option in arguments.options:
        if any(option.name.startswith(kind[:-1]) for kind in kinds if kind.endswith(OPEN)):
            continue
        if option.name not in kinds:
            raise unknown("option", option.word, kinds)
        if len(option.values) == 1:
            limits.read_value(option.word, option.values[0], kinds[option.name])


def fields(target: str) -> dict[str, Any]:
    """The fields that a registry's target `module:name` takes, by name: the type of each, or
    `None` where it is not a simple one. Raises `LookupError` where the source does not tell."""
    return {name: field.kind for name, field in _declared(target).items()}


def leaves(target: str) -> list[str]:
    """The fields that are numbers and leaves, not structure: those that a sweep may have. Raises
    `LookupError` where the source does not tell."""
    numbers = (int, float)
    return [
        name
        for name, (kind, static) in _declared(target).items()
        if not static and (kind in numbers or (get_args(kind) or [None])[0] in numbers)
    ]


def _declared(target: str) -> dict[str, _Field]:
    module, name = target.rsplit(":", 1)
    try:
        return _fields(*_find(module, name))
    except LookupError:
        functions = (n.name for n in _nodes(module) if isinstance(n, ast.FunctionDef))
        if module.startswith("shoal.") or name in functions:
            raise
        return _imported(addresses.find(target))


def _imported(kind: Any) -> dict[str, _Field]:
    """The fields of a class whose source does not tell them."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise LookupError(f"{kind} has no fields")
    hints, out = get_type_hints(kind, include_extras=True), {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        simple = hint in _PLAIN.values() or get_origin(hint) in (Annotated, Literal)
        out[field.name] = _Field(hint if simple else None, bool(field.metadata.get("static")))
    return out


def _fields(module: str, node: Any) -> dict[str, _Field]:
    if isinstance(node, ast.FunctionDef) and node.returns:  # one of a family: all have its fields
        return _fields(*_find(module, ast.unparse(node.returns)))
    if not isinstance(node, ast.ClassDef):
        raise LookupError(f"{module} has no class there")
    out: dict[str, _Field] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id not in _BARE:
            out |= _fields(*_find(module, base.id))
        elif isinstance(base, ast.Attribute) and base.attr not in _BARE:
            raise LookupError(f"{ast.unparse(base)} may have fields")
    for line in node.body:
        match line:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=default):
                if "ClassVar" not in ast.unparse(kind):
                    field = _Field(_type(module, kind), _is_static(default))
                    out[name] = field
                    for inner, (of, static) in _within(module, kind, default).items():
                        out[f"{name}.{inner}"] = _Field(of, static or field.static)
    return out


def _within(module: str, kind: ast.expr, default: ast.expr | None) -> dict[str, _Field]:
    """The fields of a field that holds an object: of its default, `ippo()` or
    `eqx.field(default_factory=ippo)`, or of its declared class; `*` where neither tells."""
    for maker in _makers(default):
        with suppress(LookupError):
            return _fields(*_find(module, maker))
    if not isinstance(kind, ast.Name) or kind.id in _PLAIN:
        return {}
    home, found = _find(module, kind.id)
    if home == limits.__name__ or not isinstance(found, ast.ClassDef):
        return {}
    return _fields(home, found) or {OPEN: _Field(None, True)}


def _makers(default: ast.expr | None) -> list[str]:
    """The names of what may make a default."""
    if not isinstance(default, ast.Call):
        return []
    words = [k.value for k in default.keywords if k.arg == "default_factory"]
    return [node.id for node in (*words, default.func) if isinstance(node, ast.Name)]


def _is_static(default: ast.expr | None) -> bool:
    """Whether a field is declared as `eqx.field(static=True, ...)`."""
    match default:
        case ast.Call(keywords=keywords):
            return any(k.arg == "static" and ast.unparse(k.value) == "True" for k in keywords)
    return False


def _type(module: str, node: Any) -> Any:
    match node:
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.Name(id=name):
            home, found = _find(module, name)
            return getattr(limits, name) if home == limits.__name__ else _type(home, found)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=options)):
            return Literal[tuple(ast.literal_eval(option) for option in options)]
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Constant(value=option)):
            return Literal[option]
        case ast.Assign(value=value):
            return _type(module, value)
    return None


def _find(module: str, name: str) -> tuple[str, Any]:
    """What defines a name of a module, and the module that this stands in: perhaps another one."""
    for node in _nodes(module):
        match node:
            case ast.ClassDef(name=found) | ast.FunctionDef(name=found) if found == name:
                return module, node
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return module, node
            case ast.ImportFrom(module=str(other), names=names) if other.startswith("shoal."):
                if name in (alias.name for alias in names):
                    return _find(other, name)
    raise LookupError(f"{module} does not define {name}")


@functools.cache
def _nodes(module: str) -> list[ast.AST]:
    file = addresses.source(module)
    if file is None:
        raise LookupError(f"{module} has no source")
    return list(ast.walk(ast.parse(file.read_bytes())))
