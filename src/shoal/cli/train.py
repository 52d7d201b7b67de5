"""shoal train ALGORITHM ENVIRONMENT: train, evaluate, draw the curve and a replay."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shoal import registry
from shoal.cli import gang
from shoal.cli.arguments import Arguments, Option
from shoal.cli.declared import check_options, fields
from shoal.cli.parse import parse, take
from shoal.cli.sweep import read_sweep
from shoal.core.errors import UserError, is_installed, not_installed, require, unknown
from shoal.core.limits import Count, Natural, Positive, Seed, read_value
from shoal.runs.config import OF_WORKERS, Config, Server, check_workers
from shoal.runs.run_directory import check_empty, check_place, free_directory
from shoal.trackers.choice import choose
from shoal.training import presets
from shoal.training.devices import prepare

USAGE = "shoal train ALGORITHM ENVIRONMENT [--steps N] [--seed S] [--seeds K] [--out DIR] ..."
CONTINUOUS = "--env.continuous-actions"


S = TypeVar("S", bound="Settings")


@dataclass(frozen=True)
class Settings:
    """What every verb that trains takes."""

    algo: Any
    """Hyper-parameters of the algorithm."""
    env: Any
    """Fields of the environment."""
    steps: Count
    """Environment steps of a training; one step moves all agents of one environment."""
    num_envs: Count
    """Environments that are stepped together."""
    unroll: Count
    """Steps of each environment between two updates."""
    normalise_observations: bool
    """Whether networks see observations at mean 0, deviation 1; policies keep the scale."""
    eval_episodes: Count
    """Episodes in each evaluation."""
    preset: str
    """Tuned settings: auto, none, a name that `shoal info` shows, or a file, x.toml."""
    evaluations: Count
    """How often to evaluate during training."""
    seed: Seed = 0
    """The first seed."""
    seeds: Count = 1
    """How many seeds to train together."""
    out: Path | None = None
    """The run's directory; a new one under runs/ if not given."""
    deterministic: bool = False
    """Use one core, so that the same command gives the same bits."""


@dataclass(frozen=True)
class Train(Settings):
    """Train an algorithm in an environment."""

    workers: Natural = 0
    """Workers on Ray that collect, each in a process of its own; 0: whoever learns collects."""
    server: Server = "none"
    """How a server of parameters takes the workers' gradients: when all are there (sync), as they
    come (async), or as they come but none too far ahead (ssp); none: workers send what they saw."""
    staleness: Natural = 4
    """Updates that a worker of ssp may be ahead of the slowest, or that a sample may be behind."""
    servers: Count = 1
    """Servers that share out the parameters, each in a process of its own; 1: who runs the run."""
    backups: Natural = 0
    """Workers that a synchronous server does not wait for."""
    coordinators: Natural = 0
    """Coordinators between whoever learns and its workers, each of which asks a group of them and
    answers for all: with what they saw, or the mean of their gradients; 0: none."""
    address: str = ""
    """HOST:PORT of a Ray cluster; without it one is started on this machine."""
    deadline: Positive = 60.0
    """Seconds in which a worker must answer, or it is replaced, and processes must make a step."""
    devices: Natural = 0
    """Devices of this machine, or of all processes, to use; 0: all that serve, or one a process."""
    processes: Count = 1
    """Processes that share the environments and learn together. If one dies or is stuck for longer
    than the deadline, all go on from the last checkpoint."""
    coordinator: str = ""
    """HOST:PORT of process 0, where the processes are started one by one on several machines."""
    rank: Natural = 0
    """Which of the processes this is, from 0 on; with --coordinator."""
    pictures: bool = True
    """Whether to make curve.png and replay.html at the end."""
    open: bool = False
    """Open the replay in the browser at the end."""
    track: str = "none"
    """Experiment trackers to send metrics to as well: wandb, mlflow, trackio; several with commas
    between them."""


def run(arguments: Arguments) -> int:
    """Parses, trains, and says where the results are."""
    (algorithm, environment), rest = take_names(arguments, USAGE)
    sweep, rest = read_sweep(rest, algorithm, environment)
    _check_workers(rest, check(algorithm, environment, rest, Train))
    out = Path(arguments.value("--out") or free_directory(algorithm, environment))
    if not arguments.help and (processes := gang.wanted(arguments)) > 1:
        return _in_a_gang(arguments, environment, processes, out)
    from shoal.training.progress import Reporter

    with Reporter(quiet=rest.help) as reporter:
        reporter.stage("starting")
        options = read_settings(Train, algorithm, environment, rest)

        from shoal.cli.finish import finish
        from shoal.training.train import start

        settings = dict(vars(options))
        for name in ("out", "processes", "coordinator", "rank", "open"):
            del settings[name]
        algo, env = (settings.pop(k) for k in ("algo", "env"))
        settings["total_steps"] = settings.pop("steps")
        run = start(algorithm, algo, env, out, reporter=reporter, sweep=sweep, **settings)
        finish(run, reporter, to_open=options.open)
    return 0


