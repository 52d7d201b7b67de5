"""Calls to constructors of other libraries' environments: with settings that they take.

A setting that does not exist, or a package that is missing, becomes one line.
"""

import contextlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from shoal.core.errors import UserError, in_a_line, not_installed
from shoal.envs.settings import not_taken

DRAWN = {"render_mode": "rgb_array"}


def settings_of(
    name: str, creator: Any, settings: dict[str, Any], own: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The settings, checked against what the constructor takes, so far as it says; the mode that
    draws into arrays only where the world has it."""
    known, is_open = _parameters(creator)
    for setting in settings:
        if not is_open and setting not in (*known, *own, "render_mode"):
            raise _no_setting(name, setting, [*known, *own])
    modes = getattr(creator, "metadata", None)
    drawn = not isinstance(modes, dict) or "rgb_array" in (modes.get("render_modes") or ())
    takes_mode = is_open or "render_mode" in known
    left_out = {} if drawn and takes_mode else DRAWN
    return {key: value for key, value in settings.items() if left_out.get(key) != value}


def call(name: str, creator: Any, make: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Makes the world; a setting that an open constructor passed on in vain is one line."""
    try:
        return make(**given)
    except TypeError as error:
        odd = not_taken(error)
        if odd is None:
            raise
        if odd == "render_mode" and given.get("render_mode") == DRAWN["render_mode"]:
            rest = {key: value for key, value in given.items() if key != "render_mode"}
            return call(name, creator, make, rest)
        raise _no_setting(name, odd, _parameters(creator)[0]) from error


def _parameters(creator: Any) -> tuple[list[str], bool]:
    """The names that a constructor takes, and whether it takes any other."""
    try:
        each = inspect.signature(creator).parameters.values()
    except (TypeError, ValueError):
        return [], True
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    is_open = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in each)
    return [p.name for p in each if p.kind not in several and p.name != "self"], is_open


def _no_setting(name: str, setting: str, known: list[str]) -> UserError:
    named = [each for each in known if each != "render_mode"]
    takes = f": it takes {', '.join(named)}" if named else ""
    return UserError(f"{name} has no setting '{setting}'{takes}")


@contextlib.contextmanager
def needs(name: str, family: str, extra: str = "") -> Iterator[None]:
    """A package that a world itself needs and that is missing becomes one line."""
    try:
        yield
    except ImportError as error:
        why = in_a_line(error, named=False, whole=True)
        what = f"{name} needs {error.name}" if error.name else f"{name}: {why}"
        if family:
            extra = "shoal[mpe2]" if family == "mpe2" else f"pettingzoo[{family}]"
        raise UserError(f"{what}: pip install '{extra}'" if extra else what) from error


def require_package(package: str, label: str, extra: str) -> None:
    """Raises `UserError` with the install command where a suite's package is missing."""
    if importlib.util.find_spec(package) is None:
        raise not_installed(label, extra)
