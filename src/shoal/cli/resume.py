"""shoal resume DIR: continue an interrupted run to its end, or any run beyond it."""

from dataclasses import dataclass
from pathlib import Path

from shoal.cli import gang
from shoal.cli.arguments import Arguments
from shoal.cli.finish import finish
from shoal.cli.parse import read
from shoal.core.limits import Count, Natural
from shoal.distributed.job import is_rank
from shoal.runs.config import Config
from shoal.runs.run_directory import RunDirectory
from shoal.trackers.choice import choose


@dataclass(frozen=True)
class Options:
    """Continue a run from its last good checkpoint."""

    steps: Count | None = None
    """Environment steps in all, to train longer than the run was to last."""
    workers: Count | None = None
    """Another number of workers on Ray, of a run that has some."""
    address: str = ""
    """HOST:PORT of another Ray cluster."""
    pictures: bool | None = None
    """Whether to make curve.png and replay.html at the end; as the run was started if not given."""
    env: str | None = None
    """FILE.py:NAME, what makes the environment of a run that was trained on an object."""
    trust: bool = False
    """Whether code in DIR that its config.json names may be run."""
    track: str | None = None
    """wandb, mlflow, trackio or none, instead of those that the run was started with."""
    processes: Natural = 0
    """Processes that go on with it, if not as many as before: the run's devices are shared out."""
    coordinator: str = ""
    """HOST:PORT of process 0, where the processes are started one by one on several machines."""
    rank: Natural = 0
    """Which of the processes this is, from 0 on; with --coordinator."""


def _by_a_gang(arguments: Arguments, config: Config, processes: int, path: Path) -> int:
    """Goes on in several processes, and returns the exit code."""
    asked = gang.read(
        *(arguments, processes),
        devices=config.devices * config.member_devices,
        deterministic=config.deterministic,
        deadline=config.deadline,
    )
    return gang.start("resume", arguments, asked, gang.going_on(path))


def run(arguments: Arguments) -> int:
    """Resumes the run in DIR."""
    (directory,), options = read(arguments, ["DIR"], Options, "shoal resume DIR")
    path = Path(directory)

    config = Config.from_json(RunDirectory.open(path).read_config())
    track = None if options.track is None else choose(options.track)
    processes = gang.wanted(arguments, config.processes)
    config = config.among(processes)
    if processes > 1 and not is_rank():
        return _by_a_gang(arguments, config, processes, path)
    from shoal.training.progress import Reporter

    chosen = dict(vars(options)) | {"total_steps": options.steps, "track": track}
    for name in ("steps", "pictures", "processes", "coordinator", "rank"):
        del chosen[name]
    with Reporter() as reporter:
        reporter.stage("starting")

        from shoal.training.train import resume

        finish(resume(path, reporter=reporter, **chosen), reporter, options.pictures)
    return 0
