"""The real `shoal` command in a process group of its own, and what is left of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORLD = f"{Path(__file__).parent}/hostile_worlds.py:World"
FOREVER = ["--num-envs", "4", "--unroll", "10", "--evaluations", "1", "--eval-episodes", "4"]
FOREVER += ["--algo.hidden", "8", "--algo.minibatches", "1", "--pictures", "False"]
FAKE_WANDB = Path(__file__).parents[1] / "tests" / "trackers" / "fake_wandb.py"


class Command:
    """`shoal WORDS` in `folder`, begun at once; its standard error goes to a file."""

    def __init__(self, folder: Path, *words: str, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.run = folder / "run"
        self._err = folder / "stderr"
        library = folder / "library" / "wandb"
        library.mkdir(parents=True, exist_ok=True)
        (library / "__init__.py").write_text(FAKE_WANDB.read_text())
        path = os.pathsep.join([*sys.path[1:], str(library.parent)])
        environment |= {"FAKE_WANDB_FILE": str(folder / "told.jsonl"), "PYTHONPATH": path}
        environment |= {"HOSTILE_MARKS": str(folder)}
        with open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "shoal", *words],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            )
        self.family = {self.process.pid}

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What it said, but for whose code is run, progress and warnings of trackers."""
        heard = [line for line in self.err.splitlines() if line.strip()]
        return [
            line
            for line in heard
            if not line.startswith(("HOSTILE_RAN", "shoal: wandb:", "shoal: warning"))
            and "steps/s" not in line
            and not re.search(r"config.json has \S+ run$", line)
        ]

    def rows(self) -> int:
        """How many rows of metrics there are."""
        log = self.run / "metrics.jsonl"
        return log.read_bytes().count(b"\n") if log.is_file() else 0

    def children(self) -> set[int]:
        """Its living descendants; they are remembered in `family`."""
        found, left = set(), [self.process.pid]
        while left:
            tasks = Path(f"/proc/{left.pop()}/task")
            for task in tasks.iterdir() if tasks.is_dir() else ():
                try:
                    new = {int(pid) for pid in (task / "children").read_text().split()} - found
                except OSError:
                    continue
                found |= new
                left += new
        self.family |= found
        return found

    def alive(self) -> set[int]:
        """Those of the family that still run. A tracker's process is no longer of it: it has a
        session of its own, and up to a minute to send what it has."""
        self.children()
        return {pid for pid in self.family if _runs(pid) == self.process.pid}

    def until(self, there: Callable[[], Any], patience: float = 120.0) -> bool:
        """Waits until something is there; whether it came before the command ended."""
        end = time.monotonic() + patience
        while not (found := there()) and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.05)
        return bool(found)

    def gone_after(self, patience: float = 60.0) -> float:
        """Waits until nobody of the family runs; the seconds that this took."""
        start = time.monotonic()
        while time.monotonic() - start < patience:
            self.process.poll()
            if not self.alive():
                break
            time.sleep(0.05)
        return time.monotonic() - start

    def end(self) -> None:
        """Ends whoever is left of it."""
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _runs(pid: int) -> int:
    """The session of a process; 0 where it has ended."""
    try:
        state, _, _, session, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state in "ZX" else int(session)


def settings(**fields: Any) -> list[str]:
    """The option that makes the world so."""
    import json

    return ["--env.settings", json.dumps(fields)]
