"""What a reader of a comparison must know lest he read too much into it."""

import math

import numpy as np

from shoal.core.names import heading
from shoal.math.statistics import ENOUGH_SEEDS
from shoal.reports.run_groups import RunGroup, stack_worlds
from shoal.reports.trained_seeds import SeedRun, differing

COVERED = {2: 50, 3: 75, 4: 80, 5: 83, 6: 86, 7: 88, 8: 89, 9: 89}
"""How often, in percent, a 95 % bootstrap interval of the mean of so few normal scores holds the
truth."""


def notes(groups: dict[str, list[RunGroup]], found: list[str]) -> list[str]:
    """Sentences: those that were `found` already, then on seeds, steps, worlds and clocks."""
    everyone = [s for members in groups.values() for g in members for s in g.seeds]
    fewest = min(len(g.seeds) for members in groups.values() for g in members)
    out = [*found, *([_few(fewest)] if fewest < ENOUGH_SEEDS else [])]
    for world, members in groups.items():
        out += _of_world(world, members)
    return out + _over_worlds(groups) + _clocks(everyone)


def _few(seeds: int) -> str:
    if seeds == 1:
        return "a group has one seed: its score says nothing of how another seed would fare"
    return (
        f"a group has {seeds} seeds: means have Student's t intervals, and the other intervals, "
        f"bootstraps, hold the truth about {COVERED[seeds]} % of the time, not 95 %; "
        f"{ENOUGH_SEEDS} seeds are advised"
    )


def _of_world(world: str, groups: list[RunGroup]) -> list[str]:
    called = heading(world)
    scores = np.concatenate([g.scores for g in groups])
    steps = {float(s.steps[-1]) for g in groups for s in g.seeds}
    out = []
    if np.allclose(scores, 0, atol=1e-6):
        out.append(f"in {called} agents' returns cancel out: look at the returns of single agents")
    if max(steps) > 1.01 * min(steps):
        said = " and ".join(f"{math.floor(s):,}" for s in sorted(steps))
        out.append(f"in {called} scores are of different steps, for updates differ in size: {said}")
    return out


def _over_worlds(groups: dict[str, list[RunGroup]]) -> list[str]:
    """Groups that cannot be averaged over worlds, or were set up otherwise in each."""
    names = dict.fromkeys(g.name for members in groups.values() for g in members)
    if len(groups) == 1:
        return []
    left = [name for name in names if stack_worlds(groups, name, {}) is None]
    changed: dict[str, list[str]] = {}
    for name in names:
        mine = [g.seeds[0].settings for m in groups.values() for g in m if g.name == name]
        keys = ", ".join(key for key in differing(mine) if not key.startswith("env."))
        changed.setdefault(keys, []).append(name)
    changed.pop("", None)
    why = "no seeds in some world, or not as many in each"
    return [
        *([f"left out over worlds, with {why}: {', '.join(left)}"] if left else []),
        *(f"set up otherwise in each world ({k}): {', '.join(v)}" for k, v in changed.items()),
    ]


def _clocks(seeds: list[SeedRun]) -> list[str]:
    """Seconds can be compared where machines and the work done at once are alike."""
    machines = {str((s.config.get("hardware") or {}).get("device")) for s in seeds}
    together = {sum(other.run == s.run for other in seeds) for s in seeds}
    out = []
    if len(machines) > 1:
        out.append(f"seconds are of different machines: {', '.join(sorted(machines))}")
    if len(together) > 1:
        out.append("runs trained different numbers of seeds at once: do not compare their seconds")
    return out
