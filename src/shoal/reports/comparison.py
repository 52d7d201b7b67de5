"""Algorithms side by side: aggregate scores with intervals, who beats whom and how surely,
performance profiles and curves (Agarwal et al. 2021, arXiv:2108.13264; for several agents Gorsane
et al. 2022, arXiv:2209.10485). Everything here is plain JSON: what prints it decides nothing.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from shoal.core.errors import unknown
from shoal.core.names import heading
from shoal.math import statistics
from shoal.reports.comparison_notes import notes
from shoal.reports.reference import (
    NoReference,
    ReferenceScores,
    observed_reference,
    scripted_reference,
)
from shoal.reports.run_groups import RunGroup, read_groups, stack_worlds
from shoal.reports.trained_seeds import differing
from shoal.runs.durable import Json, to_json

THRESHOLDS = 101  # points of a performance profile
Scores = Float[np.ndarray, "W _"]  # groups may have different numbers of seeds


class WorldReference(NamedTuple):
    """A world's reference, or why it has none."""

    reference: ReferenceScores | None
    why: str = ""


def compare(
    runs: Sequence[Path | str], *, reference: str = "scripted", at_steps: int | None = None
) -> Json:
    """Compares finished runs: see `read_groups` and `compare_groups`.

    Args:
        runs: their directories, each seed of which counts.
        reference: what scores are measured by, as for `compare_groups`.
        at_steps: compares evaluations at so many environment steps; final ones if not given.

    Returns:
        What `shoal compare --json` prints.

    Raises:
        UserError: a directory holds no finished run, or there is no such reference.
    """
    groups = read_groups([Path(run) for run in runs], at_steps=at_steps)
    return compare_groups(groups, reference=reference)


def compare_groups(groups: dict[str, list[RunGroup]], *, reference: str = "scripted") -> Json:
    """The comparison of `read_groups`' groups.

    Args:
        groups: by world.
        reference: `scripted` (random play 0, the scripted controller 1, where a world has one),
            `observed` (lowest and highest seed), or `none`.

    Returns:
        `worlds` (one table a world, in units of return), `aggregate` (over worlds, for what was
        run in all of them; `None` of one world), `runs` and `notes`, as `docs/guides/compare.md`
        lists them. Intervals are of 95 % over seeds: bootstraps, but of a mean in one world of
        fewer than ten seeds Student's t. They are `None` where there is one seed.
    """
    measured = {world: _measure(g, reference) for world, g in groups.items()}
    names = list(dict.fromkeys(g.name for world in groups.values() for g in world))
    out = {
        "environment": next(iter(groups)) if len(groups) == 1 else None,
        "worlds": [_world(w, g, measured[w]) for w, g in groups.items()],
        "aggregate": _aggregate(groups, names, measured) if len(groups) > 1 else None,
        "runs": _runs(groups),
        "notes": notes(groups, [m.why for m in measured.values() if m.why]),
    }
    return to_json(out)


def _measure(groups: list[RunGroup], kind: str) -> WorldReference:
    first = groups[0].seeds[0]
    ways: dict[str, Callable[[], ReferenceScores]] = {
        "scripted": lambda: scripted_reference(first.world, first.config["environment_fields"]),
        "observed": lambda: observed_reference([x for g in groups for x in g.scores.tolist()]),
    }
    if kind == "none":
        return WorldReference(None)
    if kind not in ways:
        raise unknown("reference", kind, [*ways, "none"])
    try:
        return WorldReference(ways[kind]())
    except NoReference as reason:
        return WorldReference(None, f"{heading(first.world)} has no {kind} reference: {reason}")


# One world ------------------------------------------------------------------------------------


def _world(world: str, groups: list[RunGroup], measured: WorldReference) -> Json:
    ordered = sorted(groups, key=lambda g: -float(statistics.iqm(g.scores)))
    scores = {g.name: g.scores[None] for g in ordered}
    thresholds = _thresholds(list(scores.values()))
    shown = _differing(ordered)
    rows = [_group(g, thresholds, measured.reference, shown) for g in ordered]
    yard = measured.reference
    return {
        "environment": world,
        "reference": yard and {**yard._asdict(), "text": yard.text},
        "groups": rows,
        "improvement": _improvement(scores),
        "thresholds": thresholds,
    }


def _group(
    group: RunGroup, thresholds: Any, reference: ReferenceScores | None, shown: list[str]
) -> Json:
    x, first = group.scores[None], group.seeds[0]
    return {
        "name": group.name,
        "algorithm": first.algorithm,
        "runs": [str(run) for run in group.runs],
        "seeds": len(group.seeds),
        "scores": group.scores,
        "steps": max(s.steps[-1] for s in group.seeds),
        "return": _aggregates(x),
        "optimality_gap": reference and _estimate(statistics.optimality_gap, reference(x)),
        "metrics": _metrics(group),
        "settings": {name: first.settings.get(name) for name in shown},
        "curve": _curve(group),
        "profile": _profile(x, thresholds),
    }


