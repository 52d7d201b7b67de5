"""Where `--json` prints: one JSON object on standard output, and nothing else there."""

import contextlib
import json
import os
from typing import Any, TextIO

from shoal.core.terminal import PlainOutput

_OURS: list[TextIO] = []


def keep_for_answers() -> None:
    """From now on what anyone else prints, code in C too, goes to standard error."""
    with contextlib.suppress(OSError):  # closed: there is nothing to keep
        _OURS.append(PlainOutput.instead_of(os.fdopen(os.dup(1), "w")))
        os.dup2(2, 1)


def answer(report: Any) -> None:
    """Prints what a verb found, as JSON."""
    print(json.dumps(report), file=_OURS[0] if _OURS else None, flush=True)