def _in_a_gang(arguments: Arguments, environment: str, processes: int, out: Path) -> int:
    """Trains in several processes, and returns the exit code."""
    alone = f"{environment} is stepped by worker processes for one device"
    require(
        not registry.on_host(environment),
        f"{alone}: leave out --processes, and say --env.workers N for more of those",
    )
    require(
        not int(arguments.value("--workers") or 0),
        "--processes shares out learning and --workers collecting: take one of them",
    )
    asked = gang.read(arguments, processes)
    if arguments.value("--out") is None:
        arguments.options.append(Option("--out", [str(out)], False))
    return gang.start("train", arguments, asked, gang.going_on(out))


def take_names(arguments: Arguments, usage: str) -> tuple[tuple[str, str], Arguments]:
    """The full names of the algorithm and the environment, and the other arguments."""
    (algorithm, environment), rest = take(arguments, ["ALGORITHM", "ENVIRONMENT"], usage)
    return (registry.full_algorithm(algorithm), registry.full_name(environment)), rest


def check(
    algorithm: str, environment: str, arguments: Arguments, options: type
) -> presets.Table | None:
    """Finds what mistakes it can before JAX is imported, in options of the class `options` too.
    Gives the settings of the preset, unless help is asked for."""
    if arguments.help:
        return None
    classes = {
        "--algo.": registry.find_algorithm(algorithm).target,
        "--env.": registry.find("environment", environment, registry.ENVIRONMENTS).target,
        "--": f"{options.__module__}:{options.__name__}",
    }
    check_options(arguments, classes)
    seen = arguments.value("--pictures") != "False" or not arguments.is_on("--open")
    require(seen, "--open shows the replay, which --pictures False leaves out: take one of them")
    table = _check_fit(algorithm, environment, arguments)
    choose(arguments.value("--track") or "none")
    if out := arguments.value("--out"):
        check_place(Path(out))
        check_empty(Path(out))
    return table


def _check_workers(arguments: Arguments, table: presets.Table | None) -> None:
    """Raises `UserError` where what is said of workers does not go together, or Ray is missing."""
    if table is None:
        return
    usual: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(Config)}
    given = {n: arguments.value(f"--{n}") or table.get(n, usual[n]) for n in OF_WORKERS}
    chosen = {n: type(usual[n])(value) for n, value in given.items()}
    chosen["deterministic"] = arguments.is_on("--deterministic")
    check_workers(**chosen, members=int(arguments.value("--seeds") or 1))
    if chosen["workers"] and not is_installed("ray"):
        raise not_installed("Ray", "ray")


def _check_fit(algorithm: str, environment: str, arguments: Arguments) -> presets.Table:
    """The settings of the preset. Raises `UserError` where algorithm, world, preset and batches do
    not fit each other."""
    continuous = arguments.is_on(CONTINUOUS)
    entry = registry.find_algorithm(algorithm)
    if continuous and entry.discrete:
        raise UserError(
            f"{algorithm} chooses among discrete actions and {environment} has continuous ones: "
            "use ippo or mappo, or the environment's discrete actions"
        )
    preset = arguments.value("--preset") or "auto"
    on_host = registry.on_host(environment)
    table = presets.resolve(algorithm, environment, continuous, preset, on_host)
    if presets.is_file(preset):
        _check_values(preset, table["algo"], entry.target)
    if minibatches := arguments.value("--algo.minibatches"):
        num_envs = arguments.value("--num-envs") or table["num_envs"]
        require(
            int(num_envs) % int(minibatches) == 0,
            f"num_envs is {num_envs}, expected a multiple of minibatches, which is {minibatches}",
        )
    return table


def _check_values(file: str, values: dict[str, Any], target: str) -> None:
    """Raises `UserError` for the first hyper-parameter of a file that does not exist or fit."""
    kinds = fields(target)
    for name, value in values.items():
        if name not in kinds:
            raise unknown(f"hyper-parameter in {file}:", name, kinds)
        if kinds[name] is not None:
            read_value(f"{name} in {file}", str(value), kinds[name])


def read_settings(
    kind: type[S], algorithm: str, environment: str, arguments: Arguments, **own: Any
) -> S:
    """The options. Their defaults are `own` ones, and those of the preset that is chosen."""
    prepare(arguments.is_on("--deterministic"))
    world = registry.make(environment)

    from shoal.core.spaces import Box
    from shoal.runs.fields import from_fields
    from shoal.training.backend import backend_of

    preset = arguments.value("--preset") or "auto"
    continuous = isinstance(world.spec.action, Box) or arguments.is_on(CONTINUOUS)
    on_host = backend_of(world).on_host
    table = presets.resolve(algorithm, environment, continuous, preset, on_host)
    learner = registry.make_algorithm(algorithm, **from_fields(table.pop("algo")))
    where = {name: table.pop(name) for name in presets.ELSEWHERE}
    usual = {"preset": preset, "steps": table.pop("total_steps"), **table, **own}
    if issubclass(kind, Train):
        usual |= where
    verb = kind.__name__.lower()
    default = kind(learner, world, **usual)
    options = parse(default, arguments, f"shoal {verb} {algorithm} {environment}")
    kept = options.env.spec.name == environment
    require(kept, f"{environment} keeps its name: leave out --env.name")
    return options
