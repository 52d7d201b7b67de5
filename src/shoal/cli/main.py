"""The `shoal` command: one verb, one file. Nothing heavy is imported before a verb is known."""

import contextlib
import errno
import importlib
import os
import sys
import warnings
from typing import Any

from shoal.cli.arguments import Arguments
from shoal.cli.help import HelpAsked, overview, screen
from shoal.cli.output import keep_for_answers
from shoal.cli.verbs import VERBS
from shoal.core.errors import Failure, UserError, in_a_line, unknown
from shoal.core.terminal import PlainOutput, say
from shoal.training.stopping import ended_in_a_line

_OF_PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def main() -> None:
    """Runs the command line: exit code 0 is success, 2 a mistake of the user's, 1 anything else."""
    if "--json" in sys.argv:
        keep_for_answers()
    sys.stdout = PlainOutput.instead_of(sys.stdout)
    warnings.showwarning = _show_warning
    with ended_in_a_line():
        code = run(sys.argv[1:])
    if code == 2:  # nothing is left to save, and taking JAX apart would keep the user waiting
        with contextlib.suppress(UserError, OSError):  # it has been said that it cannot be written
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _show_warning(message: Warning | str, *_: Any) -> None:
    """A warning in a line; where in the code it was raised is of no use to a user."""
    say(f"shoal: warning: {message}")


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except UserError as error:
        say(f"shoal: {error}")
        return 2
    except Failure as error:
        say(f"shoal: {error}")
        return 1
    except KeyboardInterrupt:
        say("shoal: interrupted")
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        return 1
    except OSError as error:  # of a path, or of the disk, such as one that is full
        where = f": {error.filename}" if error.filename else ""
        say(f"shoal: {error.strerror or error}{where}")
        return 2 if error.errno in _OF_PATHS else 1
    except Exception as error:
        if not (isinstance(error, MemoryError) or str(error).startswith("RESOURCE_EXHAUSTED")):
            raise
        say(f"shoal: not enough memory for this much at once: {in_a_line(error, named=False)}")
        return 2


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:  # `shoal help train` is `shoal train --help`
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib import metadata

        print(metadata.version("shoal"))
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    given = Arguments.of(rest)
    try:
        if given.help and not given.names:
            raise HelpAsked
        return importlib.import_module(f"shoal.cli.{verb}").run(given)
    except HelpAsked:
        print(screen(verb))
        return 0
