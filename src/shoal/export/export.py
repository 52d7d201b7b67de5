"""Policies out: one file with everything inside, and a card beside it.

    shoal export runs/spread --format onnx      policy.onnx, policy.card.json, policy.md

ONNX runs wherever onnxruntime does, StableHLO in JAX and other users of XLA.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.core.algorithm import Policy
from shoal.core.errors import may_fail_to, require, unknown
from shoal.envs.host.world import World
from shoal.export.onnx_export import require_onnx, to_onnx
from shoal.export.policy_card import card_page, policy_card
from shoal.export.policy_function import PolicyFunction, policy_function
from shoal.export.stablehlo_export import to_stablehlo
from shoal.runs.durable import Json, read_json, to_json, write_atomic, write_json_atomic
from shoal.runs.run_directory import RunDirectory
from shoal.training.run import load

FORMATS: dict[str, Callable[[PolicyFunction, Json | None], bytes]] = {
    "onnx": to_onnx,
    "stablehlo": lambda function, facts: to_stablehlo(function),
}
"""How each format is written; its name is also its suffix."""


@dataclass(frozen=True)
class Exported:
    """The files of an export."""

    policy: Path
    card: Path
    page: Path


def export_policy(
    policy: Policy,
    env: World,
    path: Path | str,
    *,
    format: str = "onnx",
    agent: str | None = None,
    force: bool = False,
) -> Path:
    """Writes a policy as one file and returns its path.

    Args:
        policy: what to write.
        env: where it acts.
        path: the file.
        format: `onnx` or `stablehlo`.
        agent: whose policy to write, at its true sizes; of all agents, padded, if not given.
        force: whether to write over a file that is there.

    Raises:
        UserError: no such format or agent, a policy that cannot be exported, a place that cannot be
            written, or `onnx` is not installed.
    """
    path = Path(path)
    _check_format(format)
    _check_free(path, force)
    _write(path, FORMATS[format](policy_function(policy, env, agent), None))
    return path


def export_run(
    directory: Path | str,
    format: str = "onnx",
    *,
    agent: str | None = None,
    out: Path | str | None = None,
    member: int = 0,
    best: bool = False,
    checkpoint: int | None = None,
    licence: str = "not stated",
    force: bool = False,
    env: World | str | None = None,
    trust: bool = False,
) -> Exported:
    """Writes the policy of a run, its card and its page; the card is inside an ONNX file too.

    Args:
        directory: the run.
        format: `onnx` or `stablehlo`.
        agent: whose policy to write; of all agents if not given.
        out: the file; `policy.FORMAT` or `policy_AGENT.FORMAT` in the run's directory if not given.
        member: which of the run's seeds or settings, from 0.
        best: the best evaluated parameters, not the last ones.
        checkpoint: those of the checkpoint of that step.
        licence: under which others may use the policy; the card says so.
        force: whether to write over files that are there.
        env: needed only for an environment that has no name: it, or the address of what makes it.
        trust: whether code in the run's directory that its configuration names may be run.

    Raises:
        UserError: as for `export_policy`, or the run has no such member or no checkpoint.
    """
    directory = Path(directory)
    RunDirectory.open(directory)
    _check_format(format)
    path = Path(out) if out is not None else directory / f"{_stem(agent)}.{format}"
    _check_free(path, force)
    run = load(directory, best=best, checkpoint=checkpoint, env=env, trust=trust)
    most = len(run.policies)
    require(0 <= member < most, f"member is {member}, expected 0 to {most - 1}")
    function = policy_function(run.policies[member], run.env, agent)
    which = "best" if best else "last" if checkpoint is None else checkpoint
    facts = policy_card(run, function, agent=agent, member=member, which=which, licence=licence)
    files = Exported(path, path.with_suffix(".card.json"), path.with_suffix(".md"))
    others = _described_before(files, facts, force)
    data = FORMATS[format](function, facts)
    described = {"format": format, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    card = {**facts, "files": {**others, path.name: described}}
    _write(path, data)
    write_json_atomic(files.card, card)
    _write(files.page, card_page(card))
    return files


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format == "onnx":
        require_onnx()


def _check_free(path: Path, force: bool) -> None:
    """Raises `UserError` where the file cannot be, or is there already."""
    require(not path.is_dir(), f"{path} is a directory, expected a file's name")
    require(
        path.suffix not in (".json", ".md"),
        f"{path.name} cannot name a policy: its card and its page have that ending",
    )
    require(force or not path.exists(), f"{path} exists: add --force or choose another --out")


def _described_before(files: Exported, facts: Json, force: bool) -> Json:
    """The files that the card beside names already: those of the same policy in other formats."""
    try:
        old = read_json(files.card) if files.card.exists() else {}
    except (OSError, ValueError):
        old = {}
    others = old.pop("files", {}) if isinstance(old, dict) else {}
    if old == _as_json(facts):
        return others
    for path in (files.card, files.page):
        require(
            force or not path.exists(),
            f"{path} is there and tells of something else: add --force or choose another --out",
        )
    return {}


def _as_json(facts: Json) -> Any:
    """What reading the facts back would give: tuples have become lists."""
    return json.loads(json.dumps(to_json(facts)))


def _stem(agent: str | None) -> str:
    return "policy" if agent is None else f"policy_{re.sub(r'[^A-Za-z0-9.-]+', '_', agent)}"


def _write(path: Path, data: bytes | str) -> None:
    with may_fail_to(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
