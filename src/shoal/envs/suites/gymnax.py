"""Gymnax's worlds of one agent inside Shoal's compiled loop: CartPole, Pendulum, MinAtar, ...

    env = shoal.make("gymnax:CartPole-v1", max_steps_in_episode=200)

Gymnax itself tells a time limit from a true end. Lange, gymnax: a JAX-based reinforcement learning
environment library (2022).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from shoal.core.env import Action, EnvSpec
from shoal.core.errors import require, unknown
from shoal.core.spaces import Box, Discrete
from shoal.envs.settings import read_settings
from shoal.envs.suites.suite import (
    Bounds,
    SuiteStep,
    SuiteWorld,
    build,
    flat,
    import_suite,
    parameters_of,
    size_of,
)


class GymnaxWorld(SuiteWorld):
    """A world of Gymnax's. Settings are those of its constructor and of its parameters."""

    @property
    def world(self) -> Any:
        """The world and its parameters; the same objects for equal fields."""
        return _make(self.task, self.settings)

    @property
    def own_limit(self) -> int:
        return int(self.world[1].max_steps_in_episode)

    @property
    def limit_setting(self) -> str:
        return "max_steps_in_episode"

    def describe(self) -> EnvSpec:
        world, parameters = self.world
        obs, _ = jax.eval_shape(lambda k: world.reset_env(k, parameters), jax.random.key(0))
        space = world.action_space(parameters)
        kind = type(space).__name__
        require(
            kind in ("Discrete", "Box"),
            f"{self.task} has actions of {kind}, expected Discrete or Box",
        )
        discrete = kind == "Discrete"
        return EnvSpec(
            name=f"gymnax:{self.task}",
            agents=("agent",),
            teams=(0,),
            roles=(0,),
            obs_sizes=(size_of(obs),),
            action=Discrete((int(space.n),)) if discrete else _bounds(self.task, self.settings).box,
            state_size=0,
            horizon=self.limit,
            endless=self.endless,
        )

    def begin(self, key: PRNGKeyArray) -> tuple[Any, SuiteStep]:
        world, parameters = self.world
        obs, inner = world.reset_env(key, parameters)
        no = jnp.array(False)
        return inner, _seen(obs, jnp.float32(0), no, no)

    def advance(
        self, key: PRNGKeyArray, inner: Any, action: Action, late: Bool[Array, ""]
    ) -> tuple[Any, SuiteStep]:
        world, parameters = self.world
        own = action[0]
        if isinstance(self.spec.action, Box):
            own = _bounds(self.task, self.settings).own(0, own)
            own = own.reshape(world.action_space(parameters).shape)
        obs, inner, reward, ended, _ = world.step_env(key, inner, own, parameters)
        ended = jnp.asarray(ended, bool)
        return inner, _seen(obs, reward, ended, ended | late)


def names() -> list[str]:
    """The names of Gymnax's worlds. Raises `UserError` where it is not installed."""
    return sorted(import_suite("gymnax", "Gymnax", "gymnax").registered_envs)


@functools.lru_cache(maxsize=64)
def _make(task: str, settings: str) -> tuple[Any, Any]:
    gymnax = import_suite("gymnax", "Gymnax", "gymnax")
    if task not in names():
        raise unknown("world of Gymnax", task, names())
    given = read_settings(task, settings)
    world, parameters = gymnax.make(task)
    require(
        hasattr(world, "is_truncated"),
        "this Gymnax does not tell a time limit from a true end: pip install -U 'shoal[gymnax]'",
    )
    known = {f.name for f in dataclasses.fields(parameters)}
    own = {name: given.pop(name) for name in list(given) if name in known}
    if given:
        taken = [*parameters_of(type(world)), *known]
        world, parameters = build(task, functools.partial(gymnax.make, task), given, lambda: taken)
    return world, dataclasses.replace(parameters, **own)


@functools.lru_cache(maxsize=64)
def _bounds(task: str, settings: str) -> Bounds:
    world, parameters = _make(task, settings)
    with jax.ensure_compile_time_eval():
        space = world.action_space(parameters)
    return Bounds.of(task, [(space.low, space.high, space.shape)])


def _seen(obs: Any, reward: Array, ended: Bool[Array, ""], over: Bool[Array, ""]) -> SuiteStep:
    return SuiteStep(flat(obs)[None], jnp.asarray(reward, jnp.float32)[None], ended[None], over)
