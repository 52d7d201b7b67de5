"""shoal train ALGORITHM ENVIRONMENT: train, evaluate, draw the curve and a replay."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal import addresses, registry
from shoal.cli.declared import check_options
from shoal.cli.parse import parse, take
from shoal.core.errors import UserError
from shoal.core.limits import Count, Seed
from shoal.training import presets
from shoal.training.devices import prepare, share_out
from shoal.training.run_directory import check_empty, check_place

USAGE = "shoal train ALGORITHM ENVIRONMENT [--steps N] [--seed S] [--seeds K] [--out DIR] ..."


def run(arguments: list[str]) -> int:
    """Parses, trains, and says where the results are."""
    (algorithm, environment), rest = take(arguments, ["ALGORITHM", "ENVIRONMENT"], USAGE)
    if addresses.is_address(environment):
        environment = addresses.resolve(environment)
    _check(algorithm, environment, rest)
    options = _options(algorithm, environment, rest)
    if options.env.spec.name != environment:
        raise UserError(f"{environment} keeps its name: leave out --env.name")

    from shoal.cli.finish import finish, guarded
    from shoal.training.run import free_directory, start

    out = options.out or free_directory(algorithm, addresses.short_name(environment))
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


def _check(algorithm: str, environment: str, arguments: list[str]) -> None:
    """Finds what mistakes it can before JAX is imported."""
    classes = {
        "--algo.": registry.find("algorithm", algorithm, registry.ALGORITHMS).target,
        "--env.": registry.find("environment", environment, registry.ENVIRONMENTS).target,
        "--": f"{__name__}:Train",
    }
    if "--help" in arguments:
        return
    check_options(arguments, classes)
    continuous = _continuous(arguments)
    if continuous and registry.ALGORITHMS[algorithm].discrete:
        raise UserError(
            f"{algorithm} chooses among discrete actions and {environment} has continuous ones: "
            "use ippo or mappo, or the environment's discrete actions"
        )
    preset = _value(arguments, "--preset") or "auto"
    table = presets.resolve(algorithm, environment, continuous, preset)
    if minibatches := _value(arguments, "--algo.minibatches"):
        num_envs = _value(arguments, "--num-envs", "--num_envs") or table["num_envs"]
        share_out(int(num_envs), int(minibatches), available=1)
    if out := _value(arguments, "--out"):
        check_place(Path(out))
        check_empty(Path(out))


def _options(algorithm: str, environment: str, arguments: list[str]) -> Any:
    """The parsed options; defaults come from the preset that the arguments choose."""
    prepare("--deterministic" in arguments and _value(arguments, "--deterministic") != "False")
    world = registry.make(environment)
    chosen = _value(arguments, "--preset") or "auto"

    from shoal.training.config import from_fields

    table = presets.resolve(algorithm, environment, _continuous(arguments), chosen)
    learner = registry.make_algorithm(algorithm, **from_fields(table.pop("algo")))

    @dataclass(frozen=True)
    class Train:
        """Train an algorithm in an environment."""

        algo: type(learner) = field(default_factory=lambda: learner)  # pyright: ignore
        """Hyper-parameters of the algorithm."""
        env: type(world) = field(default_factory=lambda: world)  # pyright: ignore
        """Fields of the environment."""
        steps: Count = table["total_steps"]
        """Environment steps to make; one step moves all agents of one environment."""
        seed: Seed = 0
        """The first seed."""
        seeds: Count = 1
        """How many seeds to train together."""
        out: Path | None = None
        """The run's directory; a new one under runs/ if not given."""
        preset: str = chosen
        """Which table of tuned settings: auto, none, or a name that `shoal info` shows."""
        deterministic: bool = False
        """Use one core, so that the same command gives the same bits."""
        num_envs: Count = table["num_envs"]
        """Environments that are stepped together."""
        unroll: Count = table["unroll"]
        """Steps of each environment between two updates."""
        evaluations: Count = table["evaluations"]
        """How often to evaluate during training."""
        eval_episodes: Count = table["eval_episodes"]
        """Episodes in each evaluation."""
        pictures: bool = True
        """Whether to make curve.png and replay.html at the end."""

    return parse(Train, _plain_flags(arguments), f"shoal train {algorithm} {environment}")


def _continuous(arguments: list[str]) -> bool:
    return _value(arguments, "--env.continuous-actions", "--env.continuous_actions") == "True"


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
