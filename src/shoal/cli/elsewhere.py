"""`--env.FIELD VALUE` of verbs that play a run's policy: its environment with another number."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import check_options
from shoal.cli.parse import parse
from shoal.core.errors import UserError
from shoal.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from shoal.training.run import Run

PREFIX = "--env."


@dataclass(frozen=True)
class Fields:
    """What parses `--env.FIELD VALUE`: an environment's own values are the defaults."""

    env: Any


def split(arguments: Arguments) -> tuple[Arguments, Arguments]:
    """The fields of an environment, and all else."""
    own = [option for option in arguments.options if option.word.startswith(PREFIX)]
    rest = [option for option in arguments.options if option not in own]
    return Arguments([], own), arguments._replace(options=rest)


def check_fields(directory: str, own: Arguments) -> None:
    """Raises `UserError` for a field that the run's environment does not have, or what it cannot
    be."""
    if not own.options:
        return
    name = RunDirectory.open(Path(directory)).read_config()["environment"]
    if name not in registry.ENVIRONMENTS:
        raise UserError(f"the run's environment, {name}, was an object: leave out {PREFIX}*")
    check_options(own, {PREFIX: registry.find("environment", name, registry.ENVIRONMENTS).target})


def elsewhere(run: "Run", own: Arguments) -> tuple["Run", str]:
    """The run in its environment with those fields, and how to say it: ` (num_agents 80)`."""
    if not own.options:
        return run, ""
    env = parse(Fields(run.env), own, "shoal eval DIR").env
    fields = (f"{option.field} {' '.join(option.values)}" for option in own.options)
    return run.elsewhere(env), f" ({', '.join(fields)})"


def in_a_name(where: str) -> str:
    """That as a part of a file's name, `_num_agents_80`, so that what is made elsewhere does not
    replace what shows the run at home."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", where).rstrip("_")[:60]
