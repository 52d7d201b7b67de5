"""shoal track DIR --to NAME: send a run's rows to an experiment tracker, now or as they come."""

from dataclasses import dataclass
from pathlib import Path

from shoal.cli.arguments import Arguments
from shoal.cli.parse import read
from shoal.core.errors import require
from shoal.core.terminal import say
from shoal.runs.run_directory import RunDirectory
from shoal.trackers.choice import TRACKERS, choose

USAGE = f"shoal track DIR --to {'|'.join(TRACKERS)} [--follow]"


@dataclass(frozen=True)
class Options:
    """Send a run's metrics to an experiment tracker, from the first row on."""

    to: str = ""
    """wandb, mlflow or trackio; several with commas between them."""
    follow: bool = False
    """Go on until the run has reached its end, sending rows as they come."""


def run(arguments: Arguments) -> int:
    """Sends, and says where the rows are."""
    (directory,), options = read(arguments, ["DIR"], Options, USAGE)
    names = [str(name) for name in choose(options.to)]
    require(bool(names), f"--to is missing; usage: {USAGE}")
    require(
        len(names) == 1 or not options.follow, "--follow sends to one tracker: name a single one"
    )
    RunDirectory.open(Path(directory)).read_config()

    from shoal.trackers.tracker import TrackerError
    from shoal.trackers.upload import upload

    for name in names:
        try:
            count, place = upload(Path(directory), name, follow=options.follow)
        except TrackerError as error:
            say(f"shoal: {name}: {error}")
            return 1
        print(f"{name}: {count} rows: {place}")
    return 0
