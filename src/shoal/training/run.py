"""The Python interface: train, resume, load, evaluate."""

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from shoal import addresses, registry
from shoal.analysis.statistics import summary
from shoal.core.algorithm import Algorithm, Policy
from shoal.core.errors import UserError, require, unknown
from shoal.core.spaces import Box
from shoal.interop.host.world import HostWorld, World
from shoal.training import checkpoint, presets
from shoal.training.config import Config, Json, fields_of, from_fields
from shoal.training.devices import prepare, share_out
from shoal.training.durable import read_json
from shoal.training.evaluation import (
    Returns,
    evaluate_policy,
    evaluate_random,
    evaluate_scripted,
)
from shoal.training.host_evaluation import HostStage
from shoal.training.program import State
from shoal.training.run_directory import RunDirectory, read_metrics
from shoal.training.trackers.choice import Track, choose
from shoal.training.trackers.tracking import Tracking
from shoal.training.trainer import Trainer, Watcher, evaluation_report

RUN_SETTINGS = (
    *("total_steps", "num_envs", "unroll", "evaluations", "eval_episodes"),
    "normalise_observations",
)
CONTROLLERS = {"scripted": evaluate_scripted, "random": evaluate_random}


@dataclass(frozen=True)
class Evaluation:
    """Scores over episodes: the return per agent, undiscounted and summed over an episode's steps,
    and each metric of the environment. `low` and `high` bound the mean at 95 %."""

    mean: float
    iqm: float
    low: float
    high: float
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Run:
    """A run on the disk: its policy (of the first member), metrics and final evaluation."""

    directory: Path
    config: Config
    env: World
    policy: Policy
    policies: list[Policy]

    @property
    def metrics(self) -> list[Json]:
        """The rows of `metrics.jsonl`."""
        return list(read_metrics(self.directory / "metrics.jsonl"))

    @property
    def evaluation(self) -> Json | None:
        """The content of `eval.json`, once training has finished."""
        path = self.directory / "eval.json"
        return read_json(path) if path.is_file() else None


def train(
    algorithm: str,
    env: World | str,
    *,
    total_steps: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    sweep: dict[str, Sequence[int | float]] | None = None,
    out: Path | str | None = None,
    preset: str = "auto",
    deterministic: bool = False,
    settings: Json | None = None,
    quiet: bool = True,
    watchers: Sequence[Watcher] = (),
    track: Track = (),
    **run_settings: Any,
) -> Run:
    """Trains `algorithm` in `env` and returns the finished run.

    Args:
        algorithm: a name from `shoal list algorithms`.
        env: an environment, or its name.
        total_steps: environment steps to make (a step moves all agents of one environment).
        seed: the first of `seeds` consecutive seeds, which are trained together.
        sweep: values of some hyper-parameters; every combination is trained with every seed.
        out: the run's directory; a new one under `runs/` if not given.
        preset: `auto`, `none`, or the name of one of the algorithm's presets.
        deterministic: one core, one device: the same bits every time.
        settings: hyper-parameters that differ from the preset.
        watchers: called with the members' rows at each report; what one raises ends the run.
        track: experiment trackers to send the rows to as well, by name (`"wandb"`, `"mlflow"`,
            `"trackio"`) or of your own. Nothing that one does reaches the training.
        run_settings: `num_envs`, `unroll`, `evaluations`, `eval_episodes`,
            `normalise_observations`.

    Raises:
        UserError: a name, value or directory that will not do; nothing has been written.
    """
    registry.find("algorithm", algorithm, registry.ALGORITHMS)
    prepare(deterministic)
    world: World = registry.make(env) if isinstance(env, str) else env
    spec = world.spec
    continuous = isinstance(spec.action, Box)
    on_host = isinstance(world, HostWorld)
    table = presets.resolve(algorithm, spec.name, continuous, preset, on_host)
    algo = registry.make_algorithm(algorithm, **from_fields(table.pop("algo") | (settings or {})))
    for name in run_settings:
        if name not in RUN_SETTINGS:
            raise unknown("run setting", name, RUN_SETTINGS)
    chosen = table | {k: v for k, v in run_settings.items() if v is not None}
    if total_steps is not None:
        chosen["total_steps"] = total_steps
    return start(
        algorithm,
        algo,
        world,
        Path(out) if out else free_directory(algorithm, spec.name),
        quiet=quiet,
        watchers=watchers,
        track=track,
        seed=seed,
        seeds=seeds,
        sweep=sweep or {},
        deterministic=deterministic,
        preset=preset,
        **chosen,
    )


