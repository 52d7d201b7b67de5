"""What a configuration names, made: learners and an environment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal import registry
from shoal.core.algorithm import Learner
from shoal.core.errors import require
from shoal.envs.host.world import World
from shoal.runs.config import Config
from shoal.runs.fields import check_types, from_fields
from shoal.runs.run_directory import RunDirectory
from shoal.training.learners import make_learners


def read_config(run: RunDirectory) -> Config:
    """The configuration of a run; `UserError` where it was written by something else."""
    return Config.from_json(run.read_config())


def rebuild(config: Config, env: World | str | None = None) -> tuple[list[Learner], World]:
    """The learners and the environment that a configuration names; `env` takes its place."""
    algorithm, world = parts(config, env)
    return make_learners(config, algorithm, world), world


def parts(config: Config, env: World | str | None = None) -> tuple[Any, World]:
    """The algorithm and the environment that a configuration names; `env` takes its place."""
    algorithm = made("algorithm", registry.make_algorithm, config.algorithm, config)
    world = world_of(config, config.environment if env is None else env)
    algorithm.check(world.spec)
    return algorithm, world


def world_of(config: Config, env: World | str) -> World:
    """The environment of that name, with the fields that the configuration has."""
    if not isinstance(env, str):
        return env
    if env != config.environment:
        return made("environment", registry.make, registry.full_name(env), config)
    mend = _MENDS["environment"]
    named = env in registry.ENVIRONMENTS
    require(named, f"the run's environment, {env}, was an object without an address: {mend}")
    return made("environment", registry.make, env, config)


_MENDS = {
    "algorithm": "put it back",
    "environment": "say where it is made, with --env FILE.py:NAME, or env= in Python",
}


def made(kind: str, make: Callable[..., Any], name: str, config: Config) -> Any:
    """An algorithm or environment as `config.json` has it; a `UserError` that says where not."""
    key = f"{kind}_fields"
    place, home = f"config.json: {key}", name.rpartition(":")[0]
    gone = name == getattr(config, kind) and home.endswith(".py") and not Path(home).is_file()
    require(not gone, f"there is no file {home}, which had the run's {kind}: {_MENDS[kind]}")
    thing = make(name, **from_fields(getattr(config, key), place=place, home=home))
    check_types(thing, place)
    return thing
