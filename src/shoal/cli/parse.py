"""Arguments from types: tyro parses them, and its complaints become one line."""

import contextlib
import io
import re
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from shoal.core.errors import UserError, unknown

T = TypeVar("T")


def parse(kind: type[T], arguments: list[str], prog: str, default: Any = None) -> T:
    """Fills `kind` from the arguments. A switch alone, such as `--json`, means `--json True`.

    Raises:
        UserError: an unknown option (with the nearest one that exists) or a value that will not do.
        SystemExit: after `--help`.
    """
    import tyro

    arguments = _with_values(arguments, set(_switches(kind)))
    said = io.StringIO()
    keywords = {} if default is None else {"default": default}
    config = (tyro.conf.FlagConversionOff, tyro.conf.SuppressFixed)
    try:
        if "--help" in arguments or "-h" in arguments:
            return tyro.cli(kind, args=arguments, prog=prog, config=config, **keywords)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            value, rest = tyro.cli(
                kind,
                args=arguments,
                prog=prog,
                config=config,
                return_unknown_args=True,
                **keywords,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue())) from None
    if rest:
        keywords["config"] = config
        raise unknown("option", rest[0].split("=")[0], _options(kind, prog, keywords))
    return value


def _switches(kind: Any, prefix: str = "--") -> Iterable[str]:
    """The options that are true or false, those of nested fields included."""
    for field in fields(kind):
        name = f"{prefix}{field.name.replace('_', '-')}"
        if field.type in (bool, "bool"):
            yield name
        elif is_dataclass(field.type):
            yield from _switches(field.type, f"{name}.")


def _with_values(arguments: list[str], switches: set[str]) -> list[str]:
    """Each option and its value as two words; a switch without one gets its value."""
    out = []
    for word, following in zip(arguments, [*arguments[1:], "--"]):
        option, *value = word.split("=", 1) if word.startswith("--") else [word]
        alone = not value and following.startswith("--")
        out += [option, *value]
        if alone and option.replace("_", "-") in switches:
            out.append("True")
    return out


def _one_line(box: str) -> str:
    """The sentence inside tyro's box."""
    lines = re.sub(r"[╭╮╰╯│─]+|-{5,}", "\n", box).splitlines()
    text = " ".join(line.strip() for line in lines if line.strip())
    text = re.sub(r"^(Value|Parsing) error\s*", "", text)
    text = re.sub(r"\s*(Argument helptext:|For full helptext).*$", "", text)
    return text.removeprefix("Error parsing ") or "the arguments do not fit"


def _options(kind: Any, prog: str, keywords: dict[str, Any]) -> list[str]:
    """Every option that exists, read off the help text."""
    import tyro

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(kind, args=["--help"], prog=prog, **keywords)
    return sorted(set(re.findall(r"--[A-Za-z][\w.-]*", said.getvalue())))


def take(arguments: list[str], names: list[str], usage: str) -> tuple[list[str], list[str]]:
    """Splits off the leading words, one a name; `UserError` where one is missing."""
    if "--help" in arguments[: len(names)] or "-h" in arguments[: len(names)]:
        print(usage)
        sys.exit(0)
    for i, name in enumerate(names):
        if i >= len(arguments) or arguments[i].startswith("-"):
            raise UserError(f"{name} is missing; usage: {usage}")
    return arguments[: len(names)], arguments[len(names) :]
