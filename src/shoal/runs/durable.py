"""Files that are there whole or not at all, whatever kills the process or fills the disk."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from shoal.core.errors import UserError, in_a_line, require

TEMPORARY = ".tmp-"
"""How the name of everything that is not yet committed begins."""

Json = dict[str, Any]
"""A JSON object."""

_LARGEST_JSON = 64 * 2**20


def sync(path: Path) -> None:
    """Waits until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a directory, and say so with EINVAL.
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Writes or replaces a file: a reader sees the old one or the new one, never half of it.

    Write to the path that this yields. It has the suffix of `path`, whose place it takes at the
    end; where something is raised, nothing has changed. What a link points to stays as it is: the
    file takes the place of the link.
    """
    device = Path("/dev") in path.parents  # such as /dev/stdout, which may lead to a file
    if device or (path.exists() and not path.is_file()):
        yield path
        return
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Writes or replaces a file whole, as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def check_ours(path: Path, mark: str, whose: str, option: str) -> None:
    """Raises `UserError` where a file is there that has no such mark: something else is kept."""
    ours = not path.is_file() or mark.encode() in path.read_bytes()
    require(ours, f"{path} exists and is not {whose}: choose another {option}")


def write_json_atomic(path: Path, obj: Any) -> None:
    """Writes or replaces a JSON file whole, as `replacing` does.

    Arrays become lists, and numbers that JSON lacks (NaN, infinities) become null.
    """
    write_atomic(path, json.dumps(to_json(obj), indent=2, allow_nan=False) + "\n")


def size_of_file(path: Path, most: int) -> int:
    """The bytes of what is to be read. Raises `OSError`, or `ValueError` for more than `most`, and
    for what is no file: a link out of somebody's directory, or a pipe that never ends."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a link" if stat.S_ISLNK(found.st_mode) else "no file"
        raise ValueError(f"{path.name} is {kind}")
    if found.st_size > most:
        raise ValueError(f"{path.name} is larger than {most} bytes")
    return found.st_size


def read_json(path: Path) -> Any:
    """Reads a JSON file of bounded size. Raises `OSError` or `ValueError`."""
    size_of_file(path, _LARGEST_JSON)
    try:
        return strict_json(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error


def strict_json(data: bytes) -> Any:
    """What JSON text says. Raises `ValueError` or `RecursionError`, also for halves of a pair of
    code units, which no file and no terminal could be given."""
    content = json.loads(data)
    if re.search(rb"\\u[dD][89abAB]", data):
        json.dumps(content, ensure_ascii=False).encode()
    return content


def read_object(path: Path) -> Json:
    """Reads a file with a JSON object. Raises `UserError`, which names the file, for any other."""
    try:
        content = read_json(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"cannot read {path}: {in_a_line(error, named=False)}") from error
    require(isinstance(content, dict), f"cannot read {path}: it is not a JSON object")
    return content


@runtime_checkable
class _Array(Protocol):
    """NumPy's or JAX's, neither of which is imported for it."""

    def tolist(self) -> Any: ...


def to_json(obj: Any) -> Any:
    """`obj` as strict JSON has it: arrays as lists, NaN and infinities as null."""
    if isinstance(obj, Mapping):
        return {str(key): to_json(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [to_json(value) for value in obj]
    if isinstance(obj, _Array):
        return to_json(obj.tolist())
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    return obj


def json_digest(obj: Any) -> str:
    """SHA-256 of JSON content, whatever the order of its keys and its white space.

    >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
