"""Rates of 1 to 8 workers, and a closed queueing model of them that goes on to a thousand.

Each of W workers has two samples on their way. A sample is collected by its worker, one at a time,
computing on one of the machine's cores or waiting for its world; Ray carries it; whoever learns
learns from it, one at a time. With as many workers at work as there are cores, they share them. The
stations are thus the workers, whose speed depends on how many are at work, the messages, which
delay and are never busy, and the learner. Times are taken as exponential, so that the rate follows
exactly from the product form (Gordon and Newell 1967), by convolution (Buzen 1973), and is a little
low where all times are alike. They are measured piece by piece; one factor on all of them, for what
a busy machine takes longer, is fitted to the measured rates.

A thousand workers have a core each. What the model leaves out: the network, Ray's store and
scheduler, the work of handing out parameters and taking in samples, and workers that fail.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rows
from distributed_pieces import measure
from distributed_runs import SPREAD, Way, append, has, summed, train
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from shoal.core.axes import compact, ruled
from shoal.core.colors import INK, PALETTE, PAPER
from shoal.distributed.collecting import IN_FLIGHT
from shoal.math.statistics import summary

WAITING = f"{Path(__file__).parent}/hostile_worlds.py:World"  # steps that sleep
SECONDS = 0.001  # of a step in the waiting world
SLOW = f'{{"step": {SECONDS}}}'
COUNTS, DEVICES, SEEDS = (1, 2, 4, 8), (1, 2), 3
FAR = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
EACH, UNROLL = 4, 32  # environments of a worker, and steps of a rollout
STEPS = {SPREAD: 400_000, WAITING: 40_000}  # for each worker, so that all take about as long
NAMES = {SPREAD: "a compiled world", WAITING: f"a world of {1000 * SECONDS:g} ms a step"}
KEY = ("environment", "workers", "devices", "steps", "seed")
RATES = (*KEY, "steps_per_second", "idle", "seconds")
TIMES = ("compute", "wait", "message", "learn")
MODEL = (
    *("environment", "workers", "cores", *(f"{name}_milliseconds" for name in TIMES)),
    *("factor", "measured", "predicted", "learner_busy", "limit"),
)


class Demand(NamedTuple):
    """Seconds of each sample, and its steps."""

    compute: float  # by its worker
    wait: float  # by its worker, for its world
    message: float
    learn: float
    steps: int

    def times(self, factor: float) -> "Demand":
        """The same on a machine that is so much slower; sleep takes as long as ever."""
        compute, message, learn = (factor * x for x in (self.compute, self.message, self.learn))
        return Demand(compute, self.wait, message, learn, self.steps)


def fill(options: argparse.Namespace) -> None:
    """Measures what the table lacks, seed by seed, models it and draws."""
    table = options.folder / "scaling.csv"
    for seed in range(options.seeds or SEEDS):
        for world, usual in STEPS.items():
            for count in COUNTS:
                _one(table, world, count, 0, count * (options.steps or usual), seed)
        for devices in DEVICES:
            _one(table, SPREAD, 0, devices, 4 * (options.steps or STEPS[SPREAD]), seed)
    model = options.folder / "scaling_model.csv"
    model.unlink(missing_ok=True)
    for world in STEPS:
        for row in _model(options.folder, world):
            append(model, MODEL, row)
    draw(options)


def _one(table: Path, world: str, workers: int, devices: int, steps: int, seed: int) -> None:
    key = _name(world), workers, devices, steps, seed
    if has(table, KEY, key):
        return
    words = {"num-envs": EACH * (workers or max(COUNTS)), "unroll": UNROLL}
    words |= {"workers": workers} if workers else {}
    words |= {"env.settings": SLOW} if world == WAITING else {}
    environment = {"JAX_NUM_CPU_DEVICES": str(devices)} if devices else {}
    found = summed(
        *train(Way("impala", world, steps, words | {"eval-episodes": 4}), seed, **environment)
    )
    row = {name: found.get(name, "") for name in ("steps_per_second", "idle", "seconds")}
    append(table, RATES, dict(zip(KEY, key)) | row)


def _name(world: str) -> str:
    return "waiting" if world == WAITING else world


def rates(folder: Path) -> dict[tuple[str, int, int], np.ndarray]:
    """Steps a second of all seeds, by world, workers and devices."""
    found: dict[tuple[str, int, int], list[float]] = {}
    for row in rows.read(folder / "scaling.csv"):
        key = row["environment"], int(row["workers"]), int(row["devices"])
        found.setdefault(key, []).append(float(row["steps_per_second"]))
    return {key: np.array(each) for key, each in found.items()}


def _model(folder: Path, world: str) -> list[dict[str, object]]:
    """A row for each number of workers: what was measured, and what the model says."""
    settings = {"settings": SLOW, "in_process": True} if world == WAITING else {}
    pieces = measure(world, EACH, UNROLL, 20, **settings)
    demand = Demand(
        compute=pieces.compute + pieces.pack,
        wait=pieces.collect - pieces.compute,
        message=pieces.message,
        learn=pieces.unpack + pieces.learn,
        steps=EACH * UNROLL,
    )
    known = rates(folder)
    seen = {w: float(known[_name(world), w, 0].mean()) for w in COUNTS}
    cores = os.cpu_count() or 1
    factor = fit(demand, cores, seen)
    now, found = demand.times(factor), []
    for workers in FAR:
        here = cores if workers in seen else 0  # 0: a core for each worker
        rate, busy = predict(now, here, workers)
        found.append(
            {"environment": _name(world), "workers": workers, "cores": here or workers}
            | {f"{name}_milliseconds": f"{1000 * getattr(now, name):.4g}" for name in TIMES}
            | {
                "factor": f"{factor:.3f}",
                "measured": f"{seen[workers]:.0f}" if workers in seen else "",
            }
            | {"predicted": f"{rate:.0f}", "learner_busy": f"{busy:.3f}"}
            | {"limit": _limit(now, here, busy, workers)}
        )
    return found


def fit(demand: Demand, cores: int, seen: dict[int, float]) -> float:
    """The factor whose rates are nearest to those seen, by the squares of the logarithms' errors:
    found among many, from a third to thirty times."""

    def error(factor: float) -> float:
        now = demand.times(factor)
        return sum(np.log(predict(now, cores, w)[0] / rate) ** 2 for w, rate in seen.items())

    return min(np.geomspace(1 / 3, 30, 400).tolist(), key=error)


def predict(demand: Demand, cores: int, workers: int) -> tuple[float, float]:
    """Steps a second, and the share of time that the learner is busy. No `cores`: everybody has
    one."""
    samples = np.arange(1, IN_FLIGHT * workers + 1)
    at_work = np.minimum(samples, workers) / (demand.compute + demand.wait)
    speed = np.minimum(at_work, (cores or workers) / demand.compute)
    learner = np.log(np.full(len(samples), demand.learn))
    message = np.log(np.maximum(demand.message, 1e-9) / samples)
    weights = _joined(_joined(_weights(-np.log(speed)), _weights(learner)), _weights(message))
    rate = float(np.exp(weights[-2] - weights[-1]))  # samples a second
    return rate * demand.steps, rate * demand.learn


def _weights(logarithms: np.ndarray) -> np.ndarray:
    """Logarithms of a station's weights, of no sample there, of one, and so on."""
    return np.concatenate([[0.0], np.cumsum(logarithms)])


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Those of two stations together: a convolution."""
    return np.array([np.logaddexp.reduce(a[: n + 1] + b[n::-1]) for n in range(len(a))])


def _limit(demand: Demand, cores: int, busy: float, workers: int) -> str:
    """What holds the rate down, in words."""
    if busy > 0.9:
        return "whoever learns is always busy: more workers bring nothing"
    used = busy / demand.learn * demand.compute / (cores or workers)
    if cores and used > 0.9:
        return f"the {cores} cores are always busy: more of them bring more"
    return "the workers: more of them bring more"


def draw(options: argparse.Namespace) -> None:
    """A panel a world: measured rates with intervals, and the model's line."""
    table, known = rows.read(options.folder / "scaling_model.csv"), rates(options.folder)
    worlds = list(dict.fromkeys(row["environment"] for row in table))
    if not worlds:
        return
    figure = Figure(
        figsize=(5.4 * len(worlds), 4.2), dpi=150, layout="constrained", facecolor=PAPER
    )
    for panel, world in zip(figure.subplots(1, len(worlds), squeeze=False)[0], worlds):
        ruled(panel)
        panel.set(xscale="log", yscale="log")
        panel.set_title(NAMES[WAITING if world == "waiting" else world], loc="left", color=INK)
        panel.set_xlabel("workers", color=INK)
        panel.set_ylabel("environment steps a second", color=INK)
        mine = [row for row in table if row["environment"] == world]
        here = [row for row in mine if row["measured"]]
        for part, style, label in (
            (here, "-", f"the model, {here[0]['cores']} cores for all"),
            ([row for row in mine if not row["measured"]], "--", "the model, a core for each"),
        ):
            x, y = ([float(row[name]) for row in part] for name in ("workers", "predicted"))
            panel.plot(x, y, style, color=PALETTE[0], linewidth=2.2, label=label)
        counts = [int(row["workers"]) for row in here]
        whole = [summary(known[world, count, 0][:, None]) for count in counts]
        mean, low, high = (np.array([s[part] for s in whole]) for part in ("mean", "low", "high"))
        spread = [mean - np.maximum(low, mean / 10), high - mean]
        style = {"color": PALETTE[1], "capsize": 4, "label": "measured", "zorder": 3}
        panel.errorbar(counts, mean, spread, fmt="o", **style)
        ticks: Sequence[int] = (1, 8, 64, 1000)
        panel.set_xticks(ticks, [compact(x) for x in ticks])
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(compact)
        panel.minorticks_off()
        panel.legend(frameon=False, labelcolor=INK, fontsize=9.5, loc="lower right")
    options.pictures.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.pictures / "scaling.png")
