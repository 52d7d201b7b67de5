"""shoal train ALGORITHM ENVIRONMENT: train, evaluate, draw the curve and a replay."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.cli.parse import parse, take

USAGE = "shoal train ALGORITHM ENVIRONMENT [--steps N] [--seed S] [--seeds K] [--out DIR] ..."


def run(arguments: list[str]) -> int:
    """Parses, trains, and says where the results are."""
    (algorithm, environment), rest = take(arguments, ["ALGORITHM", "ENVIRONMENT"], USAGE)
    registry.find("algorithm", algorithm, registry.ALGORITHMS)
    registry.find("environment", environment, registry.ENVIRONMENTS)
    options = _options(algorithm, environment, rest)

    from shoal.cli.finish import finish, guarded
    from shoal.training.run import free_directory, start

    out = options.out or free_directory(algorithm, environment)
    settings = {
        name: getattr(options, name)
        for name in ("seed", "seeds", "deterministic", "preset", "num_envs", "unroll")
    }
    settings |= {name: getattr(options, name) for name in ("evaluations", "eval_episodes")}
    return guarded(
        out,
        lambda: finish(
            start(algorithm, options.algo, options.env, out, total_steps=options.steps, **settings),
            options.pictures,
        ),
    )


def _options(algorithm: str, environment: str, arguments: list[str]) -> Any:
    """The parsed options; defaults come from the preset that the arguments choose."""
    from shoal.training.devices import prepare

    prepare("--deterministic" in arguments and _value(arguments, "--deterministic") != "False")
    world = registry.make(environment)
    continuous = _value(arguments, "--env.continuous-actions", "--env.continuous_actions")
    chosen = _value(arguments, "--preset") or "auto"

    from shoal.training import presets
    from shoal.training.config import from_fields
    from shoal.training.run import DEFAULTS

    table = presets.resolve(algorithm, environment, continuous == "True", chosen)
    learner = registry.make_algorithm(algorithm, **from_fields(table.pop("algo")))
    table = DEFAULTS | table

    @dataclass(frozen=True)
    class Train:
        """Train an algorithm in an environment."""

        algo: type(learner) = field(default_factory=lambda: learner)  # pyright: ignore
        """Hyper-parameters of the algorithm."""
        env: type(world) = field(default_factory=lambda: world)  # pyright: ignore
        """Fields of the environment."""
        steps: int = table["total_steps"]
        """Environment steps to make; one step moves all agents of one environment."""
        seed: int = 0
        """The first seed."""
        seeds: int = 1
        """How many seeds to train together."""
        out: Path | None = None
        """The run's directory; a new one under runs/ if not given."""
        preset: str = chosen
        """Which table of tuned settings: auto, none, or a name that `shoal info` shows."""
        deterministic: bool = False
        """Use one core, so that the same command gives the same bits."""
        num_envs: int = table["num_envs"]
        """Environments that are stepped together."""
        unroll: int = table["unroll"]
        """Steps of each environment between two updates."""
        evaluations: int = table.get("evaluations", 10)
        """How often to evaluate during training."""
        eval_episodes: int = table.get("eval_episodes", 1000)
        """Episodes in each evaluation."""
        pictures: bool = True
        """Whether to make curve.png and replay.html at the end."""

    return parse(Train, _plain_flags(arguments), f"shoal train {algorithm} {environment}")


def _plain_flags(arguments: list[str]) -> list[str]:
    """`--deterministic` alone means `--deterministic True`."""
    out = list(arguments)
    for i, word in enumerate(arguments):
        last = i + 1 == len(arguments) or arguments[i + 1].startswith("--")
        if word == "--deterministic" and last:
            out[out.index(word)] = "--deterministic=True"
    return [
        part for word in out for part in (word.split("=", 1) if word.startswith("--") else [word])
    ]


def _value(arguments: list[str], *names: str) -> str | None:
    """The word after an option, or the part behind its equals sign."""
    for i, word in enumerate(arguments):
        name, _, value = word.partition("=")
        if name in names:
            return value or (arguments[i + 1] if i + 1 < len(arguments) else None)
    return None
