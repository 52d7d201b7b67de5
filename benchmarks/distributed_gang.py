"""One training on more devices and in more processes: a row a seed in distributed/gang.csv.

PPO in mpe/simple_spread, from its preset, by the command `shoal train`: on 1, 2 and 4 devices of
one process, and in 2 processes of one device each. A row holds the median rate of training, the
greedy return per agent of the final parameters over 1,000 episodes, and how long all of it took,
from the command to its end. A CPU with fewer cores than devices runs them in turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rows

from shoal.training.machine import hardware, versions

COLUMNS = (
    *("algorithm", "environment", "devices", "processes", "steps", "seed"),
    *("steps_per_second", "return", "seconds", "device", "cores", "versions"),
)
KEY = COLUMNS[:6]
ALGORITHM, ENVIRONMENT, STEPS, SEEDS = "ppo", "mpe/simple_spread", 1_000_000, 3
PLACES = ((1, 1), (2, 1), (4, 1), (2, 2))  # devices in all, and processes


def fill(options: argparse.Namespace) -> None:
    """Trains what the table lacks, seed by seed, so that one of each is there first."""
    table, steps = options.folder / "gang.csv", options.steps or STEPS
    known = {tuple(row[column] for column in KEY) for row in rows.read(table)}
    for seed in range(options.seeds or SEEDS):
        for devices, processes in PLACES:
            key = ALGORITHM, ENVIRONMENT, devices, processes, steps, seed
            if tuple(map(str, key)) in known:
                continue
            row = dict(zip(KEY, key)) | train(devices, processes, steps, seed)
            rows.append(table, COLUMNS, row)
            print(*(row[c] for c in (*KEY[2:], "steps_per_second", "return")), flush=True)


def train(devices: int, processes: int, steps: int, seed: int) -> dict[str, object]:
    """One training in processes of its own, and what came of it."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as folder:
        out = Path(folder) / "run"
        options = {
            **{"--steps": steps, "--seed": seed, "--out": out, "--pictures": False},
            **{"--devices": devices, "--processes": processes, "--evaluations": 1},
        }
        words = [str(word) for option in options.items() for word in option]
        command = [sys.executable, "-m", "shoal", "train", ALGORITHM, ENVIRONMENT, *words]
        begin = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)})
        seconds = time.perf_counter() - begin
        text = (out / "metrics.jsonl").read_text()
        rates = [json.loads(line)["steps_per_second"] for line in text.splitlines()]
        score = json.loads((out / "eval.json").read_text())["return"]["mean"]
    return {
        "steps_per_second": f"{statistics.median(rates):.0f}",
        "return": f"{score:.3f}",
        "seconds": f"{seconds:.0f}",
        "device": hardware()["device"],
        "cores": len(os.sched_getaffinity(0)),
        "versions": json.dumps(versions()),
    }
