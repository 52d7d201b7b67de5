"""Trainings that are told to stop, lose their parent, are paused, or run out of disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from hostile_process import FOREVER, WORLD, Command, settings

GRACE = 10.0  # seconds in which a command must be gone
HOST = ["reinforce", WORLD, *FOREVER, "--env.workers", "2", "--steps", "200000"]
COMPILED = ["ippo", "mpe/simple", *FOREVER, "--steps", "100000000"]
SETTINGS: dict[str, tuple[list[str], dict[str, str]]] = {
    "compiled": (COMPILED, {}),
    "host": (HOST, {}),
    "4 ms a step": ([*HOST, *settings(step=0.004)], {}),
    "200 ms a step": ([*HOST[:-1], "8000", *settings(step=0.2)], {}),
    "hung tracker": ([*COMPILED, "--track", "wandb"], {"hung": "hang in log"}),
    "slow close": ([*HOST, *settings(close=100)], {}),
    "3 seeds": ([*HOST, "--seeds", "3", *settings(close=100)], {}),
    "workers start": ([*HOST, *settings(start=2.0)], {}),
}
RESUMABLE = """
import sys
from pathlib import Path
from shoal.runs.run_directory import RunDirectory
from shoal.training.devices import prepare
from shoal.training.rebuild import read_config, rebuild
from shoal.training.trainer import Trainer
run = RunDirectory.open(Path(sys.argv[1]))
config = read_config(run)
prepare(config.deterministic)
_, counters = Trainer(config, *rebuild(config), run)._restore()
print(counters.updates)
"""


def signals(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """SIGTERM at random moments: half of them while a training starts."""
    for number in range(first, last):
        random, name = Random(number), list(SETTINGS)[number % len(SETTINGS)]
        words, environment = SETTINGS[name]
        where = _fresh(folder)
        given = {"FAKE_WANDB": environment["hung"]} if environment else {}
        command = Command(where, "train", *words, "--out", "run", **given)
        begun = number // len(SETTINGS) % 2 == 1 and name != "workers start"
        if begun:
            command.until(command.rows)
            moment = random.uniform(0, 5)
        elif name == "workers start":
            command.until(lambda command=command: len(command.children()) >= 2)
            moment = random.uniform(0, 3)
        else:
            moment = random.uniform(0.1, 6)
        time.sleep(moment)
        rows = command.rows()
        command.process.terminate()
        seconds = command.gone_after()
        code, lines = command.process.wait(60), command.lines
        command.end()
        kept = _restored(command.run)
        missed = [f"gone after {seconds:.1f} s"] * (seconds > GRACE)
        missed += [f"{len(lines)} lines"] * (len(lines) != 1)
        missed += [f"exit code {code}"] * (code != 1)
        said = lines[-1] if lines else ""
        nothing = "before training" in said or "no training was under way" in said
        missed += ["not resumable"] * (kept is None and not nothing)
        yield {
            "try": number,
            "setting": f"{name}; {moment:.1f} s after {'a row' if begun else 'the start'}",
            "held": not missed,
            "seconds": f"{seconds:.1f}",
            "detail": f"{rows} rows, {kept} updates kept -> {code} {said[:200]}" + _tell(missed),
        }


def _restored(run: Path) -> str | None:
    """The updates of the checkpoint that a resume would begin with; `None` where it could not."""
    found = subprocess.run(
        [sys.executable, "-c", RESUMABLE, str(run)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path[1:])},
    )
    return found.stdout.strip() if found.returncode == 0 else None


def parent(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """kill -9 of the command while its workers hang."""
    for number in range(first, last):
        hang, where = ("python", "C")[number % 2], _fresh(folder)
        before = set(os.listdir("/dev/shm"))
        options = [*settings(hang=hang), "--env.deadline", "1000"]
        command = Command(where, "train", *HOST, *options, "--out", "run")
        marks = lambda where=where: len([p for p in where.iterdir() if p.name.isdigit()])  # noqa: E731
        hung = command.until(lambda marks=marks: marks() >= 2)
        time.sleep(Random(number).uniform(0.2, 2))
        workers = len(command.children())
        command.process.kill()
        seconds = command.gone_after(30)
        left, shared = command.alive(), set(os.listdir("/dev/shm")) - before
        command.end()
        missed = [f"{len(left)} processes left"] * bool(left) + [f"left {shared}"] * bool(shared)
        missed += [f"gone after {seconds:.1f} s"] * (seconds > GRACE) + ["nobody hung"] * (not hung)
        yield {
            "try": number,
            "setting": f"hanging in {hang}",
            "held": not missed,
            "seconds": f"{seconds:.1f}",
            "detail": f"{workers} children{_tell(missed)}",
        }


def paused(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """SIGSTOP of the whole group for twice the deadline, then SIGCONT, in one training."""
    deadline = 3.0
    options = [*settings(step=0.005), "--env.deadline", str(deadline)]
    command = Command(_fresh(folder), "train", *HOST, *options, "--out", "run")
    command.until(command.rows)
    try:
        for number in range(first, last):
            time.sleep(Random(number).uniform(0.5, 3))
            rows, children = command.rows(), command.children()
            os.killpg(command.process.pid, signal.SIGSTOP)
            time.sleep(2 * deadline)
            os.killpg(command.process.pid, signal.SIGCONT)
            went_on = command.until(lambda rows=rows: command.rows() > rows)
            missed = ["a worker was replaced"] * ("replaced" in command.err)
            missed += ["others at work"] * (command.children() != children)
            missed += ["no row after it"] * (not went_on)
            yield {
                "try": number,
                "setting": f"stopped for {2 * deadline:g} s, deadline {deadline:g} s",
                "held": not missed,
                "seconds": "",
                "detail": f"{command.rows()} rows{_tell(missed)}",
            }
    finally:
        command.end()


def disk(folder: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """A small file system that is filled for 20 seconds in the middle of a training."""
    for number in range(first, last):
        how, where = ("space", "inodes", "both")[number % 3], _fresh(folder)
        where.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=400", "tmpfs", str(where)]
        subprocess.run(mount, check=True)
        try:
            words = [*HOST[:-1], "60000", *settings(step=0.001), "--evaluations", "20"]
            command = Command(where / "x", "train", *words, "--out", "run")
            command.until(lambda command=command: command.rows() >= 20)
            _fill(where, how)
            time.sleep(20)
            rows = command.rows()
            shutil.rmtree(where / "filler")
            (where / "filler.bin").unlink(missing_ok=True)
            ended = command.process.wait(400)
            steps = _steps(command.run)
            kept = _restored(command.run)
            missed = [f"exit code {ended}"] * (ended != 0) + ["traceback"] * _raised(command.err)
            missed += [f"{len(steps)} rows"] * (steps != ROWS)
            missed += [f"checkpoint of {kept}"] * (kept != "1500")
            yield {
                "try": number,
                "setting": how,
                "held": not missed,
                "seconds": "",
                "detail": f"{rows} rows when room came, {len(steps)} at the end, rc {ended} "
                f"{' | '.join(command.lines)[:300]}" + _tell(missed),
            }
            command.end()
        finally:
            subprocess.run(["umount", "-l", str(where)], check=True)


# Of 1,500 updates of 40 steps: a row every 8 updates, and one at each of 20 evaluations.
ROWS = sorted({40 * k for k in {*range(8, 1501, 8), *range(75, 1501, 75)}})


def _fill(where: Path, how: str) -> None:
    """Uses up all space, all names of files, or both."""
    (where / "filler").mkdir()
    if how in ("inodes", "both"):
        try:
            for k in range(10**6):
                (where / "filler" / str(k)).touch()
        except OSError:
            pass
    if how in ("space", "both"):
        try:
            with open(where / ("filler.bin" if how == "space" else "filler/0"), "wb") as file:
                while True:
                    file.write(b"\0" * 4096)
                    file.flush()
        except OSError:
            pass


def _steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def _raised(err: str) -> bool:
    return "Traceback" in err


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _tell(missed: list[str]) -> str:
    return f" MISSED: {', '.join(missed)}" if missed else ""
