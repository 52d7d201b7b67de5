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

from shoal import addresses, registry
from shoal.analysis.statistics import summary
from shoal.core.algorithm import Algorithm, Policy
from shoal.core.env import Env
from shoal.core.errors import UserError, require, unknown
from shoal.core.spaces import Box
from shoal.training import checkpoint, presets
from shoal.training.config import Config, Json, fields_of, from_fields
from shoal.training.devices import prepare, share_out
from shoal.training.durable import read_json
from shoal.training.evaluation import evaluate_policy, evaluate_random, evaluate_scripted
from shoal.training.program import State
from shoal.training.run_directory import RunDirectory, read_metrics
from shoal.training.trainer import Trainer, Watcher, evaluation_report

RUN_SETTINGS = ("total_steps", "num_envs", "unroll", "evaluations", "eval_episodes")
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
    env: Env
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
    env: Env | str,
    *,
    total_steps: int | None = None,
    seed: int = 0,
    seeds: int = 1,
    sweep: dict[str, Sequence[float]] | None = None,
    out: Path | str | None = None,
    preset: str = "auto",
    deterministic: bool = False,
    settings: Json | None = None,
    quiet: bool = True,
    watchers: Sequence[Watcher] = (),
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
        run_settings: `num_envs`, `unroll`, `evaluations`, `eval_episodes`.

    Raises:
        UserError: a name, value or directory that will not do; nothing has been written.
    """
    registry.find("algorithm", algorithm, registry.ALGORITHMS)
    prepare(deterministic)
    world: Env = registry.make(env) if isinstance(env, str) else env
    spec = world.spec
    continuous = isinstance(spec.action, Box)
    table = presets.resolve(algorithm, spec.name, continuous, preset)
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
        seed=seed,
        seeds=seeds,
        sweep={name: list(values) for name, values in (sweep or {}).items()},
        deterministic=deterministic,
        preset=preset,
        **chosen,
    )


def start(
    name: str,
    algorithm: Algorithm,
    env: Env,
    out: Path,
    *,
    quiet: bool = False,
    watchers: Sequence[Watcher] = (),
    **settings: Any,
) -> Run:
    """Trains an algorithm that is built already; `settings` are fields of `Config`."""
    spec = env.spec
    algorithm.check(spec)
    swept = [f.name for f in dataclasses.fields(algorithm) if not f.metadata.get("static")]
    for field in settings.get("sweep", {}):
        if field not in swept:
            raise unknown("hyper-parameter to sweep", field, swept)
    config = Config(
        algorithm=name,
        algorithm_fields=fields_of(algorithm),
        environment=spec.name,
        environment_fields=fields_of(env),
        **settings,
    )
    parts = getattr(algorithm, "minibatches", 1)
    available = 1 if config.deterministic else jax.local_device_count()
    groups = max(d for d in range(1, available + 1) if len(config.members()) % d == 0)
    devices = share_out(config.num_envs, parts, available // groups)
    config = dataclasses.replace(config, devices=devices, member_devices=groups)
    with RunDirectory.create(out) as directory:
        trainer = Trainer(config, algorithm, env, directory, watchers)
        directory.write_config(config.to_json() | {"versions": versions(), "hardware": hardware()})
        state = trainer.run(quiet=quiet)
        return _run(trainer, state)


def resume(
    directory: Path | str,
    *,
    env: Env | None = None,
    quiet: bool = True,
    watchers: Sequence[Watcher] = (),
) -> Run:
    """Continues a run from its last good checkpoint, to the end that its config names.

    `env` is needed only for an environment that is not in the registry.
    """
    with RunDirectory.open(Path(directory)) as run:
        config = read_config(run)
        prepare(config.deterministic)
        run.lock()
        trainer = Trainer(config, *rebuild(config, env), run, watchers)
        state = trainer.run(resume=True, quiet=quiet)
        return _run(trainer, state)


def load(directory: Path | str, *, best: bool = False, env: Env | None = None) -> Run:
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
    policy: Policy | str, env: Env, *, episodes: int = 100, seed: int = 0, greedy: bool = True
) -> Evaluation:
    """Plays whole episodes and summarises them. `policy` may be `"scripted"` or `"random"`."""
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    key = jax.random.key(seed)
    if isinstance(policy, str):
        if policy not in CONTROLLERS:
            raise unknown("controller", policy, CONTROLLERS)
        play = CONTROLLERS[policy]
        returns = jax.device_get(jax.jit(lambda k: play(env, k, episodes))(key))
    else:
        play = eqx.filter_jit(evaluate_policy)
        returns = jax.device_get(play(policy, env, key, episodes, greedy))
    metrics = {name: summary(np.asarray(v)[None]) for name, v in returns.metrics.items()}
    for i, agent in enumerate(env.spec.agents):
        metrics[f"return/{agent}"] = summary(returns.per_agent[None, :, i])
    return Evaluation(**summary(returns.mean[None]), metrics=metrics)


def evaluate_run(run: Run, *, episodes: int = 1000, seed: int = 1, greedy: bool = True) -> Json:
    """Fresh episodes with every member's policy, in the form that `shoal eval --json` prints.

    Raises:
        UserError: if `episodes` is not positive.
    """
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    play = eqx.filter_jit(evaluate_policy)
    key = jax.random.key(seed)
    returns = [jax.device_get(play(p, run.env, key, episodes, greedy)) for p in run.policies]
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *returns)
    config = dataclasses.replace(run.config, eval_episodes=episodes)
    return evaluation_report(config, run.env, stacked) | {"seed": seed}


def read_config(run: RunDirectory) -> Config:
    """The configuration of a run; `UserError` where it was written by something else."""
    try:
        return Config.from_json(run.read_config())
    except TypeError as error:
        raise UserError(
            f"{run.path / 'config.json'} is not a run's configuration: {error}"
        ) from error


def rebuild(config: Config, env: Env | None = None) -> tuple[Algorithm, Env]:
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
