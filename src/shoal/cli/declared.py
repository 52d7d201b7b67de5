"""What a class declares, read off its source, so that a mistake in an option is named at once.

Importing an algorithm imports JAX, which takes a second or more; its fields, their types and
limits stand in plain sight. Types that this reading does not follow are left to the real parser.
"""

import ast
import dataclasses
import difflib
import functools
import json
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from shoal.cli.arguments import Arguments, Option
from shoal.core import addresses, limits
from shoal.core.errors import UserError, require, unknown

_BARE = ("Module", "Env", "Algorithm")  # classes without fields, whatever they are imported from
OPEN = "*"  # the fields of an object that the source does not tell
_WORDS = {int: "whole number", float: "number", bool: "True or False", str: "text"}
_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "Any": None}


class Field(NamedTuple):
    """A field as its class declares it."""

    kind: Any  # its type; `None` where that is not a simple one
    static: bool  # whether it shapes the program
    written: str = ""  # its type in the source
    default: str | None = None  # what it is if not given, in the source; `None`: it must be given
    meaning: str = ""  # what is said below it, in a line
    each: Any = None  # the type of each value of a tuple, or of an optional one

    @property
    def many(self) -> bool:
        """Whether it takes any number of values."""
        return self.kind is None and self.written.startswith("tuple")

    @property
    def values(self) -> str:
        """What it may be, in words: `at least 1`, `local, global or both`, `text`."""
        kind = self.each if self.kind is None else self.kind
        base, *more = get_args(kind) if get_origin(kind) is Annotated else (kind,)
        if get_origin(base) is Literal:
            *others, last = map(str, get_args(base))
            return f"{', '.join(others)} or {last}" if others else last
        word, limits = _WORDS.get(base, self.written), more[0].text if more else ""
        if self.many and base in (int, float):
            return f"{word}s"
        if "number" in limits:
            return limits.removeprefix("a ")
        return f"{word}, {limits}" if limits else word


NOTHING = Field(None, False)


def check_options(arguments: Arguments, targets: dict[str, str]) -> None:
    """Raises `UserError` for the first option that does not exist, or whose value will not do.

    `targets` says which class lies behind each prefix: `{"--algo.": "module:name", ...}`.
    """
    try:
        known = {
            prefix + name.replace("_", "-"): field
            for prefix, target in targets.items()
            for name, field in _declared(target).items()
        }
    except LookupError:
        return
    for option in arguments.options:
        if any(option.name.startswith(name[:-1]) for name in known if name.endswith(OPEN)):
            continue
        if option.name not in known:
            raise _unknown(option, known)
        _check_values(option, known[option.name])


def _unknown(option: Option, known: dict[str, Field]) -> UserError:
    """The error for an option that does not exist: perhaps it is a value of one that does, or an
    argument of another library's environment."""
    line, bare = f"unknown option '{option.word}'", option.name.removeprefix("--")
    for name, field in known.items():
        if get_origin(field.kind) is Literal and bare in get_args(field.kind):
            return UserError(f"{line}: did you mean '{name} {bare}'?")
    near = difflib.get_close_matches(option.name[6:], [n[6:] for n in known], n=1, cutoff=0.7)
    if near or "--env.settings" not in known or not option.name.startswith("--env."):
        return unknown("option", option.word, known)
    values = [_plain(word) for word in option.values] or [True]
    given = json.dumps({option.field: values if len(values) > 1 else values[0]})
    return UserError(f"{line}: the environment's own arguments go into --env.settings '{given}'")


def _plain(word: str) -> Any:
    """The number, truth value or other JSON that a word is, else the word."""
    with suppress(ValueError):
        return json.loads({"True": "true", "False": "false"}.get(word, word))
    return word


