"""What the tables in `benchmarks/` say of algorithms and environments, row by row."""

import csv
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from generate.markdown import table
from shoal.registry import ALGORITHMS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
JAXMARL = ("SMAX", "Overcooked")  # what the suites' table calls worlds of JaxMARL


class Result(NamedTuple):
    """Seeds of one algorithm in one environment."""

    algorithm: str
    environment: str
    setting: str
    steps: int
    seeds: int
    score: str
    data: str  # the table in `benchmarks/`
    command: str


def of_algorithm(name: str) -> list[Result]:
    """The results of an algorithm, whichever of its names they bear."""
    target = ALGORITHMS[name].target
    return [r for r in results() if ALGORITHMS[r.algorithm].target == target]


def of_environment(name: str) -> list[Result]:
    """The results in an environment."""
    return [r for r in results() if r.environment == name]


def of_suite(suite: str) -> list[Result]:
    """The results in a suite's environments."""
    return [r for r in results() if r.environment.startswith(f"{suite}:")]


def shown(found: list[Result], but: str) -> str:
    """Results as a table without the column that they have in common, and how to make them."""
    columns = [c for c in ("algorithm", "environment", "setting") if c != but]
    rows = [
        [*(_linked(c, getattr(r, c)) for c in columns), f"{r.steps:,}", r.seeds, r.score, r.data]
        for r in found
    ]
    commands = dict.fromkeys(r.command for r in found)
    return (
        "Return per agent of the final parameters, likeliest actions: mean over seeds, with the "
        "lowest and the highest seed.\n\n"
        f"{table([*columns, 'steps', 'seeds', 'return', 'data'], rows)}\n\n"
        + "The rows are made by "
        + ", ".join(f"`{c}`" for c in commands)
        + "; the data lie in `benchmarks/`."
    )


def _linked(column: str, value: str) -> str:
    if column == "algorithm":
        return f"[{value}](/algorithms/{value}.md)"
    if column == "environment" and "/" in value:
        return f"[{value}](/environments/{value.replace('/', '-')}.md)"
    return f"`{value}`" if value else ""


@functools.cache
def results() -> tuple[Result, ...]:
    """All results of registered algorithms."""
    every = (*_particles(), *_seed_by_seed(), *_suites(), *_swarms(), *_distributed())
    return tuple(r for r in every if r.algorithm in ALGORITHMS)


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table."""
    with open(BENCHMARKS / name, newline="") as file:
        return list(csv.DictReader(file))


def _particles() -> Iterator[Result]:
    for data in ("learning/mpe.csv", "learning/spread_10m.csv"):
        for r in rows(data):
            found = json.loads(r["return_by_seed"])
            yield Result(
                r["algorithm"],
                r["environment"],
                f"{r['actions']} actions",
                int(r["steps"]),
                int(r["seeds"]),
                f"{float(r['return_mean']):.2f} [{min(found):.2f}, {max(found):.2f}]",
                data,
                "python benchmarks/learning.py",
            )


def _seed_by_seed() -> Iterator[Result]:
    for name in ("cooperative", "policy_gradients"):
        data = f"{name}/results.csv"
        for key, each in _grouped(data, "algorithm", "environment", "settings", "steps"):
            yield _of_seeds(*key, each, data, f"python benchmarks/{name}.py")


def _swarms() -> Iterator[Result]:
    data = "swarms/returns.csv"
    for key, each in _grouped(data, "policy", "environment", "num_agents", "steps"):
        name, world, robots, steps = key
        if steps:
            setting = f"{robots} robots, trained with {each[0]['trained_with']}"
            yield _of_seeds(name, world, setting, steps, each, data, "python benchmarks/swarms.py")


def _distributed() -> Iterator[Result]:
    data = "distributed/lag.csv"
    for key, each in _grouped(data, "algorithm", "environment", "lag", "steps"):
        name, world, lag, steps = key
        command = "python benchmarks/distributed.py"
        yield _of_seeds(name, world, f"{lag} updates behind", steps, each, data, command)
    for data in ("distributed/servers.csv", "distributed/workers.csv"):
        for key, each in _grouped(data, "algorithm", "environment", "options", "steps"):
            yield _of_seeds(*key, each, data, "python benchmarks/distributed.py")


def _suites() -> Iterator[Result]:
    data = "suites/learning.csv"
    for r in rows(data):
        made, found = json.loads(r["settings"]), json.loads(r["final_by_seed"])
        suite = "jaxmarl" if r["world"].startswith(JAXMARL) else "jumanji"
        metric = f", {r['metric']} {float(r['metric_final']):.2f}" if r["metric"] else ""
        yield Result(
            r["algorithm"],
            f"{suite}:{made['task']}",
            "" if made["settings"] == "{}" else made["settings"],
            int(r["steps"]),
            int(r["seeds"]),
            f"{float(r['final']):.2f} [{min(found):.2f}, {max(found):.2f}]{metric}",
            data,
            "python benchmarks/suites.py",
        )


def _grouped(data: str, *keys: str) -> Iterator[tuple[list[str], list[dict[str, str]]]]:
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for r in rows(data):
        found.setdefault(tuple(r[k] for k in keys), []).append(r)
    yield from ((list(key), each) for key, each in found.items())


def _of_seeds(
    algorithm: str, world: str, setting: str, steps: Any, each: list[Any], data: str, command: str
) -> Result:
    found = [float(r["return"]) for r in each]
    score = f"{mean(found):,.2f}"
    if len(found) > 1:
        score += f" [{min(found):,.2f}, {max(found):,.2f}]"
    return Result(algorithm, world, setting, int(steps), len(found), score, data, command)
