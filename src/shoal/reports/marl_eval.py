"""Evaluations in the JSON format of marl-eval (Gorsane et al. 2022, arXiv:2209.10485), for its
plots and tables: environment, task, algorithm, run, step, metric.

Each evaluation is one number, its mean over episodes. `absolute_metrics` holds the evaluation of
the final parameters, not of those that happened to score best.
"""

from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.reports.run_groups import RunGroup
from shoal.reports.trained_seeds import SeedRun
from shoal.runs.durable import Json


def marl_eval_json(groups: dict[str, list[RunGroup]]) -> Json:
    """The groups of `read_groups` as marl-eval reads them. Its names are in lower case and without
    commas, its runs are `seed_0`, `seed_1` and on, whichever seeds they were.

    Raises:
        UserError: groups with different numbers of seeds or evaluations, or other algorithms in
            another task of an environment: marl-eval can read none of these.
    """
    _check_even(groups)
    out: dict[str, Any] = {}
    for world, members in groups.items():
        environment, _, task = world.lower().rpartition("/")
        algorithms = {
            g.name.lower().replace(",", ""): {
                f"seed_{k}": _run(seed, _shared_metrics(groups, world))
                for k, seed in enumerate(g.seeds)
            }
            for g in members
        }
        out.setdefault(environment or "shoal", {})[task] = algorithms
    return out


def _run(seed: SeedRun, metrics: list[str]) -> Json:
    points = zip(seed.steps, seed.returns, strict=True)
    run: Json = {
        f"step_{k}": {"step_count": int(step), "return": [float(value)]}
        for k, (step, value) in enumerate(points)
    }
    for k, row in enumerate(seed.evaluations):
        run[f"step_{k}"] |= {name: [float(row[name])] for name in metrics}
    last = {name: [float(seed.metrics[name])] for name in metrics}
    return run | {"absolute_metrics": {"return": [float(seed.score)], **last}}


def _shared_metrics(groups: dict[str, list[RunGroup]], world: str) -> list[str]:
    """The metrics that every evaluation of every task of this environment has: others would stop
    marl-eval."""
    family = world.rpartition("/")[0]
    rows = [
        row
        for other, members in groups.items()
        if other.rpartition("/")[0] == family
        for g in members
        for s in g.seeds
        for row in s.evaluations
    ]
    return [name for name in rows[0] if all(name in row for row in rows)]


def _check_even(groups: dict[str, list[RunGroup]]) -> None:
    everyone = [g for members in groups.values() for g in members]
    seeds = {len(g.seeds) for g in everyone}
    points = {len(s.steps) for g in everyone for s in g.seeds}
    finite = all(np.isfinite(s.returns).all() for g in everyone for s in g.seeds)
    names = {world: {g.name for g in members} for world, members in groups.items()}
    require(len(seeds) == 1, f"marl-eval needs as many seeds in each group; here are {_and(seeds)}")
    require(len(points) == 1, f"marl-eval needs as many evaluations in each; here {_and(points)}")
    require(finite, "marl-eval cannot read an evaluation that is not a finite number")
    for world, found in names.items():
        first = next(w for w in names if w.rpartition("/")[0] == world.rpartition("/")[0])
        missing = sorted(names[first] ^ found)
        require(
            not missing,
            f"marl-eval needs the same algorithms in {first} and {world}: not in both is "
            + ", ".join(missing),
        )


def _and(counts: set[int]) -> str:
    return " and ".join(map(str, sorted(counts)))
