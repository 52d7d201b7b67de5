"""shoal export DIR: a run's policy as one file that runs without Shoal, and a card beside it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.cli.arguments import Arguments
from shoal.cli.parse import read
from shoal.cli.sweep import check_member, count_members, describe_member
from shoal.core.limits import Natural
from shoal.runs.run_directory import RunDirectory

USAGE = "shoal export DIR [--format onnx|stablehlo] [--agent NAME] [--out FILE]"


@dataclass(frozen=True)
class Options:
    """Write a run's policy as one file that runs without Shoal."""

    format: Literal["onnx", "stablehlo"] = "onnx"
    """What to write: ONNX, for onnxruntime, needs the `export` extra; StableHLO is for JAX."""
    agent: str | None = None
    """Whose policy, at its true sizes; of all agents, padded as in training, if not given."""
    out: Path | None = None
    """The file; policy.FORMAT in the run's directory if not given."""
    member: Natural = 0
    """Which of the run's seeds or settings, from 0."""
    best: bool = False
    """Use the parameters that scored best during training, not the last ones."""
    checkpoint: Natural | None = None
    """Use the checkpoint of this step, not the newest one."""
    env: str | None = None
    """FILE.py:NAME, what makes the environment of a run that was trained on an object."""
    trust: bool = False
    """Whether code in DIR that its config.json names may be run."""
    licence: str = "not stated"
    """Under which others may use the policy, for the card."""
    force: bool = False
    """Write over files that are there."""


def run(arguments: Arguments) -> int:
    """Exports, and says where."""
    (directory,), options = read(arguments, ["DIR"], Options, USAGE)
    config = RunDirectory.open(Path(directory)).read_config()
    check_member(config, options.member)

    from shoal.export.export import export_run
    from shoal.runs.config import Config

    files = export_run(Path(directory), **vars(options))
    if count_members(config) > 1:  # beside the paths, which scripts read
        print(describe_member(Config.from_json(config), options.member), file=sys.stderr)
    print(f"{files.policy}\n{files.card}\n{files.page}")
    return 0
