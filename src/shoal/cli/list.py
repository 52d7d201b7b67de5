"""shoal list algorithms|environments: the names that exist."""

from dataclasses import dataclass

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.output import answer
from shoal.cli.parse import read
from shoal.core.errors import unknown

KINDS = {"algorithms": registry.ALGORITHMS, "environments": registry.ENVIRONMENTS}


@dataclass(frozen=True)
class Options:
    """List what exists."""

    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Arguments) -> int:
    """Prints names, with a line on each."""
    names = "algorithms|environments"
    (kind,), options = read(arguments, [names], Options, f"shoal list {names}")
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    entries = KINDS[kind]
    if options.json:
        answer({kind: list(entries)})
        return 0
    width = max(map(len, entries))
    for name, entry in entries.items():
        print(f"{name:<{width}}  {entry.summary}{' (discrete actions)' * entry.discrete}")
    return 0
