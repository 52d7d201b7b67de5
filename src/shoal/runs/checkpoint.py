"""Checkpoints: a pytree of arrays in one safetensors file, and a manifest that proves it whole.

    root/step_<n>/state.safetensors     the leaves, named by their paths in the tree
    root/step_<n>/manifest.json         what they must be: sizes, hashes, versions, step, counters
    root/<name>/step_<n>/...            a series kept apart, such as `best`

A checkpoint is written under a temporary name, forced to the disk and then renamed: whatever
interrupts it, a directory called `step_<n>` is complete. Reading does not rely on that but
verifies, because disks and people change files too. A run that goes on passes over a checkpoint
that fails for the one before it; who only reads is told. Nothing that is read is ever run.
"""

import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError

from shoal.core.errors import Failure, UserError, in_a_line, require
from shoal.runs.durable import TEMPORARY, json_digest, read_json, size_of_file, sync
from shoal.runs.tensor_file import (
    PyTree,
    describe,
    difference,
    largest_size,
    read_tensors,
    structure_of,
    write_tensors,
)

__all__ = ["CheckpointError", "Loaded", "latest_step", "load", "save", "save_named"]

FORMAT = 1

_STATE, _MANIFEST = "state.safetensors", "manifest.json"
_MANIFEST_TYPES = {
    "format": int,
    "step": int,
    "config_hash": str,
    "versions": dict,
    "tensors": dict,
    "file": dict,
    "extra": dict,
}
# A second save of one step, after a run went back to an earlier one, gets a suffix: a commit is
# always a rename to a name that is free, never a moment without either.
_DIRECTORY = re.compile(r"step_(0|[1-9]\d{0,17})(?:\.([1-9]\d{0,8}))?", re.ASCII)
_NAME = re.compile(r"(?!step_)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class CheckpointError(Failure):
    """A checkpoint could not be written. The ones before it are untouched."""


@dataclass(frozen=True)
class Loaded:
    """A verified checkpoint. `warnings` has one line for each newer one that was passed over, and
    one for each library whose version has changed since: who reads must say them."""

    state: PyTree
    step: int
    extra: dict[str, Any]
    path: Path
    warnings: tuple[str, ...]


def save(
    root: Path,
    step: int,
    state: PyTree,
    *,
    config_hash: str,
    extra: dict[str, Any],
    keep: int,
) -> Path:
    """Commits `state` as `root/step_<step>`, then deletes all but the newest `keep`.

    Checkpoints of this and later steps that were there before are deleted as well: they are of a
    history that the run went back on.

    Args:
        state: a pytree of arrays, typed PRNG keys and Python numbers.
        config_hash: the identity of the run; `load` refuses any other.
        extra: JSON content that comes back as it was (NaN and infinities too).

    Raises:
        CheckpointError: the disk is full, read-only or failing: one line, and nothing has changed.
    """
    require(step >= 0, f"step is {step}, expected 0 or more")
    require(keep >= 1, f"keep is {keep}, expected at least 1")
    temporary = root / f"{TEMPORARY}step_{step}-{os.getpid()}"
    try:
        _prepare(root)
        temporary.mkdir()
        write_tensors(temporary / _STATE, state)
        _write_manifest(temporary, step, structure_of(state), config_hash, extra)
        target = _free_name(root, step)
        os.rename(temporary, target)
        sync(root)
    except (OSError, SafetensorError) as error:
        message = f"cannot save step {step} in {root}: {_line(error)}"
        raise CheckpointError(message) from error
    finally:  # nothing, once it is renamed
        shutil.rmtree(temporary, ignore_errors=True)
    _retire(root, target, keep)
    return target


def save_named(
    root: Path,
    name: str,
    step: int,
    state: PyTree,
    *,
    config_hash: str,
    extra: dict[str, Any],
) -> Path:
    """Commits `state` as the one checkpoint of the series `name`, such as `best`.

    It lives in `root/<name>`, so that neither series deletes the other or stands in for it.
    """
    return save(_series(root, name), step, state, config_hash=config_hash, extra=extra, keep=1)


def load(
    root: Path,
    template: PyTree,
    *,
    config_hash: str,
    name: str | None = None,
    step: int | None = None,
    fall_back: bool = False,
) -> Loaded:
    """The newest checkpoint of `root`, or of its series `name`.

    Args:
        template: the tree to fill, as `jax.eval_shape` gives it. Its shapes and types bound what
            is read before any of it is.
        step: of that step instead.
        fall_back: whether one that is damaged is passed over for the one before it.

    Raises:
        UserError: there is none, or none is good; the line has the reason for each. Without
            `fall_back` it names the steps of the others.
    """
    root = _series(root, name)
    structure = structure_of(template)
    reasons: dict[Path, str] = {}
    _check_step(root, step)
    # Listed anew each time: a run that is still going may retire one checkpoint for another.
    while untried := [
        path
        for path in _checkpoints(root)
        if path not in reasons and step in (None, _order(path)[0])
    ]:
        path = untried[-1]
        try:
            manifest = _verify(path, structure, config_hash)
            state = read_tensors(path / _STATE, structure)
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            reasons[path] = _line(error)
            if not fall_back and path.is_dir():  # it has not been retired meanwhile
                raise UserError(_refused(root, path, reasons[path])) from error
            continue
        found, instead = manifest["step"], f"step {manifest['step']} is read instead"
        skipped = [f"skipped checkpoint {p}: {reason}; {instead}" for p, reason in reasons.items()]
        warnings = (*skipped, *_changes(manifest["versions"]))
        return Loaded(state, found, manifest["extra"], path, warnings)
    why = "; ".join(f"{path.name}: {reason}" for path, reason in reasons.items())
    raise UserError(f"no usable checkpoint in {root}: {why or 'there is none'}")


def _check_step(root: Path, step: int | None) -> None:
    """Raises `UserError` where there are checkpoints, but none of that step."""
    known = sorted({_order(path)[0] for path in _checkpoints(root)})
    if step is not None and known and step not in known:
        there = ", ".join(map(str, known))
        raise UserError(f"{root} has no checkpoint of step {step}: choose one of {there}")


def _refused(root: Path, path: Path, reason: str) -> str:
    """Why a checkpoint is not read, and what could be instead."""
    steps = sorted({_order(other)[0] for other in _checkpoints(root)} - {_order(path)[0]})
    instead = f": read an older one with --checkpoint {steps[-1]}" if steps else ""
    return f"cannot read checkpoint {path}: {reason}{instead}"


def latest_step(root: Path, name: str | None = None) -> int | None:
    """The step of the newest committed checkpoint, not yet verified; `None` if there is none."""
    checkpoints = _checkpoints(_series(root, name))
    return _order(checkpoints[-1])[0] if checkpoints else None


def _series(root: Path, name: str | None) -> Path:
    if name is None:
        return root
    require(
        _NAME.fullmatch(name) is not None,
        f"checkpoint name '{name}' is not usable: expected letters, digits, '.', '_' or '-', "
        "and no 'step_' in front",
    )
    return root / name


def _order(path: Path) -> tuple[int, int]:
    """The step of a checkpoint and the suffix of a repeated save; (-1, 0) of anything else."""
    match = _DIRECTORY.fullmatch(path.name)
    return (int(match[1]), int(match[2] or 0)) if match else (-1, 0)


def _checkpoints(root: Path) -> list[Path]:
    """The committed checkpoints, oldest first. Links are not followed."""
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        paths = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted((path for path in paths if _order(path)[0] >= 0), key=_order)


def _free_name(root: Path, step: int) -> Path:
    saves = [_order(path)[1] for path in _checkpoints(root) if _order(path)[0] == step]
    return root / (f"step_{step}.{max(saves) + 1}" if saves else f"step_{step}")


def _prepare(root: Path) -> None:
    """Creates the directory, or clears it of what an earlier process left unfinished."""
    if not root.is_dir():
        root.mkdir(parents=True)
        sync(root.parent)
    for leftover in root.glob(f"{TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _retire(root: Path, newest: Path, keep: int) -> None:
    """Deletes what `newest` made obsolete. It is committed, so a failure here costs space only."""
    with suppress(OSError):
        checkpoints = _checkpoints(root)
        older = [path for path in checkpoints if _order(path)[0] < _order(newest)[0]]
        kept = {newest, *older[max(0, len(older) - (keep - 1)) :]}
        for path in checkpoints:
            if path not in kept:
                doomed = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
                os.rename(path, doomed)  # first, so that no half of it is ever seen
                shutil.rmtree(doomed)


def _write_manifest(
    directory: Path, step: int, structure: PyTree, config_hash: str, extra: dict[str, Any]
) -> None:
    """Forces the tensor file to the disk, then the manifest that describes it."""
    sync(directory / _STATE)
    content = {
        "format": FORMAT,
        "step": step,
        "config_hash": config_hash,
        "versions": _versions(),
        "tensors": describe(structure),
        "file": _identity(directory / _STATE),
        "extra": extra,
    }
    content = json.loads(json.dumps(content))  # as it will be read back, for the checksum
    text = json.dumps({**content, "checksum": json_digest(content)}, indent=1)
    (directory / _MANIFEST).write_text(f"{text}\n")
    sync(directory / _MANIFEST)
    # safetensors lets nobody but its owner read a file; the manifest has the user's usual mode.
    shutil.copymode(directory / _MANIFEST, directory / _STATE)
    sync(directory)


def _identity(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def _verify(path: Path, structure: PyTree, config_hash: str) -> dict[str, Any]:
    """The manifest, once everything that it says of the checkpoint is known to be so."""
    manifest = _check_manifest(read_json(path / _MANIFEST))
    found, step = manifest["config_hash"], manifest["step"]
    _check(
        found == config_hash,
        f"it is of another run (configuration {found:.12}, expected {config_hash:.12})",
    )
    _check(step == _order(path)[0], f"its manifest is of step {step}")
    other = difference(manifest["tensors"], describe(structure))
    _check(other is None, f"it is of another kind of state: {other}")
    size = size_of_file(path / _STATE, largest_size(structure))
    _check(_identity(path / _STATE) == manifest["file"], f"{_STATE} is damaged ({size} bytes)")
    return manifest


def _check_manifest(manifest: Any) -> dict[str, Any]:
    """The manifest without its checksum, if that shows it to be just what `save` wrote."""
    _check(isinstance(manifest, dict), f"{_MANIFEST} is damaged")
    version = manifest.get("format")
    _check(version == FORMAT, f"it has format {version}, this version of shoal reads {FORMAT}")
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    whole = content.keys() == _MANIFEST_TYPES.keys() and all(
        isinstance(content[key], kind) for key, kind in _MANIFEST_TYPES.items()
    )
    _check(whole and manifest.get("checksum") == json_digest(content), f"{_MANIFEST} is damaged")
    return content


def _check(good: bool, reason: str) -> None:
    if not good:
        raise ValueError(reason)


def _versions() -> dict[str, str]:
    try:
        shoal = metadata.version("shoal")
    except metadata.PackageNotFoundError:  # run from its source, without being installed
        shoal = "source"
    return {"shoal": shoal, "jax": jax.__version__, "numpy": np.__version__}


def _changes(saved: dict[str, Any]) -> list[str]:
    return [
        f"saved with {library} {saved.get(library)}, read with {version}: the last bits may differ"
        for library, version in _versions().items()
        if saved.get(library) != version
    ]


def _line(error: Exception) -> str:
    """An error in one line, with the name of the file but not the path, which is said already."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f" ({Path(error.filename).name})" if error.filename else "")
    return in_a_line(error, named=False, whole=True)
