"""Trainings whose workers are killed, or whoever learns: what is lost, and what is left.

`distributed_child.py` is what runs, which also writes down every call whose answer counts. Fifteen
seconds after a run nothing of it may be there: no process, no temporary file, nothing in /dev/shm;
and while it ran, nothing may have listened beyond the loopback.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from distributed_process import Marked
from distributed_runs import append, has

from shoal.training.trainer import WALL_CLOCK

CHILD = Path(__file__).parent / "distributed_child.py"
STEPS, SEEDS, WORKERS, KILLED, SHARES = 500_000, 3, 8, 4, (0.2, 0.6)
EVALUATIONS, THRESHOLD = 25, 475  # of CartPole's 500
GRACE, PATIENCE = 15.0, 3600.0  # seconds
KEY = ("kills", "steps", "seed")
COLUMNS = (
    *(*KEY, "threshold", "steps_to_threshold", "return", "calls", "twice", "replaced"),
    *("exit_code", "exposed", "left", "gone_after"),
)
DRIVER_KEY = ("moment", "steps", "try")
DRIVER = (
    *(*DRIVER_KEY, "too_late", "rows_kept", "rows", "same_rows", "exit_code"),
    *("exposed", "left", "gone_after"),
)
Json = dict[str, Any]


def workers(options: argparse.Namespace) -> None:
    """4 of 8 workers are killed at 20 and 60 % of a training, beside one without."""
    table = options.folder / "kills.csv"
    for seed in range(options.seeds or SEEDS):
        for kills in (0, len(SHARES) * KILLED):
            key = kills, options.steps or STEPS, seed
            if not has(table, KEY, key):
                append(table, COLUMNS, dict(zip(KEY, key)) | _with_kills(*key))


def _with_kills(kills: int, steps: int, seed: int) -> Json:
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    given = {
        **{"workers": WORKERS, "steps": steps, "seed": seed, "out": "run", "pictures": False},
        **{"evaluations": EVALUATIONS, "eval-episodes": 20},
    }
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    command = Marked(folder, str(CHILD), "train", "impala", "gymnasium:CartPole-v1", *words)
    exposed: set[str] = set()
    for share in SHARES if kills else ():
        command.until(lambda share=share: _step(folder) >= share * steps, PATIENCE)
        exposed |= set(command.exposed())
        for pid in Random(seed).sample(command.workers(), KILLED):
            os.kill(pid, signal.SIGKILL)
    command.until(lambda: exposed.update(command.exposed()), PATIENCE, pause=1.0)
    left, seconds = command.left(GRACE)
    command.end()
    log, counted = _rows(folder), (folder / "calls").read_text().splitlines()
    good = (r["step"] for r in log if r.get("eval_return", 0) >= THRESHOLD)
    found = {
        "threshold": THRESHOLD,
        "steps_to_threshold": next(good, ""),
        "return": next((r["eval_return"] for r in log[::-1] if "eval_return" in r), ""),
        "calls": len(counted),
        "twice": sum(count - 1 for count in Counter(counted).values()),
        "replaced": command.err.count("it is replaced"),
        "exit_code": command.process.returncode,
    }
    shutil.rmtree(folder)
    return found | _after(exposed, left, seconds)


def driver(options: argparse.Namespace) -> None:
    """kill -9 of whoever learns, half of the times while it saves, and `shoal resume`: rows of
    metrics must be those of a run that was never killed."""
    table, steps = options.folder / "driver.csv", options.steps or 40_000
    whole: list[str] = []
    for number in range(options.tries or 20):
        moment = ("at random", "while it saves")[number % 2]
        key = moment, steps, number
        if not has(table, DRIVER_KEY, key):
            if not whole:
                folder, command = _begin(steps)
                command.process.wait()
                whole = _plain(folder)
                assert command.process.returncode == 0, command.err
                command.end()
                shutil.rmtree(folder)
            row = dict(zip(DRIVER_KEY, key)) | _killed(moment, number, steps, whole)
            append(table, DRIVER, row)


def _begin(steps: int) -> tuple[Path, Marked]:
    """A run in order, which saves often."""
    folder = Path(tempfile.mkdtemp(prefix="driver-"))
    return folder, Marked(folder, str(CHILD), "in-order", str(steps))


def _killed(moment: str, number: int, steps: int, whole: list[str]) -> Json:
    folder, command = _begin(steps)
    random = Random(number)
    row = random.randrange(1, max(2, len(whole) - 10))
    command.until(lambda: len(_rows(folder)) >= row, PATIENCE)
    exposed = set(command.exposed())
    time.sleep(random.uniform(0, 0.3))
    if moment == "while it saves":
        saves = (folder / "run" / "checkpoints").glob
        command.until(lambda: any(saves(".tmp-*")), PATIENCE, pause=0)
    ended = command.process.poll() is not None
    command.kill()
    left, seconds = command.left(GRACE)
    command.end()
    kept = len(_rows(folder))
    again = Marked(folder, "-m", "shoal", "resume", "run")
    again.process.wait()
    left += again.left(GRACE)[0]
    again.end()
    found = _plain(folder)
    row = {
        **{"too_late": ended, "rows_kept": kept, "rows": len(found)},
        **{"same_rows": found == whole, "exit_code": again.process.returncode},
    }
    if found == whole:
        shutil.rmtree(folder)
    return row | _after(exposed, left, seconds)


def _after(exposed: set[str], left: list[str], seconds: float) -> Json:
    return {
        "exposed": " ".join(sorted(exposed)),
        "left": " ".join(left),
        "gone_after": f"{seconds:.1f}",
    }


def _step(folder: Path) -> int:
    return max((row["step"] for row in _rows(folder)), default=0)


def _rows(folder: Path) -> list[Json]:
    """The whole rows of the run there."""
    log = folder / "run" / "metrics.jsonl"
    text = log.read_text() if log.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _plain(folder: Path) -> list[str]:
    """Rows as they are written, without the columns that no two runs have alike."""
    return [
        json.dumps({name: x for name, x in row.items() if name not in WALL_CLOCK})
        for row in _rows(folder)
    ]