def _estimate(statistic: statistics.Statistic, x: Float[np.ndarray, "*W _"]) -> Json:
    low = high = None
    if x.shape[-1] > 1:
        of_one = statistic is statistics.mean and x.shape[-2] == 1
        low, high = (
            statistics.mean_interval(x[..., 0, :])
            if of_one
            else statistics.stratified_interval(statistic, x)
        )
    return {"value": statistic(x), "low": low, "high": high}


def _aggregates(x: Scores) -> Json:
    return {name: _estimate(f, x) for name, f in statistics.AGGREGATES.items()}


def _metrics(group: RunGroup) -> Json:
    """What the world measures besides the return, where every seed has it; and the returns of
    single agents, which a run keeps of its end and of all its seeds together."""
    names = [n for n in group.seeds[0].metrics if all(n in s.metrics for s in group.seeds)]
    out = {
        name: _estimate(statistics.mean, np.array([[s.metrics[name] for s in group.seeds]]))
        for name in names
    }
    return out | {f"return/{agent}": value for agent, value in group.agent_returns().items()}


def _curve(group: RunGroup) -> Json:
    """The interquartile mean of the evaluations that all seeds have, by steps and by seconds."""
    common = sorted(set.intersection(*(set(s.steps.tolist()) for s in group.seeds)))
    at = [np.isin(s.steps, common) for s in group.seeds]
    returns = np.stack([s.returns[i] for s, i in zip(group.seeds, at)], -1)[:, None]  # [P, 1, U]
    seconds = np.mean([s.seconds[i] for s, i in zip(group.seeds, at)], 0)
    none = {"value": [], "low": [], "high": []}
    estimate = _estimate(statistics.pooled_iqm, returns) if common else none
    return {"steps": common, "seconds": seconds, "iqm": estimate.pop("value"), **estimate}


def _thresholds(scores: Sequence[Scores]) -> Float[np.ndarray, "T"]:
    low, high = min(x.min() for x in scores), max(x.max() for x in scores)
    margin = (high - low) * 0.02 or 1.0
    return np.linspace(low - margin, high + margin, THRESHOLDS)


def _profile(x: Scores, thresholds: Float[np.ndarray, "T"]) -> Json:
    low, high = statistics.profile_interval(x, thresholds) if x.shape[1] > 1 else (None, None)
    return {"value": statistics.performance_profile(x, thresholds), "low": low, "high": high}


def _improvement(scores: dict[str, Scores]) -> list[Json]:
    """Every pair once, the one that stands higher in the table first."""
    out = []
    for (a, x), (b, y) in combinations(scores.items(), 2):
        value = statistics.probability_of_improvement(x, y)
        sure = min(x.shape[1], y.shape[1]) > 1
        low, high = statistics.improvement_interval(x, y) if sure else (None, None)
        out.append({"name": a, "over": b, "value": value, "low": low, "high": high})
    return out


# Several worlds -------------------------------------------------------------------------------


def _aggregate(
    groups: dict[str, list[RunGroup]], names: list[str], measured: dict[str, WorldReference]
) -> Json | None:
    """Over worlds, of the groups that have the same number of seeds in each. Who beats whom needs
    no common scale; scores are averaged by references that every world has, or not at all."""
    raw = {n: x for n in names if (x := stack_worlds(groups, n, {})) is not None}
    if len(raw) < 2:
        return None
    yards = {w: m.reference for w, m in measured.items() if m.reference}
    if len(yards) < len(groups):
        return {"groups": [], "thresholds": None, "improvement": _improvement(raw)}
    scores = {n: x for n in raw if (x := stack_worlds(groups, n, yards)) is not None}
    scores = dict(sorted(scores.items(), key=lambda item: -float(statistics.pooled_iqm(item[1]))))
    thresholds = _thresholds(list(scores.values()))
    rows = [
        {
            "name": name,
            "seeds": x.shape[1],
            "scores": x.ravel(),
            "score": _aggregates(x),
            "optimality_gap": _estimate(statistics.optimality_gap, x),
            "profile": _profile(x, thresholds),
        }
        for name, x in scores.items()
    ]
    improvement = _improvement({name: raw[name] for name in scores})
    return {"groups": rows, "thresholds": thresholds, "improvement": improvement}


# What was compared ---------------------------------------------------------------------------


def _runs(groups: dict[str, list[RunGroup]]) -> list[Json]:
    """The run directories, with the group that each of their seeds is in."""
    out: dict[str, Json] = {}
    for world, members in groups.items():
        shown = _differing(members)
        for group in members:
            for run in group.runs:
                mine = [s for s in group.seeds if s.run == run]
                entry = out.setdefault(
                    str(run),
                    {
                        "directory": str(run),
                        "algorithm": mine[0].algorithm,
                        "environment": world,
                        "seeds": 0,
                        "groups": [],
                        "settings": {name: mine[0].settings.get(name) for name in shown},
                    },
                )
                entry["seeds"] += len(mine)
                entry["groups"].append(group.name)
    return list(out.values())


def _differing(groups: list[RunGroup]) -> list[str]:
    return differing([g.seeds[0].settings for g in groups])
