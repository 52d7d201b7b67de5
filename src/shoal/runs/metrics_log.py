"""The record of a run: one JSON line a row, appended, and never a reason for training to stop."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shoal.runs.durable import to_json


class MetricsLog:
    """Appends rows to a file. NaN and infinities are written as null.

    A row is in the file whole or not at all. One that cannot be written (a full disk) is dropped
    and counted in `dropped`, with one warning. A checkpoint keeps `offset()`; a resumed run calls
    `truncate_to` with it, so that no row is there twice.
    """

    def __init__(self, path: Path):
        """Opens the log, and cuts the torn last line that a killed process may have left."""
        self.path = path
        self.dropped = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._end = 0  # whole lines end here
        self._synced_end = 0  # and these are on the disk
        self._unsynced_rows = 0
        self._warned = False
        self._cut(os.fstat(self._file).st_size)

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes one row, or drops it if the disk refuses."""
        line = (json.dumps(to_json(row), allow_nan=False) + "\n").encode()
        try:
            self._repair()
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            self._drop(1, error)
            return
        self._end += len(line)
        self._unsynced_rows += 1

    def offset(self) -> int:
        """The length of the log in bytes, once all of it is on the disk.

        Rows that the disk accepted but then failed to keep are dropped, so that the answer is
        always the end of a whole line that will still be there.
        """
        try:
            os.fsync(self._file)
            self._synced_end = self._end
        except OSError as error:
            self._end = self._synced_end
            self._drop(self._unsynced_rows, error)
        self._unsynced_rows = 0
        return self._end

    def truncate_to(self, offset: int) -> None:
        """Forgets the rows after `offset`, which a resumed run will write again."""
        self._cut(offset)
        if self._end != offset:
            lost = f"{self.path} has {self._end} of the {offset} bytes at the checkpoint"
            warnings.warn(f"{lost}: some rows are lost", RuntimeWarning, stacklevel=2)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _cut(self, limit: int) -> None:
        """Ends the file after the last whole line within `limit` bytes."""
        self._end = min(limit, os.fstat(self._file).st_size)
        while self._end > 0 and os.pread(self._file, 1, self._end - 1) != b"\n":
            self._end -= 1
        self._repair()
        self._synced_end, self._unsynced_rows = self._end, 0

    def _repair(self) -> None:
        """Removes what follows the last whole line, such as what a failed write left."""
        if os.fstat(self._file).st_size > self._end:
            os.ftruncate(self._file, self._end)

    def _drop(self, rows: int, error: OSError) -> None:
        self.dropped += rows
        if not self._warned:
            self._warned = True
            message = f"metrics are being dropped: cannot write {self.path}: {error.strerror}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log; a torn last line is left out."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
