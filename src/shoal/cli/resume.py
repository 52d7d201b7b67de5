"""shoal resume DIR: continue an interrupted run to its end."""

from pathlib import Path

from shoal.cli.finish import finish, guarded
from shoal.cli.parse import parse, take
from shoal.training.run_directory import RunDirectory


class _Options:
    """Continue a run from its last good checkpoint."""

    def __init__(self, pictures: bool = True):
        """
        Args:
            pictures: whether to make curve.png and replay.html at the end.
        """
        self.pictures = pictures


def run(arguments: list[str]) -> int:
    """Resumes the run in DIR."""
    (directory,), rest = take(arguments, ["DIR"], "shoal resume DIR")
    options = parse(_Options, rest, "shoal resume DIR")
    path = Path(directory)

    RunDirectory.open(path).read_config()
    from shoal.training.run import resume

    return guarded(path, lambda: finish(resume(path, quiet=False), options.pictures))
