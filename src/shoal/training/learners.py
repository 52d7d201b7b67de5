"""Learners, built: the one place that knows which one an algorithm needs.

A learner's class is called with (algorithm, env, num_envs, unroll, total_updates). The registry
says which class a name needs, and the environment's backend may put its own in the place of
`OnDevice`.
"""

import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from shoal import registry
from shoal.core.algorithm import Learner
from shoal.core.env import EnvSpec
from shoal.envs.host.world import World
from shoal.runs.config import Config
from shoal.runs.durable import Json
from shoal.runs.fields import replace_at
from shoal.training.backend import backend_of
from shoal.training.fit import check_kind


@runtime_checkable
class Hyperparameters(Protocol):
    """What a learner learns with: an algorithm, or what a learner of its own makes of several."""

    def check(self, spec: EnvSpec) -> None: ...

    def check_devices(self, num_envs: int, devices: int) -> None: ...


def make_learner(
    algorithm: Hyperparameters,
    env: World,
    num_envs: int,
    unroll: int,
    total_steps: int | None = None,
    target: str = registry.ON_DEVICE,
) -> Learner:
    """A learner of the class `target`, `module:Class`, whose schedules end with the update that
    reaches `total_steps`; without them they stay where they start."""
    kind = registry.load(backend_of(env).learner(target))
    algorithm = jax.tree.map(jnp.asarray, algorithm)
    learner = kind(algorithm, env, num_envs, unroll, math.inf)
    check_kind(learner)
    if total_steps is None:
        return learner
    updates = -(-total_steps // learner.steps_per_update)
    return kind(algorithm, env, num_envs, unroll, float(updates))


def make_learners(config: Config, algorithm: Hyperparameters, env: World) -> list[Learner]:
    """The learner of every member of a run."""
    target = registry.find_algorithm(config.algorithm).learner
    num_envs = max(config.num_envs // config.workers, 1) if config.alone else config.num_envs
    return [
        make_learner(
            with_settings(algorithm, member),
            *(env, num_envs, config.unroll, config.total_steps, target),
        )
        for member in config.members()
    ]


def with_settings(algorithm: Any, member: Json) -> Any:
    """A member's algorithm: with its own values of the swept hyper-parameters."""
    for path, value in member.items():
        if path != "seed":
            algorithm = replace_at(algorithm, path, value)
    return algorithm
