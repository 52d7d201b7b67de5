"""Docstrings and fields of code as Markdown."""

import ast
import dataclasses
import functools
import inspect
import itertools
import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from shoal.core import limits

LIMITS = {kind: name for name, kind in vars(limits).items() if get_origin(kind) is Annotated}
_AS_IT_STANDS = re.compile(r"(\$\$.+?\$\$|\$[^$\n]+\$|`[^`]+`|^    .*$)", re.DOTALL | re.MULTILINE)


class Field(NamedTuple):
    """A field of an algorithm or of an environment, each part as Markdown."""

    name: str
    kind: str
    default: str
    meaning: str


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", str(cell)) for cell in line) + " |"
        for line in lines
    )


def prose(text: str) -> str:
    """A docstring's text: what is neither code nor formula has no other markup."""
    parts = _AS_IT_STANDS.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*<_])", r"\\\1", parts[i])
    return "".join(parts)


def sections(thing: Any) -> tuple[str, dict[str, str]]:
    """What a docstring begins with, and its sections by title, as plain text."""
    intro, *rest = re.split(r"^(\S.*):\n(?=    )", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    bodies = zip(rest[::2], rest[1::2])
    return intro.strip(), {title: textwrap.dedent(body).strip() for title, body in bodies}


def entries(body: str) -> dict[str, str]:
    """The entries `name: text` of a section, by name; lines that go on are indented."""
    lines = re.sub(r"\n +", " ", body).splitlines()
    return {name: text for name, _, text in (line.partition(": ") for line in lines)}


def fields(thing: Any) -> list[Field]:
    """All fields that a run keeps of an object."""
    hints, said = get_type_hints(type(thing), include_extras=True), meanings(type(thing))
    return [
        Field(f.name, _kind(hints[f.name]), _value(getattr(thing, f.name)), prose(said[f.name]))
        for f in dataclasses.fields(thing)
        if f.metadata.get("saved", True)
    ]


@functools.cache
def meanings(kind: type) -> dict[str, str]:
    """The sentences below the fields of a class and of those that it is made from."""
    out: dict[str, str] = {}
    for base in reversed([k for k in kind.__mro__ if dataclasses.is_dataclass(k)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body
        for line, after in itertools.pairwise(body):
            match line, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                    out[name] = " ".join(text.split())
    return out


def _kind(hint: Any) -> str:
    if hint in LIMITS:
        return f"`{LIMITS[hint]}`: {get_args(hint)[1].text}"
    if get_origin(hint) is Literal:
        return " or ".join(f"`{option}`" for option in get_args(hint))
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return f"`{text.replace('jaxlib._jax.Array', 'Array')}`"


def _value(value: Any) -> str:
    plain = value.tolist() if hasattr(value, "tolist") else value
    text = repr(plain)
    if isinstance(plain, str) and "\n" in plain:
        text = f"{plain.splitlines()[0]} ..."
    return f"`{text}`"
