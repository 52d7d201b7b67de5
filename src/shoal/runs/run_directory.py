"""The directory of a run: one process writes it at a time, and what it holds can be trusted.

config.json     all that is needed to run it again
metrics.jsonl   a row for each report
checkpoints/    see `shoal.runs.checkpoint`
lock            who is writing, for as long as that process lives
"""

import contextlib
import difflib
import errno
import fcntl
import itertools
import json
import os
import re
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shoal.core.errors import UserError, may_fail_to, require
from shoal.core.names import plain_name, short_name, to_type
from shoal.runs.config import Config
from shoal.runs.durable import read_json, read_object, sync, write_json_atomic
from shoal.runs.metrics_log import MetricsLog, read_metrics

__all__ = ["MetricsLog", "RunDirectory", "read_metrics", "write_json_atomic"]

_CONFIG, _METRICS, _CHECKPOINTS, _LOCK = "config.json", "metrics.jsonl", "checkpoints", "lock"
_RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class RunDirectory:
    """A run's files. Made with `create` for a new run, with `open` for one that is there.

    Writers hold the lock (`create` takes it, `lock` does for an opened run) until `close`; the
    operating system releases it when the process ends, however it ends. Readers need no lock.
    """

    def __init__(self, path: Path):
        self.path = path
        self._locks: list[int] = []

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """A new, locked run directory: see `make`."""
        run = cls(path)
        run.make()
        return run

    def make(self) -> None:
        """Makes the directory of a new run, and locks it.

        Raises:
            UserError: the name is not usable, the place cannot be written, another process works
                there, or it holds a run already.
        """
        path = self.path
        check_place(path)
        check_plain(path)
        with may_fail_to(f"create {path}"):
            path.mkdir(parents=True, exist_ok=True)
            sync(path.parent)
        self.lock()
        try:
            check_empty(path)
        except UserError:
            self.close()
            raise

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """The run directory of a run that is there, for reading; call `lock` before writing.

        Raises:
            UserError: it holds no run; the line offers the run beside it whose name is nearest.
        """
        if not (path / _CONFIG).is_file():
            name, beside = _name(path), Path(os.path.realpath(path)).parent
            runs = [config.parent.name for config in beside.glob(f"*/{_CONFIG}")]
            near = difflib.get_close_matches(name, sorted(runs), n=1, cutoff=0.4)
            hint = f": did you mean {beside / near[0]}?" if near else f": it has no {_CONFIG}"
            raise UserError(f"{path} holds no run{hint}")
        check_plain(path)
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / _CHECKPOINTS

    @property
    def metrics(self) -> Path:
        return self.path / _METRICS

    def lock(self) -> None:
        """Becomes the one process that writes here, or raises `UserError` naming it.

        The directory itself is locked, so that nothing is gained by deleting `lock`, and that file
        too: network file systems lock files alone.
        """
        if self._locks:
            return
        path = self.path / _LOCK
        with may_fail_to(f"write in {self.path}"), contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._locks.append(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))
            create = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._locks.append(os.open(path, create, 0o666))
            undo.pop_all()
        directory, file = self._locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _lock_where_possible(directory)
        except OSError as error:
            self.close()
            taken = isinstance(error, BlockingIOError)
            why = f"is in use by {_holder(path)}" if taken else f"has no locks: {error.strerror}"
            raise UserError(f"{self.path} {why}") from error
        _sign(file)

    def close(self) -> None:
        """Releases the lock. The file stays: removing it could take another's lock away."""
        while self._locks:
            os.close(self._locks.pop())

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_config(self) -> dict[str, Any]:
        """The content of `config.json`, and the defaults of settings that it lacks. Raises
        `UserError` if it is damaged."""
        path = self.path / _CONFIG
        config = read_object(path)
        try:
            settings = Config.from_json(config).to_json()
        except UserError as error:
            raise UserError(f"{path} is not a run's configuration: {error}") from error
        for name in ("versions", "hardware"):
            good = isinstance(config.get(name, {}), dict)
            require(good, f"{path} is not a run's configuration: its {name} are no JSON object")
        return config | settings

    def write_config(self, config: dict[str, Any]) -> None:
        """Writes `config.json`. Raises `UserError` for NaN and infinities, which JSON lacks."""
        try:
            json.dumps(config, allow_nan=False)
        except ValueError as error:
            raise UserError(f"the configuration cannot be kept: {error}") from error
        write_json_atomic(self.path / _CONFIG, config)

    def keep(self, config: Config) -> None:
        """Writes down with how many processes the run goes on, and to which end: where that is
        another, its final evaluation goes."""
        before, after = self.read_config(), config.to_json()
        kept = {name: after[name] for name in ("processes", "total_steps")}
        if kept["total_steps"] != before["total_steps"]:
            (self.path / "eval.json").unlink(missing_ok=True)
        if not kept.items() <= before.items():
            self.write_config(before | kept)


