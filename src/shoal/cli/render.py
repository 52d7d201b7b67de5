"""shoal render DIR: watch what a run's policy does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shoal.cli.parse import parse, take
from shoal.cli.sweep import check_member, describe_member, say
from shoal.core.limits import Natural
from shoal.core.names import heading
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


def run(arguments: list[str]) -> int:
    """Renders and says where."""
    (directory,), rest = take(arguments, ["DIR"], "shoal render DIR [--format html|gif|mp4]")
    options = parse(Options, rest, "shoal render DIR")
    check_member(RunDirectory.open(Path(directory)).read_config(), options.member)

    from shoal.training.run import load

    path = options.out or Path(directory) / _name(options)
    loaded = load(Path(directory), best=options.best, env=options.env)
    save_replay(
        loaded,
        options.format,
        path,
        options.episodes,
        options.seed,
        options.greedy,
        member=options.member,
    )
    several = len(loaded.policies) > 1
    print(f"{path} ({describe_member(loaded.config, options.member)})" if several else path)
    return 0


def _name(options: Options) -> str:
    """The first member has the run's replay; another's does not take its place."""
    number = f"_{options.member}" if options.member else ""
    return f"replay{number}.{options.format}"


def save_replay(
    run: Any,
    format: str,
    path: Path,
    episodes: int = 5,
    seed: int = 0,
    greedy: bool = True,
    *,
    member: int = 0,
) -> Path:
    """Records episodes of a member's policy and writes them as html, gif or mp4."""
    import jax

    from shoal.recording.recording import record
    from shoal.recording.replay_html import save_replay as save_html

    recording = record(
        run.policies[member],
        run.env,
        jax.random.key(seed),
        episodes,
        greedy=greedy,
        algorithm=heading(run.config.algorithm),
        seed=run.config.members()[member]["seed"],
    )
    if format == "html":
        return save_html(recording, path)
    from shoal.recording.video import save_gif, save_mp4

    return (save_gif if format == "gif" else save_mp4)(recording, path)


def save_curve(run: Any) -> Path:
    """Draws `curve.png`: the return during training, one line a setting of a sweep and a team of
    rivals, with the scripted score where there is one and one team."""
    from shoal import evaluate
    from shoal.core.env import Env
    from shoal.core.teams import return_names
    from shoal.reports.curve import curve_from_rows, save_curve as save
    from shoal.training.evaluation import has_script

    config, rows = run.config, run.metrics
    teams = return_names(run.env.spec)[1:]
    scripted = not teams and isinstance(run.env, Env) and has_script(run.env)
    settings = [{k: v for k, v in m.items() if k != "seed"} for m in config.members()]
    curves = [
        curve_from_rows(
            [row for row in rows if setting.items() <= row.items()],
            ", ".join([say(setting) or heading(config.algorithm), *name.split("/")[1:]]),
            name,
        )
        for setting in settings[:: config.seeds]
        for name in teams or ("return",)
    ]
    return save(
        run.directory / "curve.png",
        curves,
        title=f"{heading(config.algorithm)} in {heading(config.environment)}",
        horizon=run.env.spec.horizon,
        scripted=evaluate("scripted", run.env, episodes=1000).mean if scripted else None,
    )
