"""A long training with workers: what each process holds, every hundred updates."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import rows
from distributed_process import is_worker
from distributed_runs import append

import shoal

UPDATES, EVERY, WORKERS = 20_000, 100, 2
SMALL = {"num_envs": 4, "unroll": 5, "hidden": (8,), "workers": WORKERS, "eval_episodes": 4}
COLUMNS = (
    *("updates", "seed", "update", "process", "resident_megabytes", "descriptors", "threads"),
    *("lag", "idle", "seconds"),
)


class Held(NamedTuple):
    """What the system says that a process holds."""

    resident_megabytes: float
    descriptors: int
    threads: int


def fill(options: argparse.Namespace) -> None:
    """One training for a seed, of so many updates."""
    table, updates = options.folder / "soak.csv", options.tries or UPDATES
    for seed in range(options.seeds or 1):
        known = {(row["updates"], row["seed"]) for row in rows.read(table)}
        if (str(updates), str(seed)) not in known:
            for row in _soaked(updates, seed):
                append(table, COLUMNS, row)


def _soaked(updates: int, seed: int) -> list[dict[str, Any]]:
    """What was seen at the first row of metrics after every hundred updates: a row is there for
    each hundred of them where there are up to 20,000. The last is left out, which evaluates too.
    Rows are kept until the end, so that a table has a training whole or not at all."""
    per_update = SMALL["num_envs"] * SMALL["unroll"]
    found: list[dict[str, Any]] = []

    def look(members: list[dict[str, Any]]) -> None:
        row = members[0]
        update = row["step"] // per_update
        before = found[-1]["update"] if found else 0
        if update // EVERY > before // EVERY and "eval_return" not in row:
            about = {"updates": updates, "seed": seed, "update": update}
            about |= {name: f"{row[name]:.4g}" for name in ("lag", "idle", "seconds")}
            places = {"driver": os.getpid()} | {f"worker {k}": p for k, p in enumerate(_workers())}
            found.extend(about | {"process": n} | held(p)._asdict() for n, p in places.items())

    out = Path(tempfile.mkdtemp(prefix="shoal-")) / "run"
    total = updates * per_update
    shoal.train(
        *("impala", "mpe/simple"),
        **{"preset": "none", "total_steps": total, "seed": seed, "out": out, "evaluations": 1},
        **{"watchers": [look], **SMALL},
    )
    shutil.rmtree(out.parent)
    return found


def _workers() -> list[int]:
    """This run's, the first started first: Ray names a process after the actor that it runs."""
    from shoal.distributed.reaper import MARK, marked

    ours = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    folders = {_environment(int(pid)).get(MARK, "") for pid in ours} - {""}
    pids = sorted(pid for folder in folders for pid in marked(folder))
    return [pid for pid in pids if is_worker(pid)]


def _environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    pairs = (line.partition("=") for line in text.split("\0"))
    return {name: value for name, _, value in pairs}


def held(pid: int) -> Held:
    """What a living process holds."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = dict(line.split(":", 1) for line in status)
    resident = int(words["VmRSS"].split()[0]) / 1024
    return Held(resident, len(os.listdir(f"/proc/{pid}/fd")), int(words["Threads"]))
