"""shoal render DIR: watch what a run's policy does, or see where its agents go."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shoal.cli import browser
from shoal.cli.arguments import Arguments
from shoal.cli.elsewhere import check_fields, elsewhere, in_a_name, split
from shoal.cli.parse import read
from shoal.cli.sweep import check_member, describe_member
from shoal.core.errors import may_fail_to, require
from shoal.core.limits import Natural
from shoal.core.names import heading
from shoal.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from shoal.training.run import Run


@dataclass(frozen=True)
class Options:
    """Make a replay of a run's policy, or maps of where its agents go."""

    format: Literal["html", "gif", "mp4", "heat-map"] = "html"
    """What to make; mp4 needs the `video` extra."""
    episodes: int | None = None
    """Episodes to show, 5 if not given; to count in a heat map, 1000 if not given."""
    seed: int = 0
    """Seed of the episodes."""
    greedy: bool = True
    """Take the likeliest action (True) or draw (False)."""
    best: bool = False
    """Use the parameters that scored best during training, not the last ones."""
    checkpoint: Natural | None = None
    """Use the checkpoint of this step, not the newest one."""
    member: Natural = 0
    """Which of the run's seeds or settings, from 0."""
    env: str | None = None
    """FILE.py:NAME, what makes the environment of a run that was trained on an object."""
    trust: bool = False
    """Whether code in DIR that its config.json names may be run."""
    out: Path | None = None
    """The file to write; replay.FORMAT or heat_map.png in the run's directory if not given, with
    the environment's other fields in the name."""
    open: bool = False
    """Open what was made in the browser."""


def run(arguments: Arguments) -> int:
    """Renders and says where."""
    usage = "shoal render DIR [--format html|gif|mp4|heat-map] [--env.FIELD VALUE]"
    own, rest = split(arguments)
    (directory,), options = read(rest, ["DIR"], Options, usage)
    check_fields(directory, own)
    right = options.format != "heat-map" or options.out is None or options.out.suffix == ".png"
    require(right, f"a heat map is written to {options.out}, expected NAME.png")
    check_member(RunDirectory.open(Path(directory)).read_config(), options.member)

    from shoal.training.run import load

    given = dict(vars(options))
    to_open = given.pop("open")
    chosen = {k: given.pop(k) for k in ("best", "checkpoint", "env", "trust")}
    loaded = load(Path(directory), **chosen)
    loaded, where = elsewhere(loaded, own)
    given["episodes"] = 5 if options.episodes is None else options.episodes
    with may_fail_to(f"write {options.out or directory}"):
        if options.format == "heat-map":
            path = _save_heat_map(loaded, where, options)
        else:
            number = f"_{options.member}" if options.member else ""
            name = f"replay{in_a_name(where)}{number}.{options.format}"
            path = loaded.save_replay(given.pop("out") or loaded.directory / name, **given)
    several = len(loaded.policies) > 1
    print(f"{path} ({describe_member(loaded.config, options.member)})" if several else path)
    if to_open:
        browser.show(path)
    return 0


def _save_heat_map(run: "Run", where: str, options: Options) -> Path:
    """The picture's path; its numbers lie beside it."""
    from shoal.training.heat_maps import heat_maps

    maps = heat_maps(
        run.policies[options.member],
        run.env,
        episodes=1000 if options.episodes is None else options.episodes,
        seed=options.seed,
        greedy=options.greedy,
    )
    number = f"_{options.member}" if options.member else ""
    path = options.out or run.directory / f"heat_map{in_a_name(where)}{number}.png"
    title = f"{heading(run.config.algorithm)} in {heading(run.config.environment)}{where}"
    return maps.save(path, title=title)
