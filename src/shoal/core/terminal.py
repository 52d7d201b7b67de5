"""What is printed. Names and errors come from files and worlds of others, and what in them could
steer a terminal is shown as text: `\\x1b[2J`.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from typing import Any

from shoal.core.errors import UserError

LONGEST = 4000  # letters of a line
# Control characters, halves of a pair that UTF-8 cannot say, and what turns the order of letters.
_STEERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def as_text(text: str, keep: str = "") -> str:
    """The same text with all that could steer a terminal, but for `keep`, written out.

    >>> as_text("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\\\n'
    """

    def written_out(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape").decode()

    return _STEERS.sub(written_out, text)


def say(text: str) -> None:
    """Prints one line on standard error, whatever is in the text; nobody need be there to read."""
    line = as_text(text)
    line = line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")  # in one piece: other processes may write there too
        sys.stderr.flush()


class PlainOutput(io.TextIOWrapper):
    """Standard output for text. What it refuses, such as a full disk, is a `UserError`."""

    @classmethod
    def instead_of(cls, stream: Any) -> "PlainOutput":
        """Takes the place of an open text stream, which is of no use any more."""
        how = {"encoding": stream.encoding, "line_buffering": stream.line_buffering}
        return cls(stream.detach(), errors="backslashreplace", **how)

    def write(self, text: str, /) -> int:
        with _refusals():
            return super().write(as_text(text, keep="\n\t"))

    def flush(self) -> None:
        with _refusals():
            super().flush()


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # no mistake: the reader, such as `head`, has enough
        raise
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror}") from error
