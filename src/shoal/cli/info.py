"""shoal info NAME: an algorithm's fields and presets, or an environment's spec."""

import dataclasses
from typing import Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.parse import take_all
from shoal.cli.table import table
from shoal.core import addresses
from shoal.core.errors import unknown
from shoal.core.names import is_address


def run(arguments: Arguments) -> int:
    """Prints what is known of NAME."""
    (name,) = take_all(arguments, ["NAME"], "shoal info NAME")
    if name in registry.ALGORITHMS or (is_address(name) and _is_algorithm(name)):
        _algorithm(registry.full_algorithm(name))
    elif name in registry.ENVIRONMENTS:
        _environment(name)
    else:
        raise unknown("name", name, [*registry.ALGORITHMS, *registry.ENVIRONMENTS])
    return 0


def _is_algorithm(name: str) -> bool:
    """Whether an address, which may be an environment's, is that of an algorithm's class."""
    suite, _, _ = name.partition(":")
    if suite in registry.SUITES:
        return False
    from shoal.core.algorithm import Algorithm

    found = addresses.find(registry.full_name(name))
    return isinstance(found, type) and issubclass(found, Algorithm)


def _algorithm(name: str) -> None:
    from shoal.training import presets

    print(f"{name}: {registry.find_algorithm(name).summary}\n\nhyper-parameters (--algo.FIELD):")
    _fields(registry.make_algorithm(name))
    for preset, settings in presets.tables(name).items():
        print(f"\npreset '{preset}':")
        _settings(settings)
    if name in registry.ALGORITHMS:
        _metrics(name)


def _metrics(name: str) -> None:
    from shoal.training.metrics import EVERY_ROW, MEANINGS, logged

    print("\nmetrics, in metrics.jsonl:")
    for metric, meaning in (EVERY_ROW | {m: MEANINGS[m] for m in logged(name)}).items():
        print(f"  {metric:<34}{meaning}")


def _environment(name: str) -> None:
    from shoal.core.env import Env
    from shoal.core.teams import rival_teams
    from shoal.envs.host.world import HostWorld
    from shoal.training import presets

    env = registry.make(name)
    spec = env.spec
    print(f"{name}: {registry.ENVIRONMENTS[name].summary}\n\nfields (--env.FIELD):")
    _fields(env)
    limit = f"no limit known, cut at {spec.horizon}" if spec.endless else str(spec.horizon)
    print(f"\nhorizon {limit}, global state of {spec.state_size} numbers, agents:")
    rows = zip(spec.agents, spec.teams, spec.roles, spec.obs_sizes)
    agents = [[*map(str, row), spec.action.describe(i)] for i, row in enumerate(rows)]
    print("\n".join(table([["name", "team", "role", "obs", "actions"], *agents], left=(0, 4))))
    print(f"metrics: {', '.join(f'{m} ({how})' for m, how in spec.metrics)}")
    if teams := rival_teams(spec):
        own = type(env).assess not in (Env.assess, HostWorld.assess)
        best = "by the environment's own measure, such as nash_conv" if own else "is the newest"
        print(f"rival teams: {', '.join(teams)}; returns are told by team, and `best` {best}")
    for algorithm in registry.ALGORITHMS:
        tables = presets.matching(algorithm, name, continuous=False)
        print(f"preset of {algorithm}: {' + '.join(tables) or 'none'}")


def _fields(thing: Any) -> None:
    for field in dataclasses.fields(thing):
        if not field.metadata.get("saved", True):
            continue
        value = getattr(thing, field.name)
        print(f"  {field.name:<24}{value.tolist() if hasattr(value, 'tolist') else value!r}")


def _settings(settings: dict[str, Any]) -> None:
    flat = {k: v for k, v in settings.items() if k != "algo"}
    flat |= {f"algo.{k}": v for k, v in settings.get("algo", {}).items()}
    for key, value in flat.items():
        print(f"  {key:<28}{value!r}")
