"""shoal info [NAME] [ENVIRONMENT]: an algorithm's fields and presets, an environment's spec, or the
values that a training of both would have."""

import dataclasses
import importlib
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import NOTHING, declared
from shoal.cli.help import rows
from shoal.cli.list import run as list_run
from shoal.cli.output import answer
from shoal.cli.parse import read
from shoal.cli.table import table
from shoal.core import addresses
from shoal.core.errors import unknown
from shoal.core.names import is_address
from shoal.runs.durable import Json

USAGE = "shoal info [NAME] [ENVIRONMENT] [--json]"
COLUMN = 48  # where meanings begin at most


@dataclass(frozen=True)
class Options:
    """Show what is known of an algorithm, an environment, or both together."""

    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Arguments) -> int:
    """Prints what is known of NAME; without one, how many presets each algorithm has."""
    names, options = read(arguments, ["[NAME]", "[ENVIRONMENT]"], Options, USAGE)
    if not names:
        return list_run(arguments._replace(names=["presets"]))
    name, *where = names
    if where:
        _together(registry.full_algorithm(name), registry.full_name(where[0]), options.json)
    elif name in registry.ALGORITHMS or (is_address(name) and _is_algorithm(name)):
        known = _algorithm_report(registry.full_algorithm(name))
        answer(known) if options.json else _algorithm(known)
    elif name in registry.ENVIRONMENTS:
        answer(_environment_report(name)) if options.json else _environment(name)
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


def _algorithm(known: Json) -> None:
    print(f"{known['name']}: {known['summary']}\n")
    if known["text"]:
        print(f"{known['text']}\n")
    print("hyper-parameters (--algo.FIELD VALUE):")
    _print_fields(known["fields"])
    if known["metrics"]:
        print("\nmetrics, in metrics.jsonl:")
        print("\n".join(rows(known["metrics"].items())))
    for preset, settings in known["presets"].items():
        print(f"\npreset '{preset}':")
        flat = {k: v for k, v in settings.items() if k != "algo"}
        flat |= {f"algo.{k}": v for k, v in settings.get("algo", {}).items()}
        for key, value in flat.items():
            print(f"  {_run_option(key):<30}{_short(value)}")


def _algorithm_report(name: str) -> Json:
    from shoal.training import presets

    entry, made = registry.find_algorithm(name), registry.make_algorithm(name)
    module = importlib.import_module(entry.imported().load().__module__)
    return {
        "name": name,
        "summary": entry.summary,
        "text": (module.__doc__ or "").strip(),  # the idea, the equation, the paper
        "fields": _fields(made, "--algo.", entry.target),
        "metrics": _metrics(name) if name in registry.ALGORITHMS else {},
        "presets": presets.tables(name),
    }


def _metrics(name: str) -> dict[str, str]:
    from shoal.training.metrics import EVERY_ROW, MEANINGS, logged

    return EVERY_ROW | {metric: MEANINGS[metric] for metric in logged(name)}


def _environment(name: str) -> None:
    from shoal.core.env import Env
    from shoal.core.teams import rival_teams
    from shoal.envs.host.world import HostWorld
    from shoal.training import presets

    env = registry.make(name)
    spec = env.spec
    print(f"{name}: {registry.ENVIRONMENTS[name].summary}\n\nfields (--env.FIELD VALUE):")
    _print_fields(_fields(env, "--env.", registry.ENVIRONMENTS[name].target))
    limit = f"no limit known, cut at {spec.horizon}" if spec.endless else str(spec.horizon)
    print(f"\nhorizon {limit}, global state of {spec.state_size} numbers, agents:")
    each = zip(spec.agents, spec.teams, spec.roles, spec.obs_sizes)
    agents = [[*map(str, row), spec.action.describe(i)] for i, row in enumerate(each)]
    print("\n".join(table([["name", "team", "role", "obs", "actions"], *agents], left=(0, 4))))
    print(f"metrics: {', '.join(f'{m} ({how})' for m, how in spec.metrics)}")
    if teams := rival_teams(spec):
        own = type(env).assess not in (Env.assess, HostWorld.assess)
        best = "by the environment's own measure, such as nash_conv" if own else "is the newest"
        print(f"rival teams: {', '.join(teams)}; returns are told by team, and `best` {best}")
    for algorithm in registry.ALGORITHMS:
        tables = presets.matching(algorithm, name, continuous=False)
        print(f"preset of {algorithm}: {' + '.join(tables) or 'none'}")


