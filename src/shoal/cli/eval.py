"""shoal eval DIR: play fresh episodes with a run's policy, there or in a like environment; or, as
`shoal eval scripted ENVIRONMENT`, with what policies are compared with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import check_options
from shoal.cli.elsewhere import PREFIX, Fields, check_fields, elsewhere, split
from shoal.cli.output import answer
from shoal.cli.parse import parse, read
from shoal.cli.sweep import check_member, describe_member, print_table, settings_of
from shoal.core.limits import Natural
from shoal.core.names import heading
from shoal.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class Options:
    """Evaluate a run's policy on fresh episodes."""

    episodes: int = 1000
    """Episodes to play with each seed's policy."""
    seed: int = 1
    """Seed of the episodes."""
    greedy: bool = True
    """Take the likeliest action (True) or draw (False)."""
    member: int | None = None
    """Which of the run's seeds or settings, from 0; all if not given."""
    best: bool = False
    """Use the parameters that scored best during training, not the last ones."""
    checkpoint: Natural | None = None
    """Use the checkpoint of this step, not the newest one."""
    env: str | None = None
    """FILE.py:NAME, what makes the environment of a run that was trained on an object."""
    trust: bool = False
    """Whether code in DIR that its config.json names may be run."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Arguments) -> int:
    """Evaluates and prints."""
    usage = "shoal eval DIR [--episodes N] [--seed S] [--env.FIELD VALUE] [--json]"
    own, rest = split(arguments)
    if rest.names[:1] in (["random"], ["scripted"]) and len(rest.names) > 1:
        return _controller(rest, own)
    (directory,), options = read(rest, ["DIR"], Options, usage)
    check_fields(directory, own)
    check_member(RunDirectory.open(Path(directory)).read_config(), options.member)

    from shoal.training.run import evaluate_run, load

    given = vars(options)
    run, where = elsewhere(
        load(Path(directory), **{k: given[k] for k in ("best", "checkpoint", "env", "trust")}), own
    )
    how = {k: given[k] for k in ("episodes", "seed", "greedy", "member")}
    report = evaluate_run(run, **how)
    report["environment_fields"] = run.config.environment_fields
    swept = list(run.config.sweep) if options.member is None else []
    if options.json:
        if swept:
            settings = settings_of(swept, report["members"])
            report["settings"] = [setting.to_json() for setting in settings]
        answer(report)
    elif swept:
        if where:
            print(f"in {heading(report['environment'])}{where}")
        print_table(run.config, report["members"], options.episodes)
    else:
        _print(run.config, report, options, where)
    return 0


@dataclass(frozen=True)
class Controller:
    """Evaluate random play, or an environment's hand-written controller."""

    episodes: int = 1000
    """Episodes to play."""
    seed: int = 1
    """Seed of the episodes."""
    json: bool = False
    """Print one JSON object and nothing else."""


def _controller(arguments: Arguments, own: Arguments) -> int:
    """Of `random ENVIRONMENT` or `scripted ENVIRONMENT`."""
    usage = "shoal eval random|scripted ENVIRONMENT [--episodes N] [--env.FIELD VALUE]"
    (which, name), options = read(arguments, [arguments.names[0], "ENVIRONMENT"], Controller, usage)
    target = registry.find("environment", name, registry.ENVIRONMENTS).target
    check_options(own, {PREFIX: target})
    from shoal.training.run import evaluate

    env = parse(Fields(registry.make(name)), own, usage).env
    found = evaluate(which, env, episodes=options.episodes, seed=options.seed)
    if options.json:
        report = {"environment": name, "policy": which, "episodes": options.episodes}
        score = {key: value for key, value in vars(found).items() if key != "metrics"}
        answer(report | {"return": score, "metrics": found.metrics})
        return 0
    print(f"{which} play in {heading(name)}, {options.episodes} episodes\n{found}")
    return 0


def _print(config: Any, report: dict[str, Any], options: Options, where: str) -> None:
    """A line a score."""
    from shoal.training.scoring import shown_scores

    which = "" if options.member is None else f", {describe_member(config, options.member)}"
    world = heading(report["environment"])
    print(f"{heading(report['algorithm'])} in {world}{where}{which}, {options.episodes} episodes")
    for name, score in shown_scores(report["return"], report["metrics"]).items():
        print(f"  {name:<26}{score['mean']:>10.3f}  [{score['low']:.3f}, {score['high']:.3f}]")
    for name, value in report["assessed"].items():
        print(f"  {name:<26}{value:>10.3f}")
    if report["assessed"] and options.greedy:
        names = ", ".join(report["assessed"])
        print(f"  the returns are of the likeliest actions, {names} is of the policy as it mixes")
        print("  --greedy False draws its actions")