def _check_values(option: Option, field: Field) -> None:
    """Raises `UserError` where an option's value is missing, or will not do."""
    kind = field.each if field.kind is None else field.kind
    require(
        bool(option.values) or kind in (bool, None),
        f"{option.word} has no value, expected {field.values}",
    )
    for value in option.values if field.many or len(option.values) == 1 else ():
        if not (value == "None" and field.written.endswith("None")):
            limits.read_value(option.word, value, kind)


def fields(target: str) -> dict[str, Any]:
    """The fields that a registry's target `module:name` takes, by name: the type of each, or
    `None` where it is not a simple one. Raises `LookupError` where the source does not tell."""
    return {name: field.kind for name, field in _declared(target).items()}


def declared(target: str) -> dict[str, Field]:
    """The same with all that is declared of them; none where the source does not tell."""
    with suppress(LookupError):
        return _declared(target)
    return {}


def leaves(target: str) -> list[str]:
    """The fields that are numbers and leaves, not structure: those that a sweep may have. Raises
    `LookupError` where the source does not tell."""
    numbers = (int, float)
    return [
        name
        for name, field in _declared(target).items()
        if not field.static
        and (field.kind in numbers or (get_args(field.kind) or [None])[0] in numbers)
    ]


def _declared(target: str) -> dict[str, Field]:
    module, name = target.rsplit(":", 1)
    try:
        return _fields(*_find(module, name))
    except LookupError:
        functions = (n.name for n in _nodes(module) if isinstance(n, ast.FunctionDef))
        if module.startswith("shoal.") or name in functions:
            raise
        return _imported(addresses.find(target))


def _imported(kind: Any) -> dict[str, Field]:
    """The fields of a class whose source does not tell them."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise LookupError(f"{kind} has no fields")
    hints, out = get_type_hints(kind, include_extras=True), {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        simple = hint in _PLAIN.values() or get_origin(hint) in (Annotated, Literal)
        out[field.name] = Field(hint if simple else None, bool(field.metadata.get("static")))
    return out


def _fields(module: str, node: Any) -> dict[str, Field]:
    if isinstance(node, ast.FunctionDef) and node.returns:  # one of a family: all have its fields
        return _fields(*_find(module, ast.unparse(node.returns)))
    if not isinstance(node, ast.ClassDef):
        raise LookupError(f"{module} has no class there")
    out: dict[str, Field] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id not in _BARE:
            out |= _fields(*_find(module, base.id))
        elif isinstance(base, ast.Attribute) and base.attr not in _BARE:
            raise LookupError(f"{ast.unparse(base)} may have fields")
    for line, below in zip(node.body, [*node.body[1:], None]):
        match line:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=default):
                if "ClassVar" not in ast.unparse(kind):
                    static, value, said = _is_static(default), _value(default), _text(below)
                    said = said or out.get(name, NOTHING).meaning
                    written, each = ast.unparse(kind), _each(module, kind)
                    field = Field(_type(module, kind), static, written, value, said, each)
                    out[name] = field
                    for inner, of in _within(module, kind, default).items():
                        out[f"{name}.{inner}"] = of._replace(static=of.static or static)
    return out


def _value(default: ast.expr | None) -> str | None:
    """A default as it is written, that of `eqx.field(default=...)` too."""
    if isinstance(default, ast.Call):
        given = [k.value for k in default.keywords if k.arg in ("default", "default_factory")]
        return ast.unparse(given[0]) if given else None
    return ast.unparse(default) if default else None


def _text(below: ast.stmt | None) -> str:
    """What is said below a field, in a line."""
    match below:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
    return ""


def _within(module: str, kind: ast.expr, default: ast.expr | None) -> dict[str, Field]:
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
    return _fields(home, found) or {OPEN: Field(None, True)}


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


def _each(module: str, kind: ast.expr) -> Any:
    """`int` of `int | None` and of `tuple[int, ...]`; `None` of what is not a simple type."""
    match kind:
        case (
            ast.BinOp(left=each, right=ast.Constant(value=None))
            | ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=[each, _]))
        ):
            with suppress(LookupError):
                return _type(module, each)
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
