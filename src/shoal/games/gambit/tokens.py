"""Gambit's file formats, word by word: quoted text, numbers, braces, letters.

Each token knows its line and column, so that a mistake in a file can be pointed at. The formats:
https://gambitproject.readthedocs.io/en/latest/formats.html
"""

import codecs
import re
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, NoReturn

from shoal.core.errors import UserError, require
from shoal.core.exact import exact_number

PATTERN = re.compile(
    r"""(?P<space>[\s,]+)
    | (?P<text>"(?:\\.|[^"\\])*")
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:/\d+)?)
    | (?P<brace>[{}])
    | (?P<word>[A-Za-z]+)""",
    re.VERBOSE | re.DOTALL,
)
LARGEST = 2**28  # bytes of a file


class Token(NamedTuple):
    """A word of a file, and where it is, from 1."""

    kind: str
    text: str
    line: int
    column: int


class Reader:
    """Reads a file's tokens one after the other."""

    def __init__(self, path_or_text: str | Path, head: str):
        """`head` is the word that the file begins with: `NFG` or `EFG`."""
        text, self.source = _contents(path_or_text, head)
        self.tokens = _tokens(text, self.source)
        self.at = 0

    def peek(self) -> Token:
        return self.tokens[self.at]

    def take(self, kind: str, what: str, text: str | None = None) -> Token:
        """The next token, which must be of this kind (and text)."""
        token = self.peek()
        if token.kind != kind or text not in (None, token.text):
            self.fail(f"expected {what}, found {token.text or 'the end'}")
        self.at += 1
        return token

    def accept(self, kind: str, text: str | None = None) -> Token | None:
        """The next token if it is of this kind (and text)."""
        token = self.peek()
        if token.kind != kind or text not in (None, token.text):
            return None
        self.at += 1
        return token

    def string(self, what: str) -> str:
        return re.sub(r'\\(["\\])', r"\1", self.take("text", f"{what} in quotes").text[1:-1])

    def integer(self, what: str) -> int:
        token = self.take("number", what)
        if not token.text.lstrip("+-").isdigit() or len(token.text) > 18:
            self.fail(f"expected {what}, a whole number, found {token.text[:40]}", token)
        return int(token.text)

    def number(self, what: str) -> Fraction:
        """A rational number, `1/3`, or a decimal one, exactly as written."""
        token = self.take("number", what)
        try:
            return exact_number(token.text)
        except UserError as error:
            self.fail(str(error), token)

    def strings(self, what: str) -> list[str]:
        """`{ "a" "b" }`."""
        self.take("brace", "'{' before " + what, "{")
        out = []
        while not self.accept("brace", "}"):
            out.append(self.string(what))
        return out

    def numbers(self, what: str) -> list[Fraction]:
        """`{ 1, 2/3 }`, after the opening brace."""
        out = []
        while not self.accept("brace", "}"):
            out.append(self.number(what))
        return out

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """Complains about a token, the next one unless given."""
        token = token or self.peek()
        raise UserError(f"{self.source}, line {token.line}, column {token.column}: {message}")


def read_head(reader: Reader, word: str) -> tuple[str, list[str]]:
    """`NFG 1 R "title" { "player" ... }`: the title and the names of the players."""
    version = reader.take("word", word, word), reader.take("number", "a version")
    known = {"NFG": "1", "EFG": "2"}[word]
    if version[1].text != known:
        reader.fail(f"version {version[1].text} of {word} files, expected {known}", version[1])
    reader.take("word", "R or D")
    title = reader.string("a title")
    token = reader.peek()
    players = reader.strings("the name of a player")
    if not players:
        reader.fail("there are no players", token)
    return title, players


def write_number(number: Fraction) -> str:
    """Rational where the denominator is small, else decimal if that is all of it."""
    decimal = repr(float(number))
    exact = number.denominator <= 10**6 or Fraction(decimal) != number
    return str(number) if exact else decimal


def quoted(text: str) -> str:
    """A name as the files have it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unique_names(names: list[str], default: str = "") -> list[str]:
    """Names, or numbers from 1 where one is empty or there twice."""
    plain = all(names) and len(set(names)) == len(names)
    return names if plain else [f"{default}{i + 1}" for i in range(len(names))]


def _contents(path_or_text: str | Path, head: str) -> tuple[str, str]:
    if isinstance(path_or_text, str) and path_or_text.lstrip()[:3].upper() == head:
        return path_or_text, f"the {head.lower()} text"
    path = Path(path_or_text)
    require(
        len(str(path)) < 4096 and path.is_file(),
        f"there is no file '{str(path_or_text)[:80]}', and text of a game would begin with {head}",
    )
    require(path.stat().st_size <= LARGEST, f"{path} is larger than {LARGEST} bytes")
    return _decoded(path.read_bytes()), str(path)


def _decoded(data: bytes) -> str:
    """Text in UTF-8, in UTF-16 where a mark says so, else in Latin-1, as old files of Windows."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _tokens(text: str, source: str) -> list[Token]:
    out, at, line, begin = [], 0, 1, 0
    while at < len(text):
        found = PATTERN.match(text, at)
        if found is None:
            what = "a quote that does not end" if text[at] == '"' else f"a stray {text[at]!r}"
            raise UserError(f"{source}, line {line}, column {at - begin + 1}: {what}")
        if found.lastgroup != "space":
            out.append(Token(str(found.lastgroup), found.group(), line, at - begin + 1))
        line += found.group().count("\n")
        if "\n" in found.group():
            begin = at + found.group().rindex("\n") + 1
        at = found.end()
    return [*out, Token("end", "", line, at - begin + 1)]
