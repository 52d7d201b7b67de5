"""Train an algorithm, and go on with a run that was stopped."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shoal import registry
from shoal.core import addresses
from shoal.core.algorithm import Algorithm
from shoal.core.errors import UserError, require, unknown
from shoal.core.spaces import Box
from shoal.core.terminal import say
from shoal.envs.host.world import World
from shoal.runs.config import Config
from shoal.runs.durable import Json
from shoal.runs.fields import fields_of, from_fields, paths
from shoal.runs.run_directory import RunDirectory, free_directory
from shoal.trackers.choice import Track, choose
from shoal.trackers.tracking import Tracking
from shoal.training import presets
from shoal.training.backend import backend_of
from shoal.training.devices import lay_out, prepare
from shoal.training.learners import Hyperparameters, make_learners, with_settings
from shoal.training.machine import hardware, versions
from shoal.training.own_code import admit
from shoal.training.progress import Reporter, is_watched
from shoal.training.rebuild import read_config, rebuild
from shoal.training.run import Run
from shoal.training.stopping import Stopper
from shoal.training.trainer import Trainer, Watcher

RUN_SETTINGS = (
    *("total_steps", "num_envs", "unroll", "evaluations", "eval_episodes"),
    *("normalise_observations", "devices", "workers", "server"),
    *("staleness", "servers", "backups", "coordinators", "address", "deadline"),
)
_SCALED = "normalise_observations"  # a run setting that is a field of algorithms


def train(
    algorithm: str | Algorithm,
    env: World | str,
    *,
    total_steps: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    sweep: dict[str, Sequence[int | float]] | None = None,
    out: Path | str | None = None,
    preset: str = "auto",
    deterministic: bool = False,
    quiet: bool | None = None,
    watchers: Sequence[Watcher] = (),
    track: Track = (),
    **settings: Any,
) -> Run:
    """Trains `algorithm` in `env` and returns the finished run.

        shoal.train("mappo", "mpe/simple_spread", total_steps=500_000, learning_rate=1e-3)
        shoal.train("my.py:Reinforce", "robot.py:Reach")

    Args:
        algorithm: a name from `shoal list algorithms`, the address of a class of yours, or an
            algorithm. One of your own class is found again, to resume or load the run, if its
            module can be imported or is.
        env: an environment, its name, or the address of a class or function of yours.
        total_steps: environment steps to make (a step moves all agents of one environment).
        seed: the first of the seeds.
        seeds: how many consecutive ones are trained together.
        sweep: values of some hyper-parameters; every combination is trained with every seed.
        out: the run's directory; a new one under `runs/` if not given.
        preset: `auto`, `none`, or the name of one of the algorithm's presets.
        deterministic: one core, one device: the same bits every time.
        quiet: whether nothing is shown of progress; if not said, where nobody would see it: where
            standard error is no terminal and this is no notebook.
        watchers: called with the members' rows at each report; what one raises ends the run.
        track: experiment trackers to send the rows to as well, by name (`"wandb"`, `"mlflow"`,
            `"trackio"`) or of your own. Nothing that one does reaches the training.
        settings: what differs from the preset: `num_envs`, `unroll`, `evaluations`,
            `eval_episodes`, `normalise_observations`, `devices` (how many to use; all that serve,
            if not given), and any hyper-parameter of the algorithm.

    Raises:
        UserError: a name, value or directory that will not do; nothing has been written.
    """
    name = algorithm_name(algorithm)
    prepare(deterministic)
    world: World = registry.make(env) if isinstance(env, str) else env
    spec = world.spec
    continuous = isinstance(spec.action, Box)
    table = presets.resolve(name, spec.name, continuous, preset, backend_of(world).on_host)
    is_name = isinstance(algorithm, str)
    _check_settings(registry.find_algorithm(name).load() if is_name else type(algorithm), settings)
    given = {k: v for k, v in settings.items() if k not in RUN_SETTINGS}
    fields = from_fields(table.pop("algo") | given)
    if is_name:
        algo = registry.make_algorithm(name, **fields)
    else:
        algo = dataclasses.replace(algorithm, **fields)
    chosen = table | {k: settings[k] for k in RUN_SETTINGS if settings.get(k) is not None}
    if total_steps is not None:
        chosen["total_steps"] = total_steps
    return start(
        name,
        algo,
        world,
        Path(out) if out else free_directory(name, spec.name),
        quiet=not is_watched() if quiet is None else quiet,
        watchers=watchers,
        track=track,
        seed=seed,
        seeds=seeds,
        sweep=sweep or {},
        deterministic=deterministic,
        preset=preset,
        **chosen,
    )


def _check_settings(kind: Callable[..., Any], settings: Json) -> None:
    """Raises `UserError` for a keyword that is neither a run setting nor a hyper-parameter."""
    known = {*RUN_SETTINGS, *registry.field_names(kind)}
    for name in settings:
        if name not in known:
            raise unknown("setting", name, known)


def algorithm_name(algorithm: Any) -> str:
    """What a run remembers an algorithm by: its name, or where its class is.

    Raises:
        UserError: there is no such name, or the object is no algorithm.
    """
    if isinstance(algorithm, str):
        name = registry.full_algorithm(algorithm)
        registry.find_algorithm(name)
        return name
    if isinstance(algorithm, type):
        raise UserError(f"{algorithm.__name__} is a class, expected an algorithm made of it")
    name = type(algorithm).__name__
    good = isinstance(algorithm, Algorithm)
    require(good, f"{name} is no algorithm, expected a name or an object of shoal.Algorithm")
    return addresses.address_of(type(algorithm))


def start(
    name: str,
    algorithm: Hyperparameters,
    env: World,
    out: Path,
    *,
    quiet: bool = False,
    reporter: Reporter | None = None,
    watchers: Sequence[Watcher] = (),
    track: Track = (),
    devices: int = 0,
    **settings: Any,
) -> Run:
    """Trains an algorithm that is built already, on so many devices or, for 0, on those that there
    are; `settings` are fields of `Config`. `reporter` shows it, or one of its own if not `quiet`.
    """
    trackers = choose(track)
    spec = env.spec
    if settings.pop(_SCALED, False):
        algorithm = _with_scales(name, algorithm)
    algorithm.check(spec)
    settings["sweep"] = _numbers(algorithm, settings.get("sweep", {}))
    config = Config(
        algorithm=name,
        algorithm_fields=fields_of(algorithm),
        environment=spec.name,
        environment_fields=fields_of(env),
        **settings,
    )
    for member in config.members():
        with_settings(algorithm, member).check(spec)
    backend = backend_of(env)
    ranks, alone = jax.process_count(), backend.on_host or config.workers > 0
    require(ranks == 1 or not alone, f"{spec.name} is stepped on one device: leave out processes")
    available = ranks if alone or config.deterministic else jax.device_count()
    asked = available if ranks > 1 else devices
    layout = lay_out(algorithm, config.num_envs, len(config.members()), available, asked)
    places = dict(zip(("devices", "member_devices"), layout))
    config = dataclasses.replace(config, **places, processes=ranks)
    learners = make_learners(config, algorithm, env)
    starts, steps = getattr(algorithm, "learning_starts", 0), config.total_steps
    if starts >= steps:
        few = f"learning_starts is {starts:,}, and the run has {steps:,} steps: nothing is learned"
        say(f"warning: {few}")
    with Stopper() as stopper, RunDirectory(out) as directory:
        tracking = Tracking(trackers, directory, config, quiet)
        with Trainer(config, learners, env, directory, [*watchers, tracking.watch]) as trainer:
            directory.make()
            about = {"versions": versions(), "hardware": hardware()}
            directory.write_config(config.to_json() | about)
            with tracking:
                policies = trainer.run(stopper, reporter=reporter or Reporter(quiet))
            return Run.of(trainer, policies)


def _with_scales(name: str, algorithm: Any) -> Any:
    """The algorithm with networks that see observations at mean 0, deviation 1."""
    known = {f.name for f in dataclasses.fields(algorithm)}
    require(_SCALED in known, f"{name} cannot normalise observations: it has no field {_SCALED}")
    return dataclasses.replace(algorithm, **{_SCALED: True})


def _numbers(
    algorithm: Any, sweep: dict[str, Sequence[int | float]]
) -> dict[str, list[int | float]]:
    """The swept values as plain numbers. Raises `UserError` for what cannot be swept."""
    static = dict(paths(algorithm))
    leaves = [name for name, shapes in static.items() if not shapes]
    for name, values in sweep.items():
        if static.get(name):
            named = ", ".join(leaves)
            raise UserError(f"{name} shapes the program: it cannot be swept; sweep one of: {named}")
        if name not in static:
            raise unknown("hyper-parameter to sweep", name, leaves)
        require(len(values) > 0, f"{name} has no values to sweep")
        require(len(set(values)) == len(values), f"{name} has a value twice: {list(values)}")
    return {name: [np.asarray(v).item() for v in values] for name, values in sweep.items()}


def resume(
    directory: Path | str,
    *,
    env: World | str | None = None,
    total_steps: int | None = None,
    workers: int | None = None,
    address: str = "",
    quiet: bool | None = None,
    reporter: Reporter | None = None,
    watchers: Sequence[Watcher] = (),
    track: Track | None = None,
    trust: bool = False,
) -> Run:
    """Continues a run from its last good checkpoint, to the end that its config names.

    Args:
        directory: the run's.
        env: needed only for an environment that had no name: the environment, or the address of
            what makes it, which then has the fields that the run's had.
        total_steps: moves the end: the run, finished or not, is from then on one of so many
            steps. Rates that fall until the end fall on towards the new one.
        workers: another number of workers, for a run that has some.
        address: another cluster.
        quiet: as for `train`.
        reporter: what shows progress, in the place of one of its own.
        watchers: as for `train`.
        track: trackers in the place of those that the run was started with, which go on with the
            same tracked run; `"none"` for none.
        trust: whether code in the run's directory may be run, as for `load`.

    Raises:
        UserError: there is no run, no checkpoint that is whole, or a value will not do.
    """
    quiet = not is_watched() if quiet is None else quiet
    with Stopper() as stopper, RunDirectory.open(Path(directory)) as run:
        config = read_config(run)
        admit(config, run.path, environment=env is None, trust=trust)
        prepare(config.deterministic)
        run.lock()
        config = _moved(config)
        if total_steps is not None:
            config = _prolong(config, total_steps)
        before, config = config.workers, _move(config, workers, address)
        tracking = Tracking(track, run, config, quiet)
        with Trainer(config, *rebuild(config, env), run, [*watchers, tracking.watch]) as trainer:
            if config.workers != before:
                say(f"shoal: with {config.workers} workers, before with {before}")
            with tracking:
                shown = reporter or Reporter(quiet)
                policies = trainer.run(stopper, resume=True, reporter=shown)
            return Run.of(trainer, policies)


def _moved(config: Config) -> Config:
    """The configuration with as many processes as there are. That they are others than before is
    said."""
    before, now = config.processes, jax.process_count()
    if now == before:
        return config
    config = config.among(now)
    count = f"{now} process" + "es" * (now > 1)
    say(f"shoal: the run goes on in {count}, it was in {before}")
    return config


def _move(config: Config, workers: int | None, address: str) -> Config:
    """The configuration with other workers, or a cluster elsewhere."""
    if workers is not None and workers != config.workers:
        require(
            config.workers > 0 and workers > 0,
            f"workers is {workers} and the run has {config.workers}: it cannot gain its first, "
            "or lose its last",
        )
        require(
            not config.deterministic,
            f"the run is deterministic: it goes on with its {config.workers} workers",
        )
        share, rest = divmod(config.num_envs, config.workers)
        num_envs = share * workers if config.alone and not rest else config.num_envs
        config = dataclasses.replace(config, workers=workers, num_envs=num_envs)
    return dataclasses.replace(config, address=address or config.address)


def _prolong(config: Config, total_steps: int) -> Config:
    """The configuration with a later end."""
    before = config.total_steps
    require(
        total_steps > before, f"steps is {total_steps}, expected more than the run's {before:,}"
    )
    return dataclasses.replace(config, total_steps=total_steps)
