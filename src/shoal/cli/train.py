"""shoal train ALGORITHM ENVIRONMENT: train, evaluate, draw the curve and a replay."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import check_options, fields
from shoal.cli.parse import parse, take
from shoal.cli.sweep import read_sweep
from shoal.core.errors import UserError, require, unknown
from shoal.core.limits import Count, Seed, read_value
from shoal.runs.run_directory import check_empty, check_place
from shoal.trackers.choice import choose
from shoal.training import presets
from shoal.training.devices import prepare

USAGE = "shoal train ALGORITHM ENVIRONMENT [--steps N] [--seed S] [--seeds K] [--out DIR] ..."
CONTINUOUS = "--env.continuous-actions"


def run(arguments: Arguments) -> int:
    """Parses, trains, and says where the results are."""
    (algorithm, environment), rest = take(arguments, ["ALGORITHM", "ENVIRONMENT"], USAGE)
    algorithm = registry.full_algorithm(algorithm)
    environment = registry.full_name(environment)
    sweep, rest = read_sweep(rest, algorithm, environment)
    check(algorithm, environment, rest, f"{__name__}:Train")
    options = _options(algorithm, environment, rest)
    if options.env.spec.name != environment:
        raise UserError(f"{environment} keeps its name: leave out --env.name")

    from shoal.cli.finish import finish, guarded
    from shoal.training.run import free_directory, start

    out = options.out or free_directory(algorithm, environment)
    settings = {
        name: getattr(options, name)
        for name in ("seed", "seeds", "deterministic", "preset", "num_envs", "unroll")
    }
    settings |= {
        name: getattr(options, name)
        for name in ("evaluations", "eval_episodes", "normalise_observations")
    }
    settings |= {"sweep": sweep, "track": options.track}
    return guarded(
        out,
        lambda: finish(
            start(algorithm, options.algo, options.env, out, total_steps=options.steps, **settings),
            options.pictures,
        ),
    )


def check(algorithm: str, environment: str, arguments: Arguments, options: str) -> None:
    """Finds what mistakes it can before JAX is imported, in options of the class `options` too."""
    if arguments.help:
        return
    classes = {
        "--algo.": registry.find_algorithm(algorithm).target,
        "--env.": registry.find("environment", environment, registry.ENVIRONMENTS).target,
        "--": options,
    }
    check_options(arguments, classes)
    _check_fit(algorithm, environment, arguments)
    choose(arguments.value("--track") or "none")
    if out := arguments.value("--out"):
        check_place(Path(out))
        check_empty(Path(out))


def _check_fit(algorithm: str, environment: str, arguments: Arguments) -> None:
    """Raises `UserError` where algorithm, world, preset and batches do not fit each other."""
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


def _check_values(file: str, values: dict[str, Any], target: str) -> None:
    """Raises `UserError` for the first hyper-parameter of a file that does not exist or fit."""
    kinds = fields(target)
    for name, value in values.items():
        if name not in kinds:
            raise unknown(f"hyper-parameter in {file}:", name, kinds)
        if kinds[name] is not None:
            read_value(f"{name} in {file}", str(value), kinds[name])


def defaults(
    algorithm: str, environment: str, arguments: Arguments
) -> tuple[Any, Any, str, dict[str, Any]]:
    """The algorithm and the world whose fields are options, and the preset that the arguments
    choose: its name and its table, where other defaults come from."""
    prepare(arguments.is_on("--deterministic"))
    world = registry.make(environment)
    chosen = arguments.value("--preset") or "auto"

    from shoal.core.spaces import Box
    from shoal.runs.fields import from_fields
    from shoal.training.backend import backend_of

    continuous = isinstance(world.spec.action, Box) or arguments.is_on(CONTINUOUS)
    on_host = backend_of(world).on_host
    table = presets.resolve(algorithm, environment, continuous, chosen, on_host)
    learner = registry.make_algorithm(algorithm, **from_fields(table.pop("algo")))
    return learner, world, chosen, table


def _options(algorithm: str, environment: str, arguments: Arguments) -> Any:
    """The parsed options."""
    learner, world, chosen, table = defaults(algorithm, environment, arguments)

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
        """Tuned settings: auto, none, a name that `shoal info` shows, or a file, x.toml."""
        deterministic: bool = False
        """Use one core, so that the same command gives the same bits."""
        num_envs: Count = table["num_envs"]
        """Environments that are stepped together."""
        unroll: Count = table["unroll"]
        """Steps of each environment between two updates."""
        normalise_observations: bool = table["normalise_observations"]
        """Whether networks see observations at mean 0, deviation 1; policies keep the scale."""
        evaluations: Count = table["evaluations"]
        """How often to evaluate during training."""
        eval_episodes: Count = table["eval_episodes"]
        """Episodes in each evaluation."""
        pictures: bool = True
        """Whether to make curve.png and replay.html at the end."""
        track: str = "none"
        """Experiment trackers to send metrics to as well: wandb, mlflow, trackio; several with
        commas between them."""

    return parse(Train, arguments, f"shoal train {algorithm} {environment}")
