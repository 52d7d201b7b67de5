"""shoal list KIND: the names of algorithms, environments, suites, games and presets that exist."""

import inspect
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.game_input import games
from shoal.cli.output import answer
from shoal.cli.parse import read
from shoal.cli.table import table
from shoal.core.errors import UserError, unknown
from shoal.training import presets

KINDS = ("algorithms", "environments", "suites", "games", "presets")
OF_SOMETHING = ("environments", "presets")  # of a suite, of an algorithm
USAGE = "shoal list algorithms|environments|suites|games|presets [SUITE|ALGORITHM] [--json]"


@dataclass(frozen=True)
class Options:
    """List what exists."""

    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Arguments) -> int:
    """Prints names, with a line on each."""
    (kind, *of), options = read(arguments, ["KIND", "[NAME]"], Options, USAGE)
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if of and kind not in OF_SOMETHING:
        raise UserError(f"'{of[0]}' is one word too many; usage: {USAGE}")
    found = _found(kind, *of)
    if options.json:
        answer({kind: list(found)})
        return 0
    if kind == "presets" and not of:
        counts = Counter(name.partition(" ")[0] for name in found)
        found = {k: f"{n} preset{'s' * (n > 1)}" for k, n in counts.items()}
    print("\n".join(table([*found.items()], left=(0, 1))))
    if kind == "presets" and not of:
        print("\none's presets: shoal list presets ALGORITHM; all of it: shoal info ALGORITHM")
    if kind == "environments" and not of:
        print(f"\nother libraries': shoal list environments {'|'.join(registry.SUITES)}")
    return 0


def _found(kind: str, name: str = "") -> dict[str, str]:
    """Names, and a line on each."""
    if kind == "algorithms":
        entries = registry.ALGORITHMS.items()
        return {k: f"{e.summary}{' (discrete actions)' * e.discrete}" for k, e in entries}
    if kind == "presets":
        return _presets(name)
    if kind == "games":
        return {game: _about_game(maker) for game, maker in games().items()}
    if kind == "environments" and name:
        if name not in registry.SUITES:
            raise unknown("suite", name, registry.SUITES)
        return {f"{name}:{world}": "" for world in _worlds(name)}
    entries = registry.SUITES if kind == "suites" else registry.ENVIRONMENTS
    return {k: entry.summary for k, entry in entries.items()}


def _presets(algorithm: str) -> dict[str, str]:
    """Every preset of an algorithm, or of all, and what it sets."""
    chosen = [algorithm] if algorithm else [*registry.ALGORITHMS]
    for each in chosen:
        registry.find("algorithm", each, registry.ALGORITHMS)
    return {
        name if algorithm else f"{each} {name}": ", ".join(
            [k for k in settings if k != "algo"] + [f"algo.{k}" for k in settings.get("algo", {})]
        )
        for each in chosen
        for name, settings in presets.tables(each).items()
    }


def _about_game(maker: Callable[..., Any]) -> str:
    """The first sentence on a game, and its arguments: `... [players=2]`."""
    sentence = re.split(r"[.:] |[.:]$", " ".join((maker.__doc__ or "").split()))[0]
    given = inspect.signature(maker).parameters.values()
    options = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in given]
    return f"{sentence} [{', '.join(options)}]" if options else sentence


def _worlds(suite: str) -> list[str]:
    """The names of a suite's environments. Raises `UserError` where it is not installed."""
    if registry.on_host(f"{suite}:"):
        from shoal.envs.host.names import names

        return names(suite)
    module, _, _ = registry.SUITES[suite].target.partition(":")
    return registry.load(f"{module}:names")()
