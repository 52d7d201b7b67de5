"""The record of a run: one JSON line a row, appended, and never a reason for training to stop."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shoal.core.errors import UserError
from shoal.runs.durable import size_of_file, strict_json, to_json

_LARGEST = 2**40  # bytes of a log
_LONGEST = 2**24  # and of one row


class MetricsLog:
    """Appends rows to a file. NaN and infinities are written as null.

    A row is in the file whole or not at all. Those that a full disk refuses, or takes and then
    fails to keep, wait in memory, and are written in their order once there is room. A checkpoint
    keeps `offset()`; a resumed run calls `truncate_to` with it, so that no row is there twice.
    """

    def __init__(self, path: Path):
        """Opens the log, and cuts the torn last line that a killed process may have left."""
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o666)
        self._end = 0  # whole lines end here
        self._unsynced: list[bytes] = []  # those of them that may not be on the disk yet
        self._waiting: list[bytes] = []  # rows that are not in the file
        self._warned = False
        self._cut(os.fstat(self._file).st_size)

    @property
    def waiting(self) -> int:
        """How many rows the disk does not hold."""
        return len(self._waiting)

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes one row, behind those that wait; it waits too if the disk refuses."""
        self._waiting.append((json.dumps(to_json(row), allow_nan=False) + "\n").encode())
        self._write()

    def offset(self) -> int:
        """The length of the log in bytes, once all of it is on the disk: the end of a whole line
        that will still be there."""
        self._write()
        try:
            os.fsync(self._file)
        except OSError as error:
            self._end -= sum(map(len, self._unsynced))
            self._waiting = self._unsynced + self._waiting
            self._warn(error)
        self._unsynced = []
        return self._end

    def truncate_to(self, offset: int) -> None:
        """Forgets the rows after `offset`, which a resumed run will write again."""
        self._cut(offset)
        if self._end != offset:
            lost = f"{self.path} has {self._end} of the {offset} bytes at the checkpoint"
            warnings.warn(f"{lost}: some rows are lost", RuntimeWarning, stacklevel=2)

    def close(self) -> None:
        """Closes the file; says which rows it lacks."""
        self._write()
        if self._waiting:
            lost = f"{self.path} lacks the last {len(self._waiting)} rows: the disk refused them"
            warnings.warn(lost, RuntimeWarning, stacklevel=2)
        os.close(self._file)

    def _write(self) -> None:
        """Writes what waits, as far as the disk lets it."""
        try:
            self._repair()
            while self._waiting:
                line, written = self._waiting[0], 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                self._end += len(line)
                self._unsynced.append(self._waiting.pop(0))
        except OSError as error:
            self._warn(error)

    def _cut(self, limit: int) -> None:
        """Ends the file after the last whole line within `limit` bytes."""
        self._end = min(limit, os.fstat(self._file).st_size)
        while self._end > 0 and os.pread(self._file, 1, self._end - 1) != b"\n":
            self._end -= 1
        self._repair()
        self._unsynced, self._waiting = [], []

    def _repair(self) -> None:
        """Removes what follows the last whole line, such as what a failed write left."""
        if os.fstat(self._file).st_size > self._end:
            os.ftruncate(self._file, self._end)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            message = f"metrics wait in memory: cannot write {self.path}: {error.strerror}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def read_metrics(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    """The rows of a log; a torn last line is left out, and damaged rows with one warning.

    A row is an object of numbers and nulls. It has a `step`, and numbers of the `needed` names.

    Raises:
        UserError: it is no file, or cannot be read.
    """
    try:
        size_of_file(path, _LARGEST)
        with open(path, "rb") as file:
            bad = 0
            while line := file.readline(_LONGEST):
                if not line.endswith(b"\n"):
                    continue
                if (row := _row(line, ("step", *needed))) is None:
                    bad += 1
                else:
                    yield row
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if bad:
        warnings.warn(f"{path} has damaged rows, left out: {bad}", RuntimeWarning, stacklevel=2)


def _row(line: bytes, needed: tuple[str, ...]) -> dict[str, Any] | None:
    """What a line says, if that is a row."""
    try:
        row = strict_json(line)
    except (ValueError, RecursionError):
        return None
    good = isinstance(row, dict) and all(map(_is_entry, row.values()))
    good = good and all(row.get(name) is not None for name in needed)
    return row if good and type(row["step"]) is int and row["step"] >= 0 else None


def _is_entry(value: Any) -> bool:
    """Whether it is null or a number that a float can hold."""
    return value is None or (type(value) in (int, float) and abs(value) < 2**1023)
