"""shoal eval DIR: play fresh episodes with a run's policy."""

import json
from dataclasses import dataclass
from pathlib import Path

from shoal.cli.parse import parse, take
from shoal.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Options:
    """Evaluate a run's policy on fresh episodes."""

    episodes: int = 1000
    """Episodes to play with each seed's policy."""
    seed: int = 1
    """Seed of the episodes."""
    greedy: bool = True
    """Take the likeliest action (True) or draw (False)."""
    best: bool = False
    """Use the parameters that scored best during training, not the last ones."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: list[str]) -> int:
    """Evaluates and prints."""
    (directory,), rest = take(
        arguments, ["DIR"], "shoal eval DIR [--episodes N] [--seed S] [--json]"
    )
    rest = [
        w for word in rest for w in ((word, "True") if word in ("--json", "--best") else (word,))
    ]
    options = parse(Options, rest, "shoal eval DIR")
    RunDirectory.open(Path(directory)).read_config()

    from shoal.training.run import evaluate_run, load

    report = evaluate_run(
        load(Path(directory), best=options.best),
        episodes=options.episodes,
        seed=options.seed,
        greedy=options.greedy,
    )
    if options.json:
        print(json.dumps(report))
        return 0
    print(f"{report['algorithm']} in {report['environment']}, {options.episodes} episodes")
    rows = {"return per agent": report["return"]} | report["metrics"]
    for name, score in rows.items():
        print(f"  {name:<26}{score['mean']:>10.3f}  [{score['low']:.3f}, {score['high']:.3f}]")
    return 0
