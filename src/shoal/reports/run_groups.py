"""Trained seeds grouped by what was trained: an algorithm with its settings, in a world. Whatever
would make a comparison unfair is refused here, with its name.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from shoal.core.errors import UserError, require
from shoal.reports.trained_seeds import SeedRun, differing, read_seeds
from shoal.runs.durable import Json
from shoal.runs.evaluation_file import read_evaluation
from shoal.runs.run_directory import RunDirectory

LONGEST_NAME = 3  # settings in a group's name; with more, groups are numbered


class RunGroup(NamedTuple):
    """The seeds of one algorithm with one choice of settings in one world."""

    name: str
    seeds: list[SeedRun]

    @property
    def scores(self) -> Float[np.ndarray, "U"]:
        return np.array([s.score for s in self.seeds])

    @property
    def runs(self) -> list[Path]:
        """The run directories that the seeds come from, each once."""
        return list(dict.fromkeys(s.run for s in self.seeds))

    def agent_returns(self) -> Json:
        """Each agent's return as `value`, `low` and `high`; none unless the group is all of one
        run, at its end: a run keeps them summarised."""
        first, several = self.seeds[0], len(self.seeds) > 1
        config, path = first.config, first.run / "eval.json"
        ended = first.steps[-1] >= config["total_steps"]
        if len(self.runs) > 1 or config.get("sweep") or not ended or not path.is_file():
            return {}
        return {
            name.removeprefix("return/"): {
                "value": found["mean"],
                "low": found["low"] if several else None,
                "high": found["high"] if several else None,
            }
            for name, found in read_evaluation(path)["metrics"].items()
            if name.startswith("return/")
        }


def read_groups(runs: Sequence[Path], *, at_steps: int | None = None) -> dict[str, list[RunGroup]]:
    """Groups of seeds by world, in the order of `runs`.

    Args:
        runs: run directories; one may hold several seeds, or a sweep.
        at_steps: cut every run at this many environment steps. A score is then the last evaluation
            within them (training moves in whole updates: the update that reaches them counts).

    Raises:
        UserError: a run that is not there, has not finished or has no evaluation in time; runs of
            one world whose environment fields or step counts differ; a seed that is there twice.
    """
    require(at_steps is None or at_steps >= 1, f"--at-steps is {at_steps}, expected at least 1")
    seeds = [seed for run in _each_once(runs) for seed in read_seeds(run, at_steps)]
    worlds = list(dict.fromkeys(s.world for s in seeds))
    by_world = {w: [s for s in seeds if s.world == w] for w in worlds}
    for world, members in by_world.items():
        _check_fields(world, members)
        if at_steps is None:
            _check_steps(world, members)
    splits = _splits(by_world.values())
    names = _names(seeds, splits)
    out: dict[str, list[RunGroup]] = {}
    for world, members in by_world.items():
        grouped: dict[str, list[SeedRun]] = {}
        for s in members:
            grouped.setdefault(names[_key(s, splits)], []).append(s)
        for group in grouped.values():
            _check_twice(group)
        out[world] = [RunGroup(name, group) for name, group in grouped.items()]
    return out


def check_worlds(runs: Sequence[Path]) -> None:
    """Raises `UserError` where each run is alone in its world, so that none can be compared."""
    configs = [(run, RunDirectory.open(run).read_config()) for run in runs]
    worlds = [config.get("environment") for _, config in configs]
    alone = len(set(worlds)) == len(worlds) > 1 and not any(c.get("sweep") for _, c in configs)
    require(
        not alone,
        "runs of different worlds cannot be compared, unless two of them share one: "
        + ", ".join(f"{run} is of {world}" for (run, _), world in zip(configs, worlds)),
    )


def stack_worlds(
    groups: dict[str, list[RunGroup]],
    name: str,
    yards: Mapping[str, Callable[[np.ndarray], np.ndarray]],
) -> Float[np.ndarray, "W U"] | None:
    """A group's scores in all worlds, in the units of `yards`, or `None` where it lacks a world or
    its worlds have different numbers of seeds."""
    found = [
        yards[world](g.scores) if world in yards else g.scores
        for world, members in groups.items()
        for g in members
        if g.name == name
    ]
    whole = len(found) == len(groups) and len({len(x) for x in found}) == 1
    return np.stack(found) if whole else None


# Fairness -------------------------------------------------------------------------------------


def _each_once(runs: Sequence[Path]) -> list[Path]:
    places = [os.path.realpath(run) for run in runs]  # also of links in a circle
    twice = [str(run) for run, place in zip(runs, places) if places.count(place) > 1]
    require(not twice, f"the same run is there twice: {', '.join(twice)}")
    return list(runs)


def _check_fields(world: str, seeds: list[SeedRun]) -> None:
    """Other physics or other rewards are another world, whatever its name is."""
    fields = [s.config["environment_fields"] for s in seeds]
    names = differing(fields)
    if names:
        values = {n: list(dict.fromkeys(str(f.get(n)) for f in fields)) for n in names}
        said = "; ".join(f"env.{n} is {' or '.join(v)}" for n, v in values.items())
        raise UserError(f"runs of {world} with different fields cannot be compared: {said}")


def _check_steps(world: str, seeds: list[SeedRun]) -> None:
    counts = sorted({s.config["total_steps"] for s in seeds})
    require(
        len(counts) == 1,
        f"runs of {world} made different numbers of steps ({', '.join(f'{c:,}' for c in counts)}): "
        f"cut all curves at N with --at-steps N, such as --at-steps {counts[0]}",
    )


def _check_twice(group: list[SeedRun]) -> None:
    """A seed that is counted twice is no evidence, and narrows every interval."""
    known: dict[int, Path] = {}
    for s in group:
        if s.seed in known:
            raise UserError(
                f"{known[s.seed]} and {s.run} both hold seed {s.seed} of {s.algorithm} with the "
                "same settings: leave one out, or train it with another --seed"
            )
        known[s.seed] = s.run


# Names ----------------------------------------------------------------------------------------


def _splits(worlds: Iterable[list[SeedRun]]) -> dict[str, list[str]]:
    """By algorithm, the settings in which its seeds differ within some world. What differs between
    worlds only, as presets do, does not split."""
    out: dict[str, set[str]] = {}
    for seeds in worlds:
        for name in {s.algorithm for s in seeds}:
            same = [s.settings for s in seeds if s.algorithm == name]
            out.setdefault(name, set()).update(differing(same))
    return {name: sorted(keys) for name, keys in out.items()}


def _key(seed: SeedRun, splits: dict[str, list[str]]) -> tuple[str, ...]:
    values = (f"{name.split('.')[-1]} {seed.settings.get(name)}" for name in splits[seed.algorithm])
    return (seed.algorithm, *values)


def _names(seeds: list[SeedRun], splits: dict[str, list[str]]) -> dict[tuple[str, ...], str]:
    """`ippo`, or `ippo, clip 0.1`; `ippo 1` where that would name many settings."""
    keys = list(dict.fromkeys(_key(s, splits) for s in seeds))
    out = {}
    for key in keys:
        number = [k for k in keys if k[0] == key[0]].index(key) + 1
        out[key] = ", ".join(key) if len(key) <= LONGEST_NAME + 1 else f"{key[0]} {number}"
    return out
