"""Ends the processes of a run's own Ray cluster once the run is gone, and removes their folder.

Ray ends them too, but for some that may outlive a run that is killed. Standard library only.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "SHOAL_RAY_FOLDER"  # in the environment of every process of a cluster: its folder
PATIENCE = 3.0  # seconds for Ray to end them by itself


def main() -> None:
    """Waits for the end of standard input, which whoever started this holds open."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    (folder,) = sys.argv[1:]
    while os.read(0, 1):
        pass
    until = time.monotonic() + PATIENCE
    while marked(folder) and time.monotonic() < until:
        time.sleep(0.1)
    while left := marked(folder):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def marked(folder: str) -> list[int]:
    """The processes that were started with that mark, but for this one: also those whose title,
    which is Ray's, is written over their environment, by the files of the folder that they hold."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            zombie = (place / "stat").read_bytes().rpartition(b")")[2].split()[:1] == [b"Z"]
            ours = mark in (place / "environ").read_bytes().split(b"\0")
            titled = (place / "cmdline").read_bytes().startswith(b"ray::")
            if not zombie and (ours or (titled and holds(place, folder))):
                found.append(int(place.name))
    return found


def holds(process: Path, folder: str) -> bool:
    """Whether a process, by its place under /proc, has something in a folder open."""
    for file in (process / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.readlink(file).startswith(f"{folder}/"):
                return True
    return False


if __name__ == "__main__":
    main()
