"""MAPPO and VDN in worlds of other suites, trained inside the compiled scan.

    python benchmarks/suites.py                          # what is missing from the table
    python benchmarks/suites.py --algorithms vdn --worlds "SMAX 3m"

Writes suites/learning.csv. Runs use the presets, but for `steps` and what `WORLDS` says; one
process, one after the other, at whatever priority it is given. `random`, `first` and `final` are
mean returns over agents: of uniformly random legal actions, of the first evaluation during training
and of the final parameters. Where a world says more than its reward, `metric` is that.
"""

import argparse
import csv
import json
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import shoal
from shoal.training.devices import prepare
from shoal.training.run import hardware, versions

TABLE = Path(__file__).parent / "suites" / "learning.csv"
EPISODES = 256


class World(NamedTuple):
    """What is trained in, for how long, and what else is read off an episode."""

    name: str
    settings: dict[str, Any]
    steps: int
    metric: str = ""
    training: dict[str, Any] = {}  # noqa: RUF012
    """Settings of training that are not those of evaluation."""


TINY = {"shelf_rows": 1, "num_agents": 2, "request_queue_size": 2}
WORLDS = {
    "SMAX 3m": World("jaxmarl:HeuristicEnemySMAX", {"scenario": "3m"}, 1_000_000, "won"),
    "LBF 8x8-2p-2f": World("jumanji:LevelBasedForaging-v0", {}, 1_000_000, "percent_eaten"),
    "RobotWarehouse tiny-2ag": World("jumanji:RobotWarehouse-v0", {"generator": TINY}, 1_000_000),
    "Overcooked cramped room": World(
        "jaxmarl:overcooked", {"layout": "cramped_room", "shaping": 1.0}, 1_000_000, "score"
    ),
}
COLUMNS = [
    *("algorithm", "world", "steps", "seeds", "random", "first", "final", "final_by_seed"),
    *("final_sampled", "metric", "metric_random", "metric_first", "metric_final", "settings"),
    *("seconds", "device", "versions"),
]


def main() -> None:
    """Fills the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=["mappo", "vdn"])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    prepare()
    for world in options.worlds:
        for algorithm in options.algorithms:
            if (algorithm, world) not in _known(options.table):
                row = measure(algorithm, world, options.seeds)
                _append(options.table, row)
                print(*(row[c] for c in COLUMNS[:13]), f"{row['seconds']} s", flush=True)
