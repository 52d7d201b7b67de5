"""Runs of the command `shoal train`, each in processes of its own: a row a seed."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rows

from shoal.training.machine import hardware, versions

K = 1000
EPISODES = 100
MACHINE = ("device", "cores", "versions")
KEY = ("algorithm", "environment", "options", "steps", "seed")
FOUND = (
    *("return", "steps_per_second", "lag", "lag_max", "refused", "staleness", "ahead"),
    *("dropped", "idle", "seconds"),
)
CARTPOLE, SPREAD = "gymnasium:CartPole-v1", "mpe/simple_spread"
Json = dict[str, Any]


class Way(NamedTuple):
    """What is trained, and with which options of the command besides."""

    algorithm: str
    environment: str
    steps: int
    options: Json = {}  # noqa: RUF012

    def key(self, seed: int) -> tuple[str, ...]:
        """What a row is known by."""
        options = json.dumps(self.options) if self.options else ""
        return self.algorithm, self.environment, options, str(self.steps), str(seed)


# What each stands beside: the same algorithm where whoever learns collects too.
ALONE = {CARTPOLE: {"env.in_process": True}, SPREAD: {}}
STEPS = {CARTPOLE: 500 * K, SPREAD: 2000 * K}
SERVERS = (
    *({"server": "async"}, {"server": "ssp"}, {"server": "sync"}),
    {"server": "sync", "backups": 1},
)
WORKER_WAYS = [
    Way("impala", name, STEPS[name], options)
    for name in STEPS
    for options in ({"workers": 4}, ALONE[name])
]
SERVER_WAYS = [
    way
    for name, steps in STEPS.items()
    for way in (
        *(Way("a3c", name, steps, {"workers": 4} | server) for server in SERVERS),
        Way("a2c", name, steps, ALONE[name]),
    )
]
EVOLUTION_WAYS = [
    Way(algorithm, name, steps * K, {"workers": 8})
    for algorithm, name, steps in (
        ("openai_es", "gymnax:CartPole-v1", 2880),
        *((algorithm, "gymnax:CartPole-v1", 1920) for algorithm in ("snes", "cma_es")),
        ("openai_es", "gymnax:Pendulum-v1", 5120),
        ("snes", "gymnax:Pendulum-v1", 40_960),
        ("cma_es", "gymnax:Pendulum-v1", 25_600),
        ("openai_es", SPREAD, 2000),
    )
]


def workers(options: argparse.Namespace) -> None:
    """IMPALA, with workers and without."""
    _fill(options.folder / "workers.csv", WORKER_WAYS, options)


def servers(options: argparse.Namespace) -> None:
    """Servers of every kind, and none."""
    _fill(options.folder / "servers.csv", SERVER_WAYS, options)


def evolution(options: argparse.Namespace) -> None:
    """Evolution strategies, whose members workers play."""
    _fill(options.folder / "evolution.csv", EVOLUTION_WAYS, options)


def _fill(table: Path, ways: Iterable[Way], options: argparse.Namespace) -> None:
    """Trains what the table lacks, seed by seed, so that one of each is there first."""
    for seed in range(options.seeds or 3):
        for way in ways:
            way = way._replace(steps=options.steps or way.steps)
            if not has(table, KEY, way.key(seed)):
                found = summed(*train(way, seed))
                append(table, (*KEY, *FOUND), dict(zip(KEY, way.key(seed))) | found)


def has(table: Path, names: tuple[str, ...], key: Iterable[Any]) -> bool:
    """Whether the table has a row with these."""
    wanted = tuple(map(str, key))
    return any(tuple(row[name] for name in names) == wanted for row in rows.read(table))


def append(table: Path, columns: tuple[str, ...], row: Json) -> None:
    """Writes and tells a row, with what it was measured on."""
    rows.append(table, (*columns, *MACHINE), row | machine())
    print(table.stem, *(row.get(name, "") for name in columns), flush=True)


def machine() -> Json:
    """What a row was measured on and with."""
    names, known = ("ray", "gymnasium", "gymnax"), versions()
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            known[name] = metadata.version(name)
    cores = len(os.sched_getaffinity(0))
    return {"device": hardware()["device"], "cores": cores, "versions": json.dumps(known)}


def words_of(options: Json) -> list[str]:
    """Options as the command takes them."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def train(way: Way, seed: int, **environment: str) -> tuple[list[Json], Json]:
    """The rows of metrics of one training, and its evaluation."""
    usual = {"evaluations": 1, "eval-episodes": EPISODES, "pictures": False}
    with tempfile.TemporaryDirectory(prefix="shoal-") as folder:
        out = Path(folder) / "run"
        given = usual | {"steps": way.steps, "seed": seed, "out": out} | way.options
        command = [sys.executable, "-m", "shoal", "train", way.algorithm, way.environment]
        subprocess.run(
            [*command, *words_of(given)],
            check=True,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
        )
        log = (out / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in log], json.loads((out / "eval.json").read_text())


def summed(log: list[Json], score: Json) -> Json:
    """What a row says of a training: the median of its rates, since workers compile in the first,
    and means over its updates of what its workers tell, `lag_max` excepted."""
    last = log[-1]
    means = {
        name: f"{np.mean([row[name] for row in log]):.4g}"
        for name in ("lag", "refused", "staleness", "ahead", "dropped", "idle")
        if name in last
    }
    lags = [int(name[4:]) for row in log for name, x in row.items() if name[:4] == "lag/" and x > 0]
    return means | {
        "return": f"{score['return']['mean']:.3f}",
        "steps_per_second": f"{np.median([row['steps_per_second'] for row in log]):.0f}",
        "lag_max": max(lags, default=""),
        "seconds": f"{last['seconds']:.1f}",
    }
