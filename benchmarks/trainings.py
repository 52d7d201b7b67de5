"""Trainings whose returns stand beside known figures: a row a seed, written as each training ends,
so that a command goes on where it was stopped."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import rows

import shoal
from shoal.training.machine import hardware, versions
from shoal.training.run import evaluate_run

COLUMNS = (
    *("algorithm", "environment", "settings", "steps", "seed", "episodes", "return", "metrics"),
    *("device", "versions", "seconds", "beside"),
)


class Training(NamedTuple):
    """What is trained, from the algorithm's preset, and what others report."""

    algorithm: str
    environment: str
    steps: int
    seeds: int
    beside: str = ""
    settings: dict[str, Any] = {}  # noqa: RUF012  # other than the preset's
    world: dict[str, Any] = {}  # noqa: RUF012  # of the environment
    episodes: int = 100

    def key(self, seed: int) -> tuple[str, ...]:
        """What a row is known by."""
        settings = json.dumps(self.world | self.settings) if self.world or self.settings else ""
        return self.algorithm, self.environment, settings, str(self.steps), str(seed)


def fill(table: Path, trainings: Iterable[Training], together: bool = True) -> None:
    """Trains what the table lacks: the seeds from 0 up of a training in one program, or, where some
    are there already, one after the other."""
    for training in trainings:
        known = {tuple(row[column] for column in COLUMNS[:5]) for row in rows.read(table)}
        seeds = [seed for seed in range(training.seeds) if training.key(seed) not in known]
        whole = together and seeds == list(range(training.seeds))
        for first in seeds[:1] if whole else seeds:
            count = len(seeds) if whole else 1
            for row in _measure(training, first, count):
                rows.append(table, COLUMNS, row)
                found = (row[c] for c in ("algorithm", "environment", "settings", "seed", "return"))
                print(*found, f"{row['seconds']} s", flush=True)


def _measure(training: Training, first: int, count: int) -> list[dict[str, Any]]:
    """Trains and evaluates, greedily, the final parameters of that many seeds."""
    out = Path(tempfile.mkdtemp(prefix="shoal-")) / "run"
    run = shoal.train(
        training.algorithm,
        shoal.make(training.environment, **training.world),
        total_steps=training.steps,
        seed=first,
        seeds=count,
        out=out,
        evaluations=1,
        eval_episodes=training.episodes,
        **training.settings,
    )
    seconds = run.metrics[-1]["seconds"]
    found = [evaluate_run(run, episodes=training.episodes, member=k) for k in range(count)]
    shutil.rmtree(out.parent)
    return [
        dict(
            zip(COLUMNS, training.key(first + k)),
            episodes=training.episodes,
            metrics=json.dumps({n: round(x["mean"], 4) for n, x in report["metrics"].items()}),
            device=f"{hardware()['device']} x {hardware()['devices']}",
            versions=json.dumps(versions()),
            seconds=f"{seconds:.0f}",
            beside=training.beside,
        )
        | {"return": f"{report['return']['mean']:.3f}"}
        for k, report in enumerate(found)
    ]