def start(
    name: str,
    algorithm: Algorithm,
    env: World,
    out: Path,
    *,
    quiet: bool = False,
    watchers: Sequence[Watcher] = (),
    track: Track = (),
    **settings: Any,
) -> Run:
    """Trains an algorithm that is built already; `settings` are fields of `Config`."""
    trackers = choose(track)
    spec = env.spec
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
        values = {name: member[name] for name in config.sweep}
        dataclasses.replace(algorithm, **values).check(spec)
    parts = getattr(algorithm, "minibatches", 1)
    one = config.deterministic or isinstance(env, HostWorld)  # whose loop is Python's
    available = 1 if one else jax.local_device_count()
    groups = max(d for d in range(1, available + 1) if len(config.members()) % d == 0)
    devices = share_out(config.num_envs, parts, available // groups)
    config = dataclasses.replace(config, devices=devices, member_devices=groups)
    with RunDirectory.create(out) as directory:
        tracking = Tracking(trackers, directory, config, quiet)
        trainer = Trainer(config, algorithm, env, directory, [*watchers, tracking.watch])
        directory.write_config(config.to_json() | {"versions": versions(), "hardware": hardware()})
        with tracking:
            state = trainer.run(quiet=quiet)
        return _run(trainer, state)


def _numbers(
    algorithm: Algorithm, sweep: dict[str, Sequence[int | float]]
) -> dict[str, list[int | float]]:
    """The swept values as plain numbers. Raises `UserError` for what cannot be swept."""
    static = {f.name: bool(f.metadata.get("static")) for f in dataclasses.fields(algorithm)}
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
    env: World | None = None,
    quiet: bool = True,
    watchers: Sequence[Watcher] = (),
    track: Track | None = None,
) -> Run:
    """Continues a run from its last good checkpoint, to the end that its config names.

    `env` is needed only for an environment that is not in the registry. The trackers that the run
    was started with go on with the same tracked run, unless `track` names others, or `"none"`.
    """
    with RunDirectory.open(Path(directory)) as run:
        config = read_config(run)
        prepare(config.deterministic)
        run.lock()
        tracking = Tracking(track, run, config, quiet)
        trainer = Trainer(config, *rebuild(config, env), run, [*watchers, tracking.watch])
        with tracking:
            state = trainer.run(resume=True, quiet=quiet)
        return _run(trainer, state)


def load(directory: Path | str, *, best: bool = False, env: World | None = None) -> Run:
    """Loads a run: its last parameters, or the best evaluated ones."""
    run = RunDirectory.open(Path(directory))
    config = read_config(run)
    prepare(config.deterministic)
    trainer = Trainer(config, *rebuild(config, env), run)
    loaded = checkpoint.load(
        run.checkpoints,
        trainer.program.template(trainer.keys),
        config_hash=config.hash,
        name="best" if best else None,
    )
    return _run(trainer, loaded.state)


def evaluate(
    policy: Policy | str, env: World, *, episodes: int = 100, seed: int = 0, greedy: bool = True
) -> Evaluation:
    """Plays whole episodes and summarises them. `policy` may be `"scripted"` or `"random"`."""
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    returns = _episodes(policy, env, jax.random.key(seed), episodes, greedy)
    metrics = {name: summary(np.asarray(v)[None]) for name, v in returns.metrics.items()}
    for i, agent in enumerate(env.spec.agents):
        metrics[f"return/{agent}"] = summary(np.asarray(returns.per_agent)[None, :, i])
    return Evaluation(**summary(np.asarray(returns.mean)[None]), metrics=metrics)


