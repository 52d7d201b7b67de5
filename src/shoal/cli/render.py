"""shoal render DIR: watch what a run's policy does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.cli.arguments import Arguments
from shoal.cli.elsewhere import check_fields, elsewhere, split
from shoal.cli.parse import read
from shoal.cli.sweep import check_member, describe_member
from shoal.core.limits import Natural
from shoal.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class Options:
    """Make a replay of a run's policy."""

    format: Literal["html", "gif", "mp4"] = "html"
    """What to make; mp4 needs the `video` extra."""
    episodes: int = 5
    """Episodes to show."""
    seed: int = 0
    """Seed of the episodes."""
    greedy: bool = True
    """Take the likeliest action (True) or draw (False)."""
    best: bool = False
    """Use the parameters that scored best during training, not the last ones."""
    member: Natural = 0
    """Which of the run's seeds or settings, from 0."""
    env: str | None = None
    """FILE.py:NAME, what makes the environment of a run that was trained on an object."""
    out: Path | None = None
    """The file to write; replay.FORMAT in the run's directory if not given."""


def run(arguments: Arguments) -> int:
    """Renders and says where."""
    usage = "shoal render DIR [--format html|gif|mp4] [--env.FIELD VALUE]"
    own, rest = split(arguments)
    (directory,), options = read(rest, ["DIR"], Options, usage)
    check_fields(directory, own)
    check_member(RunDirectory.open(Path(directory)).read_config(), options.member)

    from shoal.training.run import load

    given = dict(vars(options))
    loaded = load(Path(directory), best=given.pop("best"), env=given.pop("env"))
    loaded, _ = elsewhere(loaded, own)
    path = loaded.save_replay(given.pop("out"), **given)
    several = len(loaded.policies) > 1
    print(f"{path} ({describe_member(loaded.config, options.member)})" if several else path)
    return 0