def _environment_report(name: str) -> Json:
    from shoal.core.teams import rival_teams
    from shoal.training import presets

    env, entry = registry.make(name), registry.ENVIRONMENTS[name]
    spec = env.spec
    keys = ("name", "team", "role", "observation", "actions")
    actions = [spec.action.describe(i) for i in range(len(spec.agents))]
    agents = zip(spec.agents, spec.teams, spec.roles, spec.obs_sizes, actions)
    return {
        "name": name,
        "summary": entry.summary,
        "fields": _fields(env, "--env.", entry.target),
        "horizon": None if spec.endless else spec.horizon,
        "global_state": spec.state_size,
        "agents": [dict(zip(keys, agent)) for agent in agents],
        "metrics": dict(spec.metrics),
        "rival_teams": list(rival_teams(spec)),
        "presets": {a: presets.matching(a, name, continuous=False) for a in registry.ALGORITHMS},
    }


def _together(algorithm: str, environment: str, as_json: bool) -> None:
    """The values that `shoal train ALGORITHM ENVIRONMENT` has, and where each is from."""
    registry.find_algorithm(algorithm)
    env = registry.make(environment)

    from shoal.core.spaces import Box
    from shoal.runs.fields import from_fields
    from shoal.training import presets
    from shoal.training.backend import backend_of

    continuous = isinstance(env.spec.action, Box)
    how = (algorithm, environment, continuous, "auto", backend_of(env).on_host)
    made = registry.make_algorithm(algorithm, **from_fields(presets.resolve(*how)["algo"]))
    made.check(env.spec)
    source: dict[str, str] = {}
    values: Json = {}
    for told, settings in presets.layers(*how):
        for name, value in settings.items():
            if name == "algo":
                source |= {f"--algo.{_dashes(field)}": told for field in value}
            else:
                values[_run_option(name)], source[_run_option(name)] = value, told
    values |= {option: value for option, _, value in _values(made, "--algo.")}
    of_env = {option: value for option, _, value in _values(env, "--env.")}
    values, source = values | of_env, source | dict.fromkeys(of_env, environment)
    settings = [
        {"option": option, "value": value, "from": source.get(option, "default")}
        for option, value in values.items()
    ]
    if as_json:
        answer({"algorithm": algorithm, "environment": environment, "settings": settings})
        return
    print(f"{algorithm} in {environment}, if nothing else is said:\n")
    lines = [[s["option"], textwrap.shorten(_short(s["value"]), 40), s["from"]] for s in settings]
    print("\n".join(table([["option", "value", "from"], *lines], left=(0, 2))))


def _fields(thing: Any, prefix: str, target: str) -> list[Json]:
    """What is known of each field, those of objects within included."""
    known = declared(target)
    return [
        {
            "option": option,
            "default": value,
            "values": known.get(name, NOTHING).values,
            "meaning": known.get(name, NOTHING).meaning,
        }
        for option, name, value in _values(thing, prefix)
    ]


def _values(thing: Any, prefix: str, within: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each field as an option, by its name, and what it is, as JSON has it."""
    for field in dataclasses.fields(thing):
        if not field.metadata.get("saved", True):
            continue
        name, value = f"{within}{field.name}", getattr(thing, field.name)
        if dataclasses.is_dataclass(value):
            yield from _values(value, prefix, f"{name}.")
        else:
            plain = value.tolist() if hasattr(value, "tolist") else value
            yield f"{prefix}{_dashes(name)}", name, plain


def _print_fields(fields: list[Json]) -> None:
    """A line or more a field: its option, its default, what it means and may be."""
    width = max((len(field["option"]) for field in fields), default=0)
    said = []
    for field in fields:
        kinds = f"({field['values']})" if field["values"] else ""
        meaning = f"{field['meaning']} {kinds}".strip()
        said.append((f"{field['option']:<{width}}  {_short(field['default'])}", meaning))
    print("\n".join(rows(said, COLUMN)))


def _run_option(name: str) -> str:
    """How a run's setting is given: `total_steps` as `--steps`."""
    return f"--{_dashes(name.removeprefix('total_'))}"


def _short(value: Any) -> str:
    """As it is typed: `64 64`, `0.0003`."""
    if isinstance(value, tuple | list) and not any(isinstance(x, tuple | list) for x in value):
        return " ".join(map(str, value)) or "none"
    return str(value)


def _dashes(name: str) -> str:
    return name.replace("_", "-")