def _episodes(
    policy: Policy | str, env: World, key: PRNGKeyArray, episodes: int, greedy: bool
) -> Returns:
    """Plays with a policy or a controller, wherever the world runs."""
    if isinstance(policy, str) and policy not in CONTROLLERS:
        raise unknown("controller", policy, CONTROLLERS)
    if isinstance(env, HostWorld):
        require(policy != "scripted", f"{env.spec.name} has no scripted controller")
        with HostStage(env, episodes) as stage:
            if isinstance(policy, str):
                return stage.play_random(key)
            return stage.play_policy(policy, key, greedy=greedy)
    if isinstance(policy, str):
        play = CONTROLLERS[policy]
        return jax.device_get(jax.jit(lambda k: play(env, k, episodes))(key))
    play = eqx.filter_jit(evaluate_policy)
    return jax.device_get(play(policy, env, key, episodes, greedy))


def evaluate_run(
    run: Run,
    *,
    episodes: int = 1000,
    seed: int = 1,
    greedy: bool = True,
    member: int | None = None,
) -> Json:
    """Fresh episodes with every member's policy, or with one, in the form that `shoal eval --json`
    prints. All members play the same episodes' starts; `members` has the return of each.

    Raises:
        UserError: `episodes` is not positive, or there is no such member.
    """
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    most = len(run.policies)
    require(member is None or 0 <= member < most, f"member is {member}, expected 0 to {most - 1}")
    chosen = range(most) if member is None else [member]
    key = jax.random.key(seed)
    returns = [_episodes(run.policies[k], run.env, key, episodes, greedy) for k in chosen]
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *returns)
    seeds = run.config.seeds if member is None else 1
    config = dataclasses.replace(run.config, eval_episodes=episodes, seeds=seeds)
    settings = run.config.members()
    scores = [{**settings[k], "return": float(r.mean.mean())} for k, r in zip(chosen, returns)]
    return evaluation_report(config, run.env, stacked) | {"seed": seed, "members": scores}


def read_config(run: RunDirectory) -> Config:
    """The configuration of a run; `UserError` where it was written by something else."""
    try:
        return Config.from_json(run.read_config())
    except TypeError as error:
        raise UserError(
            f"{run.path / 'config.json'} is not a run's configuration: {error}"
        ) from error


def rebuild(config: Config, env: World | None = None) -> tuple[Algorithm, World]:
    """The algorithm and environment that a configuration names."""
    algorithm = registry.make_algorithm(config.algorithm, **from_fields(config.algorithm_fields))
    if env is not None:
        return algorithm, env
    return algorithm, registry.make(config.environment, **from_fields(config.environment_fields))


def free_directory(algorithm: str, environment: str) -> Path:
    """`runs/<algorithm>_<world>_<n>` with the first n that is free."""
    stem, n = f"{algorithm}_{addresses.short_name(environment)}", 0
    while (path := Path("runs") / f"{stem}_{n}").exists():
        n += 1
    return path


def versions() -> dict[str, str]:
    """Of everything that shapes a number."""
    names = ("shoal", "jax", "jaxlib", "equinox", "optax", "numpy")
    return {"python": platform.python_version()} | {n: metadata.version(n) for n in names}


def hardware() -> dict[str, Any]:
    """The machine, in words."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind if device.platform != "cpu" else _processor(),
        "devices": jax.local_device_count(),
        "system": platform.platform(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _run(trainer: Trainer, state: State) -> Run:
    policies = trainer.policies(state)
    return Run(trainer.directory.path, trainer.config, trainer.env, policies[0], policies)
