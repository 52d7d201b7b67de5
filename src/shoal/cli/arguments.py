"""The words of a command, told apart once: the names that come first, and the options.

A word is an option where it begins with two minuses, or is a minus and one letter: `-1` is a
number. The words up to the next option are its values, `--hidden 64 64`; so is what stands behind
an equals sign, `--clip=0.1`. Dashes and underscores inside an option are the same.
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple


class Option(NamedTuple):
    """An option as it was typed, and its values; `joined` if an equals sign gave the first."""

    word: str
    values: list[str]
    joined: bool

    @property
    def name(self) -> str:
        """With dashes: `--algo.learning-rate`."""
        return self.word.replace("_", "-")

    @property
    def field(self) -> str:
        """What the option sets, inside its group: `learning_rate` of `--algo.learning-rate`."""
        return self.word.partition(".")[2].replace("-", "_")


class Arguments(NamedTuple):
    """What follows a verb."""

    names: list[str]
    options: list[Option]

    @classmethod
    def of(cls, words: Iterable[str]) -> "Arguments":
        out = cls([], [])
        for word in words:
            if re.match(r"--|-[A-Za-z]$", word):
                option, equals, value = word.partition("=")
                out.options.append(Option(option, [_digits(value)] if equals else [], bool(equals)))
            elif out.options:
                out.options[-1].values.append(_digits(word))
            else:
                out.names.append(word)
        return out

    @property
    def help(self) -> bool:
        """Whether the user asks for help."""
        return any(option.word in ("--help", "-h") for option in self.options)

    def value(self, name: str, alone: str | None = None) -> str | None:
        """The value of an option, `alone` if it has none; `None` if it is not there or has many."""
        found = [option.values or [alone] for option in self.options if option.name == name]
        return found[-1][0] if found and len(found[-1]) == 1 else None

    def is_on(self, name: str) -> bool:
        """Whether a switch is there, alone or as `--name True`."""
        return self.value(name, alone="True") == "True"

    def gather(self, switches: Collection[str]) -> "Arguments":
        """The same for a verb whose names may stand behind options too: an option keeps one value,
        and one of the `switches` only True or False."""
        names, options = list(self.names), []
        for option in self.options:
            _, values, joined = option
            own = joined or option.name not in switches or values[:1] in (["True"], ["False"])
            options.append(option._replace(values=values[:own]))
            names += values[own:]
        return Arguments(names, options)

    def words(self, switches: Collection[str] = ()) -> list[str]:
        """All as single words again; a switch without a value gets `True`."""
        out = list(self.names)
        for option in self.options:
            out += [option.word, *(option.values or ["True"] * (option.name in switches))]
        return out


def _digits(word: str) -> str:
    """A whole number in digits, as `1e6`, `200k`, `2.5M` and `steps=1e6` are meant; other words as
    they are, `3m` too."""
    name, equals, value = word.rpartition("=")
    value = re.sub(r"[kM]$", lambda found: {"k": "e3", "M": "e6"}[found[0]], value)
    if not re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d\d?", value) or not float(value).is_integer():
        return word
    return f"{name}{equals}{int(float(value))}"
