"""Code that a run's `config.json` names. Reading a run runs it, so that it is said first, and code
that came with the run is not run until somebody has said that it may."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.core.errors import UserError
from shoal.core.terminal import say
from shoal.runs.config import Config

_FILE = re.compile(r"(.+\.py):[A-Za-z_][\w.]*")
_MODULE = re.compile(r"((?!shoal\b)[A-Za-z_]\w*(?:\.\w+)*):[A-Za-z_][\w.]*")


def admit(config: Config, directory: Path, *, environment: bool, trust: bool) -> None:
    """Says on standard error whose code is about to be run.

    Args:
        config: of the run.
        directory: of the run.
        environment: whether the configuration's is made, not one that the user has given.
        trust: whether code in the run's own directory may be run.

    Raises:
        UserError: there is such code, and it may not.
    """
    named = [config.algorithm, config.algorithm_fields]
    named += [config.environment, config.environment_fields] if environment else []
    for place in dict.fromkeys(_places(named)):
        if place.endswith(".py") and not Path(place).is_file():
            continue  # there is nothing to run, as will be said
        if not trust and _came_with(directory, place):
            raise UserError(
                f"{directory / 'config.json'} wants code run that came with it, {place}: read it, "
                "then add --trust"
            )
        say(f"shoal: runs {place}, code that {directory / 'config.json'} names")


def _places(value: Any) -> Iterator[str]:
    """Files and modules of the addresses in a value, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for x in value:
            yield from _places(x)
    if not (isinstance(value, str) and registry.is_own_code(value)):
        return
    if found := _FILE.fullmatch(value) or _MODULE.fullmatch(value):
        yield found[1]


def _came_with(directory: Path, place: str) -> bool:
    """Whether a file, or a module that the folder would give, is in the run's directory."""
    home = Path(os.path.realpath(directory))
    if place.endswith(".py"):
        return home in Path(os.path.realpath(place)).parents
    root = place.partition(".")[0]
    return (home / root).exists() or (home / f"{root}.py").exists()
