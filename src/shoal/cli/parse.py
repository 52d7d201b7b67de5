"""Arguments from types: tyro parses them, and its complaints become one line."""

import contextlib
import functools
import io
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from shoal.cli.arguments import Arguments
from shoal.cli.array_input import read_array
from shoal.cli.declared import check_options
from shoal.cli.game_input import read_payoffs
from shoal.cli.help import HelpAsked
from shoal.core.errors import UserError, unknown

T = TypeVar("T")


def take(
    arguments: Arguments, names: Sequence[str], usage: str, without_options: bool = False
) -> tuple[list[str], Arguments]:
    """Splits off the leading words, one a name, those of `[NAME]` if they are there; `UserError`
    where one is missing, `HelpAsked` where help is wanted instead."""
    there, least = arguments.names, sum(not name.startswith("[") for name in names)
    count = len(names)
    if arguments.help and (len(there) < least or without_options):
        raise HelpAsked
    if len(there) < least:
        raise UserError(f"{names[len(there)]} is missing; usage: {usage}")
    return there[:count], arguments._replace(names=there[count:])


def take_all(arguments: Arguments, names: Sequence[str], usage: str) -> list[str]:
    """The words, one a name, of a verb that has no options."""
    found, rest = take(arguments, names, usage, without_options=True)
    for word in rest.words():
        raise unknown("option", word, ["--help"])
    return found


def read(
    arguments: Arguments, names: Sequence[str], kind: type[T], usage: str
) -> tuple[list[str], T]:
    """The leading words, one a name, and the options of `kind`, a class at the top of a module.

    Raises:
        UserError: a name is missing, or see `parse`.
        HelpAsked: so it is, and help is wanted.
        SystemExit: after `--help`.
    """
    found, rest = take(arguments, names, usage)
    if not rest.help:
        check_options(rest, {"--": f"{kind.__module__}:{kind.__name__}"})
    return found, parse(kind(), rest, re.split(r" \[?--", usage)[0])


def read_many(arguments: Arguments, kind: type[T], usage: str) -> tuple[list[str], T]:
    """As `read`, of a verb that takes any number of names, which may stand behind options too."""
    names, options = arguments.gather(set(_switches(kind())))
    return names, read(Arguments([], options), (), kind, usage)[1]


def parse(default: T, arguments: Arguments, prog: str) -> T:
    """`default` with what the arguments say. A switch alone, such as `--json`, means `--json True`.

    Raises:
        UserError: an unknown option (with the nearest one that exists) or a value that will not do.
        SystemExit: after `--help`.
    """
    import tyro

    config = (tyro.conf.FlagConversionOff, tyro.conf.SuppressFixed)
    cli = functools.partial(tyro.cli, type(default), default=default, prog=prog, config=config)
    if arguments.help:
        with _arrays():
            return cli(args=["--help"])
    said = io.StringIO()
    try:
        with _arrays(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            words = arguments.words(set(_switches(default)))
            value, rest = cli(args=words, return_unknown_args=True)
    except SystemExit:
        raise UserError(_one_line(said.getvalue())) from None
    if rest:
        with _arrays():
            raise unknown("option", rest[0], _options(cli))
    return value


def _arrays() -> Any:
    """Within it, tyro reads fields that are arrays, as `read_array` does; an array with an axis of
    players and then their actions, as `read_payoffs` does."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def _(info: Any) -> Any:
        jaxtyping: Any = sys.modules.get("jaxtyping")  # where nobody asked for it, no field is one
        if jaxtyping is None or not isinstance(info.type, type):
            return None
        if not issubclass(info.type, jaxtyping.AbstractArray):
            return None
        reader = read_payoffs if info.type.dim_str == "N *A" else read_array
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="ARRAY",
            instance_from_str=lambda words: reader(words[0]),
            is_instance=lambda value: hasattr(value, "tolist"),
            str_from_instance=lambda value: [str(value.tolist())],
        )

    return registry


def _switches(options: Any, prefix: str = "--") -> Iterable[str]:
    """The options that are true or false, those of nested fields included."""
    for field in fields(options):
        name, value = f"{prefix}{field.name.replace('_', '-')}", getattr(options, field.name)
        if isinstance(value, bool) or field.type == bool | None:
            yield name
        elif is_dataclass(value):
            yield from _switches(value, f"{name}.")


def _one_line(box: str) -> str:
    """The sentence inside tyro's box."""
    lines = re.sub(r"[╭╮╰╯│─]+|-{5,}", "\n", box).splitlines()
    text = " ".join(line.strip() for line in lines if line.strip())
    text = re.sub(r"^(Value error|Parsing error|Missing argument|Invalid choice)\s*", "", text)
    text = re.sub(r"\s*(Argument helptext:|For full helptext).*$", "", text)
    return text.removeprefix("Error parsing ") or "the arguments do not fit"


def _options(cli: Any) -> list[str]:
    """Every option that exists, read off the help text."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli(args=["--help"])
    return sorted(set(re.findall(r"--[A-Za-z][\w.-]*", said.getvalue())))
