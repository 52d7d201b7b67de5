"""shoal bench env|train: how fast this machine runs it."""

import json
from dataclasses import dataclass, field

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.parse import parse, take
from shoal.core.errors import unknown

USAGE = "shoal bench env NAME [--num-envs B] | shoal bench train ALGORITHM NAME [--algo.FIELD v]"


def run(arguments: Arguments) -> int:
    """Measures and prints steps per second; a step is one step of one environment."""
    (suite,), rest = take(arguments, ["env|train"], USAGE)
    if suite not in ("env", "train"):
        raise unknown("suite", suite, ("env", "train"))
    rest = rest._replace(options=[o for o in rest.options if o.name != "--json"])
    result = _environment(rest) if suite == "env" else _training(rest)
    if arguments.is_on("--json"):
        print(json.dumps(result))
        return 0
    print(f"{result['steps_per_second']:,.0f} steps/s on {result['device']}")
    print(f"compiled in {result['compile_seconds']:.1f} s")
    print(f"peak memory {result['peak_memory_bytes'] / 2**20:,.0f} MiB")
    return 0


def _environment(arguments: Arguments) -> dict:
    (name,), rest = take(arguments, ["NAME"], USAGE)
    registry.find("environment", name, registry.ENVIRONMENTS)
    from shoal.training.devices import prepare

    prepare()
    default = registry.make(name)

    @dataclass(frozen=True)
    class Bench:
        """Measure an environment alone: random actions, observations, auto-reset."""

        env: type(default) = field(default_factory=lambda: default)  # pyright: ignore
        """Fields of the environment."""
        num_envs: int = 1024
        """Environments that are stepped together."""
        seconds: float = 3.0
        """How long to measure, after compiling."""

    options = parse(Bench, rest, f"shoal bench env {name}")
    from shoal.training.speed import environment_speed

    return environment_speed(options.env, options.num_envs, options.seconds)


def _training(arguments: Arguments) -> dict:
    (algorithm, name), rest = take(arguments, ["ALGORITHM", "NAME"], USAGE)
    algorithm = registry.full_algorithm(algorithm)
    entry = registry.find_algorithm(algorithm)
    registry.find("environment", name, registry.ENVIRONMENTS)
    from shoal.training.devices import prepare

    prepare()
    world, learner = registry.make(name), registry.make_algorithm(algorithm)

    @dataclass(frozen=True)
    class Bench:
        """Measure training: collecting, learning and auto-reset in one program."""

        algo: type(learner) = field(default_factory=lambda: learner)  # pyright: ignore
        """Hyper-parameters of the algorithm."""
        env: type(world) = field(default_factory=lambda: world)  # pyright: ignore
        """Fields of the environment."""
        num_envs: int = 128
        """Environments that are stepped together."""
        unroll: int = 128
        """Steps of each environment between two updates."""
        seconds: float = 5.0
        """How long to measure, after compiling."""

    options = parse(Bench, rest, f"shoal bench train {algorithm} {name}")
    from shoal.training.speed import training_speed

    sizes = (options.num_envs, options.unroll, options.seconds)
    return training_speed(options.algo, options.env, *sizes, entry.learner)
