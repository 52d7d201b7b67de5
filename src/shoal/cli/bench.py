"""shoal bench env|train|collectives: how fast this machine runs it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from shoal import registry
from shoal.cli import gang
from shoal.cli.arguments import Arguments
from shoal.cli.output import answer
from shoal.cli.parse import parse, read, take
from shoal.core.errors import unknown
from shoal.core.limits import Count, Natural
from shoal.distributed.job import is_rank
from shoal.runs.durable import Json
from shoal.training.devices import prepare

USAGE = (
    "shoal bench env NAME [--num-envs B] | shoal bench train ALGORITHM NAME [--algo.FIELD v] | "
    "shoal bench collectives [--processes N] [--size BYTES]"
)
SUITES = ("env", "train", "collectives")

HOST_ENVS = 8  # where processes step them


@dataclass(frozen=True)
class Environment:
    """Measure an environment alone: random actions, observations, auto-reset."""

    env: Any
    """Fields of the environment."""
    num_envs: int = 1024
    """Environments that are stepped together."""
    seconds: float = 3.0
    """How long to measure, after compiling."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class Training(Environment):
    """Measure training: collecting, learning and auto-reset in one program."""

    algo: Any = None
    """Hyper-parameters of the algorithm."""
    num_envs: int = 128
    """Environments that are stepped together."""
    unroll: int = 128
    """Steps of each environment between two updates."""
    seconds: float = 5.0
    """How long to measure, after compiling."""
    devices: Natural = 0
    """Devices to use; 0: all that serve."""


@dataclass(frozen=True)
class Collectives:
    """Measure what devices tell each other: broadcast, reduce, all-reduce, all-gather, a ring."""

    devices: Natural = 0
    """Devices of this machine, or of all processes; 0: all, or one a process."""
    processes: Count = 1
    """Processes that share the devices."""
    coordinator: str = ""
    """HOST:PORT of process 0, where the processes are started one by one on several machines."""
    rank: Natural = 0
    """Which of the processes this is, from 0 on; with --coordinator."""
    size: Count = 1_000_000
    """Bytes that each device has."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Arguments) -> int:
    """Measures and prints steps per second; a step is one step of one environment."""
    (suite,), rest = take(arguments, ["env|train|collectives"], USAGE)
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)
    if suite == "collectives":
        return _collectives(arguments, rest)
    options, result = _environment(rest) if suite == "env" else _training(rest)
    if options.json:
        answer(result)
        return 0
    print(f"{result['steps_per_second']:,.0f} steps/s on {result['device']}")
    print(f"compiled in {result['compile_seconds']:.1f} s")
    print(f"peak memory {result['peak_memory_bytes'] / 2**20:,.0f} MiB")
    return 0


def _collectives(arguments: Arguments, rest: Arguments) -> int:
    _, options = read(rest, (), Collectives, "shoal bench collectives")
    if not is_rank() and (processes := gang.wanted(rest)) > 1:
        asked = dataclasses.replace(gang.read(rest, processes), together=True)
        return gang.start("bench", arguments, asked)
    prepare()
    from shoal.distributed.collective_speed import collective_speed

    found = collective_speed(options.size, options.devices)
    if options.json:
        answer(found)
        return 0
    print(f"{found['bytes']:,} bytes on each of {found['devices']} devices")
    for name, seconds in found["seconds"].items():
        print(f"{name:<16}{1000 * seconds:9.3f} ms")
    return 0


def _environment(arguments: Arguments) -> tuple[Environment, Json]:
    (name,), rest = take(arguments, ["NAME"], USAGE)
    registry.find("environment", name, registry.ENVIRONMENTS)
    prepare()
    env = registry.make(name)
    options = parse(
        Environment(env, num_envs=_num_envs(env, 1024)), rest, f"shoal bench env {name}"
    )
    from shoal.training.speed import environment_speed

    return options, environment_speed(options.env, options.num_envs, options.seconds)


def _training(arguments: Arguments) -> tuple[Training, Json]:
    (algorithm, name), rest = take(arguments, ["ALGORITHM", "NAME"], USAGE)
    algorithm = registry.full_algorithm(algorithm)
    entry = registry.find_algorithm(algorithm)
    registry.find("environment", name, registry.ENVIRONMENTS)
    prepare()
    env = registry.make(name)
    algo = registry.make_algorithm(algorithm)
    default = Training(env, algo=algo, num_envs=_num_envs(env, 128))
    options = parse(default, rest, f"shoal bench train {algorithm} {name}")
    from shoal.training.speed import training_speed

    sizes = (options.num_envs, options.unroll, options.seconds)
    speed = training_speed(options.algo, options.env, *sizes, entry.learner, options.devices)
    return options, speed


def _num_envs(env: Any, compiled: int) -> int:
    from shoal.envs.host.world import HostWorld

    return HOST_ENVS if isinstance(env, HostWorld) else compiled
