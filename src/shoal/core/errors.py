"""What goes wrong, in one line each: mistakes of the user's with the nearest name, and failures."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake that the user can mend. The command line prints it and exits with 2."""


class Failure(RuntimeError):
    """What stopped the work and is no mistake in a command. The command line prints it and exits
    with 1."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"choose one of: {', '.join(names)}"
    return UserError(f"unknown {kind} '{name}': {hint}")


def require(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
