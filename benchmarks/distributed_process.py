"""A command of whose processes, sockets and files none is lost sight of."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal.distributed.process import Process
from shoal.distributed.reaper import holds

MARK = "SHOAL_BENCHMARK"
LISTENS = "0A"  # in /proc/net/tcp
LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


class Marked:
    """`python WORDS` in a session of its own, begun at once. All that it starts bears its mark, and
    has a folder of its own for temporary files."""

    def __init__(self, folder: Path, *words: str):
        folder.mkdir(parents=True, exist_ok=True)
        self._mark = f"{MARK}={uuid.uuid4().hex}"
        self._shared = set(os.listdir("/dev/shm"))
        self._err = folder / "stderr"
        self.temporary = Path(tempfile.mkdtemp(prefix="b-"))  # Ray's sockets need short names
        name, _, value = self._mark.partition("=")
        with open(self._err, "ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                cwd=folder,
                env=os.environ | {name: value, "TMPDIR": str(self.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            )

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def family(self) -> list[int]:
        """Living processes of it, wherever they were started; some write their title over the
        mark, but hold a temporary file."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (place / "stat").read_bytes().rpartition(b")")[2].split()[0]
                marks = (place / "environ").read_bytes().split(b"\0")
                ours = self._mark.encode() in marks or holds(place, str(self.temporary))
                if state not in (b"Z", b"X") and ours:
                    found.append(int(place.name))
        return found

    def workers(self) -> list[int]:
        """Those that Ray has made a worker of the run's."""
        return [pid for pid in self.family() if is_worker(pid)]

    def exposed(self) -> list[str]:
        """Sockets of the family that listen to other machines: address and port, as the kernel
        writes them."""
        owned = set()
        for pid in self.family():
            with contextlib.suppress(OSError):
                for file in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        owned.add(os.readlink(file))
        found = []
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                ours = f"socket:[{words[9]}]" in owned and words[3] == LISTENS
                if ours and words[1].partition(":")[0] not in LOOPBACK:
                    found.append(words[1])
        return found

    def until(self, there: Callable[[], Any], patience: float, pause: float = 0.05) -> bool:
        """Waits until something is there; whether it came in time, and before the command ended."""
        end = time.monotonic() + patience
        while not (found := there()) and time.monotonic() < end and self.process.poll() is None:
            time.sleep(pause)
        return bool(found)

    def kill(self) -> None:
        """Ends whoever was started, and nobody that it started."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def left(self, seconds: float) -> tuple[list[str], float]:
        """Processes and files that are still there after so many seconds, and how long it took
        until there were none."""
        begin = time.monotonic()
        while (found := self._left()) and time.monotonic() - begin < seconds:
            time.sleep(0.1)
        return found, time.monotonic() - begin

    def _left(self) -> list[str]:
        self.process.poll()
        processes = [
            f"{pid} {_command(pid)[:40].decode(errors='replace')}" for pid in self.family()
        ]
        shared = [f"/dev/shm/{name}" for name in set(os.listdir("/dev/shm")) - self._shared]
        files = [str(path) for path in self.temporary.iterdir()]
        return processes + files + [path for path in shared if not _mapped(path)]

    def end(self) -> None:
        """Ends the whole family."""
        while family := self.family():
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        self.process.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)


def is_worker(pid: int) -> bool:
    """Whether Ray has made a process one of a run's workers: it is named after what it runs."""
    title = _command(pid)
    return title.startswith(f"ray::{Process.__name__}".encode())


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _mapped(path: str) -> bool:
    """Whether a living process has it: then it is another run's."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if path in maps.read_text(errors="replace"):
                return True
    return False
