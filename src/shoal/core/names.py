"""What environments and algorithms are called, above pictures and in the names of files."""

import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path


def is_address(name: str) -> bool:
    """Whether a name says where a class is, and is none of the registry's."""
    return ":" in name or name.endswith(".py")


def short_name(name: str) -> str:
    """What to call a world in a file's name: `simple_spread`, and `fish_pond` for `FishPond`."""
    if not is_address(name):
        return name.split("/")[-1]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.rsplit(":", 1)[-1]).lower()
    return re.sub(r"[^a-z0-9._-]+", "_", words)


def plain_name(name: str, most: int = 64) -> str:
    """The nearest that can name a file or a run anywhere: letters of ASCII, digits, `.`, `_`, `-`.

    >>> plain_name("my env"), plain_name("Ünïcode"), plain_name("../x")
    ('my-env', 'Unicode', 'x')
    """
    bare = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))  # without accents
    return re.sub(r"[^A-Za-z0-9._-]+", "-", bare).lstrip(".-")[:most] or "run"


def to_type(*words: object) -> str:
    """A command as a shell takes it.

    >>> to_type("shoal", "resume", "my runs/one")
    "shoal resume 'my runs/one'"
    """
    return shlex.join(map(str, words))


def heading(name: str) -> str:
    """What to call a world above a picture or a table: a file without its folder."""
    place, _, kind = name.rpartition(":")
    return f"{Path(place).name}:{kind}" if place.endswith(".py") else name


def headings(names: Iterable[str]) -> dict[str, str]:
    """The heading of each; the whole name where two would be called alike."""
    short = {name: heading(name) for name in names}
    alike = [n for n, count in Counter(short.values()).items() if count > 1]
    return {name: name if said in alike else said for name, said in short.items()}


def in_words(values: Mapping[str, int | float]) -> str:
    """Settings to read: `learning_rate 0.001, clip 0.2`."""
    return ", ".join(f"{name} {in_digits(value)}" for name, value in values.items())


def in_digits(value: int | float) -> str:
    """A number in as few digits as tell it from others."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