def _name(path: Path) -> str:
    """The name of a directory, also when it is given as `.`; links are not followed."""
    return Path(os.path.abspath(path)).name


def check_place(path: Path) -> None:
    """Raises `UserError` where no run can be: the name will not do, or is a file's."""
    name = _name(path)
    require(
        _RUN_NAME.fullmatch(name) is not None,
        f"'{name}' cannot name a run: expected 1 to 64 letters, digits, '.', '_' or '-', "
        f"such as '{plain_name(name)}'",
    )
    require(not path.exists() or path.is_dir(), f"{path} is a file, expected a directory")


def check_plain(path: Path) -> None:
    """Raises `UserError` where a run's directory holds what is neither a file nor a directory: a
    link could lead out of it, and a pipe is read for ever."""
    for place in (path, path / _CHECKPOINTS):
        if not place.is_dir():
            continue
        with may_fail_to(f"read {place}"), os.scandir(place) as entries:
            for entry in entries:
                link = entry.is_symlink()
                plain = not link and (entry.is_dir() or entry.is_file())
                kind = "a link" if link else "neither file nor directory"
                require(plain, f"{entry.path} is {kind}: a run's directory holds none")


def check_empty(path: Path) -> None:
    """Raises `UserError` where there is a run already."""
    held = [name for name in (_CONFIG, _METRICS, _CHECKPOINTS) if (path / name).exists()]
    require(
        not held,
        f"{path} holds a run already ({', '.join(held)}): "
        f"continue it with `{to_type('shoal', 'resume', path)}` or choose another --out",
    )


def clear_unsaved(path: Path) -> bool:
    """Whether a run whose process has died had no checkpoint yet. If so, what it had written is
    removed, and the run can be begun anew."""
    if any((path / _CHECKPOINTS).glob("step_*")):
        return False
    for name in (_CONFIG, _METRICS):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / _CHECKPOINTS, ignore_errors=True)
    return True


def free_directory(algorithm: str, environment: str) -> Path:
    """`runs/<algorithm>_<world>_<n>` with the first n that is free; a name that a run cannot have,
    such as that of an object of the user's, gives the nearest one."""
    stem = plain_name("_".join(map(short_name, (algorithm, environment))), most=56)
    free = (Path("runs") / f"{stem}_{n}" for n in itertools.count())
    return next(path for path in free if not path.exists())


def _lock_where_possible(directory: int) -> None:
    """Locks a directory, where the file system can."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOTSUP):
            raise


def _sign(lock: int) -> None:
    """Notes who holds the lock. It holds all the same if a full disk prevents the note."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    note = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.write(lock, f"{json.dumps(note)}\n".encode())


def _holder(path: Path) -> str:
    try:
        note = read_json(path)
        return f"process {note['pid']} on {note['host']} since {note['started']}"
    except (OSError, ValueError, KeyError, TypeError):  # locked this instant, and not yet signed
        return "another process"
