"""Where `--json` prints: one JSON object on standard output, and nothing else there."""

import contextlib
import json
import os
import sys
from typing import Any, TextIO

from shoal.core.terminal import PlainOutput

_OURS: list[TextIO] = []


def keep_for_answers() -> None:
    """From now on what anyone else prints, code in C too, goes to standard error."""
    with contextlib.suppress(OSError):  # closed: there is nothing to keep
        _OURS.append(PlainOutput.instead_of(os.fdopen(os.dup(1), "w")))
        os.dup2(2, 1)


def terminal() -> tuple[int, int]:
    """The files of standard output and standard error, as the user has them."""
    return _OURS[0].fileno() if _OURS else 1, 2


def print_to(out: int, err: int) -> None:
    """From now on what Python prints goes to these files; what code in C prints stays where it
    goes."""
    sys.stdout = PlainOutput.instead_of(os.fdopen(out, "w"))
    sys.stderr = os.fdopen(err, "w", buffering=1, errors="backslashreplace")


def answer(report: Any) -> None:
    """Prints what a verb found, as JSON."""
    print(json.dumps(report), file=_OURS[0] if _OURS else None, flush=True)
