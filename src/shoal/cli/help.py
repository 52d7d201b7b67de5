"""`shoal --help` and `shoal VERB --help`: a screen each, of what is declared, with nothing imported
that a verb needs to run."""

import shutil
import textwrap
from collections.abc import Iterable
from typing import Literal, get_args, get_origin

from shoal.cli.declared import Field, declared
from shoal.cli.table import table
from shoal.cli.verbs import VERBS
from shoal.training.presets import DEFAULTS

WIDTH = 100
LONGEST = 30  # letters of choices that stand beside an option
UNSAID = ("None", "()", "''", "False")  # defaults
QUOTE = "'"

USAGE = """usage: shoal VERB ... (shoal VERB --help tells more)

{verbs}

  shoal train mappo mpe/simple_spread --steps 1000000
"""


class HelpAsked(Exception):
    """Raised where the user asks for help and has not said of what."""


def overview() -> str:
    """All verbs."""
    verbs = [(name, verb.summary) for name, verb in VERBS.items()]
    return USAGE.format(verbs="\n".join(table(verbs, left=(0, 1))))


def screen(name: str) -> str:
    """What a verb does, what it takes, and examples."""
    verb, options = VERBS[name], options_of(name)
    words = " ".join(["shoal", name, *(word for word, _ in verb.names)])
    told = [_option(word, options[word]) for word in verb.options]
    paragraphs = [
        f"usage: {words}{' [OPTION VALUE]...' if told else ''}",
        textwrap.fill(verb.about, _width()),
        "\n".join(rows(verb.names)),
        "\n".join(["options:", *rows([*told, *verb.more])]) if told else "",
        "\n".join(["examples:", *(f"  {example}" for example in verb.examples)]),
        textwrap.fill(verb.hint.format(verb=name), _width()),
    ]
    return "\n\n".join(filter(None, paragraphs))


def options_of(verb: str) -> dict[str, Field]:
    """All that the options' classes of a verb declare, by option."""
    return {
        f"--{field.replace('_', '-')}": known
        for target in reversed(VERBS[verb].classes)
        for field, known in declared(target).items()
    }


def _option(word: str, field: Field) -> tuple[str, str]:
    """`--steps N`, and its meaning with what it is if not given."""
    meaning, choices = field.meaning.rstrip("."), _choices(field)
    if len(choices) > LONGEST:
        meaning, choices = f"One of {choices.replace('|', ', ')}: {meaning}", "NAME"
    default = field.default or _of_presets(word)
    if default in UNSAID:
        return f"{word} {choices or _placeholder(field)}".rstrip(), meaning
    on = "True|False" if default == "True" else ""
    place = on or choices or _placeholder(field)
    return f"{word} {place}", f"{meaning} [{default.strip(QUOTE)}]"


def _of_presets(word: str) -> str:
    """What an option is where the class leaves that to presets."""
    name = word.removeprefix("--").replace("-", "_")
    usual = DEFAULTS.get({"steps": "total_steps"}.get(name, name))
    return f"{usual:_} or as the preset says" if usual else "auto"


def _choices(field: Field) -> str:
    return "|".join(get_args(field.kind)) if get_origin(field.kind) is Literal else ""


def _placeholder(field: Field) -> str:
    """What stands for an option's value."""
    if field.written.startswith("bool"):
        return ""
    known = {"whole": "N", "number": "X", "Path": "PATH", "int": "N"}
    return known.get(field.values.replace(",", " ").split()[0], "TEXT")


def rows(pairs: Iterable[tuple[str, str]], most: int = 26) -> list[str]:
    """Lines with words on the left, and what they mean in a column on the right that begins after
    `most` letters at most."""
    pairs = list(pairs)
    indent = min(most, max((4 + len(word) for word, _ in pairs), default=0))
    lines = []
    for word, meaning in pairs:
        start, space = f"  {word}".ljust(indent), " " * indent
        if len(start) > indent:
            lines, start = [*lines, start], space
        how = {"width": _width(), "subsequent_indent": space, "break_on_hyphens": False}
        lines.append(textwrap.fill(start + meaning, **how).rstrip())
    return lines


def _width() -> int:
    return min(WIDTH, shutil.get_terminal_size().columns)
