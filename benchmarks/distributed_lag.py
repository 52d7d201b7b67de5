"""What lag costs, and what V-trace saves: compiled, where the lag of every sample is exact.

IMPALA, and A2C with IMPALA's settings, whose values are computed anew when it learns, as IMPALA's
are: what differs is V-trace alone, and without lag they are the same.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rows
from distributed_runs import EPISODES, append, has
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import shoal
from shoal.agents.policy_gradient.a2c import a2c
from shoal.agents.policy_gradient.impala import impala
from shoal.agents.stale import Stale
from shoal.core.axes import ruled
from shoal.core.colors import INK, PALETTE, PAPER, SOFT
from shoal.core.names import heading
from shoal.math.statistics import summary
from shoal.training import presets
from shoal.training.devices import prepare
from shoal.training.run import evaluate_run

LAGS, SEEDS = (0, 1, 4, 16, 32), 5
WORLDS = {"mpe/simple_spread": 1_000_000, "gymnax:CartPole-v1": 500_000}
KEY = ("algorithm", "environment", "lag", "steps", "seed")
COLUMNS = (*KEY, "num_envs", "unroll", "return", "kl", "seconds")
NAMES = {"impala": "with V-trace (IMPALA)", "a2c": "without V-trace (A2C)"}


class Case(NamedTuple):
    """What is trained."""

    algorithm: str
    environment: str
    lag: int
    steps: int


def fill(options: argparse.Namespace) -> None:
    """Trains what the table lacks, the seeds of a case in one program, and draws."""
    prepare()
    table, seeds = options.folder / "lag.csv", options.seeds or SEEDS
    for lag in LAGS:
        for environment, steps in WORLDS.items():
            for algorithm in NAMES:
                case = Case(algorithm, environment, lag, options.steps or steps)
                if not has(table, KEY, (*case, seeds - 1)):
                    for row in _train(case, seeds):
                        if not has(table, KEY, (row[name] for name in KEY)):
                            append(table, COLUMNS, row)
    draw(options)


def _train(case: Case, seeds: int) -> list[dict[str, Any]]:
    """A row a seed: the greedy return of the final parameters."""
    world = shoal.make(case.environment)
    preset = presets.resolve("impala", world.spec.name, False, "auto", False)
    shared = {"gae_lambda": impala().gae_lambda} | preset.pop("algo")
    algorithm = impala(**shared)
    if case.algorithm == "a2c":
        algorithm = a2c(**shared, recompute_advantages=True)
    out = Path(tempfile.mkdtemp(prefix="shoal-")) / "run"
    run = shoal.train(
        Stale(algorithm, lag=case.lag),
        world,
        preset="none",
        total_steps=case.steps,
        seeds=seeds,
        out=out,
        num_envs=preset["num_envs"],
        unroll=preset["unroll"],
        normalise_observations=preset["normalise_observations"],
        evaluations=1,
        eval_episodes=EPISODES,
    )
    log = run.metrics
    apart = [
        [row["kl"] for row in log if row["seed"] == seed and "kl" in row] for seed in range(seeds)
    ]
    found = [evaluate_run(run, episodes=EPISODES, member=seed) for seed in range(seeds)]
    shutil.rmtree(out.parent)
    return [
        dict(zip(KEY, (*case, seed)))
        | {"num_envs": preset["num_envs"], "unroll": preset["unroll"]}
        | {"return": f"{found[seed]['return']['mean']:.3f}"}
        | {"kl": f"{np.mean(apart[seed]):.3g}" if apart[seed] else ""}
        | {"seconds": f"{log[-1]['seconds']:.0f}"}
        for seed in range(seeds)
    ]


def returns(folder: Path, steps: int | None = None) -> dict[tuple[str, str, int], np.ndarray]:
    """Those of all seeds, by environment, algorithm and lag; of those steps, or of the most."""
    table = rows.read(folder / "lag.csv")
    found: dict[tuple[str, str, int], list[float]] = {}
    for row in table:
        most = max(int(r["steps"]) for r in table if r["environment"] == row["environment"])
        if int(row["steps"]) == (steps or most):
            key = row["environment"], row["algorithm"], int(row["lag"])
            found.setdefault(key, []).append(float(row["return"]))
    return {key: np.array(each) for key, each in found.items()}


def draw(options: argparse.Namespace) -> None:
    """A panel a world: return against lag, means with intervals, and every seed as a dot."""
    found = returns(options.folder, options.steps)
    worlds = list(dict.fromkeys(environment for environment, *_ in found))
    if not worlds:
        return
    figure = Figure(
        figsize=(5.2 * len(worlds), 4.2), dpi=150, layout="constrained", facecolor=PAPER
    )
    panels = figure.subplots(1, len(worlds), squeeze=False)[0]
    for panel, world in zip(panels, worlds):
        ruled(panel)
        panel.set_title(heading(world), loc="left", color=INK, fontsize=12)
        panel.set_xlabel("updates that what acts is behind", color=INK, fontsize=10.5)
        for k, algorithm in enumerate(NAMES):
            _line(
                panel,
                k,
                {lag: x for (w, a, lag), x in found.items() if (w, a) == (world, algorithm)},
            )
    panels[0].set_ylabel("final return per agent, greedy", color=INK, fontsize=10.5)
    panels[-1].legend(frameon=False, labelcolor=INK, fontsize=10, loc="lower left")
    options.pictures.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.pictures / "lag.png")


def _line(panel: Axes, k: int, found: dict[int, np.ndarray]) -> None:
    """One algorithm's. Lags stand in even steps; the two lines a little apart."""
    lags = sorted(found)
    x = np.arange(len(lags)) + 0.09 * (2 * k - 1)
    whole = [summary(found[lag][:, None]) for lag in lags]
    mean, low, high = (np.array([s[part] for s in whole]) for part in ("mean", "low", "high"))
    color, algorithm = PALETTE[k], list(NAMES)[k]
    spread = [mean - low, high - mean]
    panel.errorbar(x, mean, spread, color=color, linewidth=2.2, elinewidth=1.6, capsize=4)
    panel.plot(x, mean, "o", color=color, markersize=7, label=NAMES[algorithm])
    for place, lag in zip(x, lags):
        dots = np.full(len(found[lag]), place)
        panel.plot(dots, found[lag], "o", color=color, alpha=0.35, markersize=3.5, mew=0)
    panel.set_xticks(range(len(lags)), [str(lag) for lag in lags], color=SOFT)
