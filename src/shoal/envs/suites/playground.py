"""MuJoCo Playground's robots inside Shoal's compiled loop, one agent each.

    env = shoal.make("playground:CartpoleBalance")

Episodes are cut after the `episode_length` of a robot's configuration. What its own learner sees
beside the policy's view is the global state. Zakka et al. 2025, arXiv:2502.08844.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from shoal.core.env import Action, EnvSpec
from shoal.core.errors import unknown
from shoal.core.spaces import Box
from shoal.envs.settings import read_settings
from shoal.envs.suites.suite import (
    SuiteStep,
    SuiteWorld,
    build,
    flat,
    import_suite,
    size_of,
)

VIEW, PRIVILEGED = "state", "privileged_state"


class PlaygroundWorld(SuiteWorld):
    """A robot of MuJoCo Playground's. Settings replace entries of its configuration.

    Physics is that of MJX written in JAX, which compiles for any device; `impl="warp"` takes the
    one for NVIDIA's GPUs.
    """

    @property
    def world(self) -> Any:
        """The world itself; the same object for equal fields."""
        return _make(self.task, self.settings)[0]

    @property
    def own_limit(self) -> int:
        return int(_make(self.task, self.settings)[1].episode_length)

    @property
    def limit_setting(self) -> str:
        return "episode_length"

    def describe(self) -> EnvSpec:
        shown = jax.eval_shape(self.world.reset, jax.random.key(0)).obs
        has_more = isinstance(shown, dict) and PRIVILEGED in shown
        return EnvSpec(
            name=f"playground:{self.task}",
            agents=("robot",),
            teams=(0,),
            roles=(0,),
            obs_sizes=(size_of(_view(shown)),),
            action=Box(-1.0, 1.0, (int(self.world.action_size),)),
            state_size=size_of(shown[PRIVILEGED]) if has_more else 0,
            horizon=self.limit,
            endless=self.endless,
        )

    def begin(self, key: PRNGKeyArray) -> tuple[Any, SuiteStep]:
        inner = self.world.reset(key)
        return inner, self._seen(inner, jnp.zeros_like(inner.reward))

    def advance(
        self, key: PRNGKeyArray, inner: Any, action: Action, late: Bool[Array, ""]
    ) -> tuple[Any, SuiteStep]:
        del key, late  # states hold their own, and the world itself has no clock
        inner = self.world.step(inner, jnp.clip(action[0], -1.0, 1.0))
        return inner, self._seen(inner, inner.reward)

    def _seen(self, inner: Any, reward: Array) -> SuiteStep:
        ended = jnp.asarray(inner.done, bool)
        return SuiteStep(
            obs=flat(_view(inner.obs))[None],
            reward=jnp.asarray(reward, jnp.float32)[None],
            ended=ended[None],
            over=ended,
            global_state=flat(inner.obs[PRIVILEGED]) if self.spec.state_size else None,
        )


def names() -> list[str]:
    """The names of MuJoCo Playground's worlds. Raises `UserError` where it is not installed."""
    return sorted(_package().registry.ALL_ENVS)


def _package() -> Any:
    return import_suite("mujoco_playground", "MuJoCo Playground", "playground")


@functools.lru_cache(maxsize=64)
def _make(task: str, settings: str) -> tuple[Any, Any]:
    """The world and its configuration."""
    registry = _package().registry
    if task not in names():
        raise unknown("world of MuJoCo Playground", task, names())
    given = read_settings(task, settings)
    config = registry.get_default_config(task)
    for name in given:
        if name not in config:
            raise unknown(f"setting of {task}", name, list(config))
    wanted = {"impl": "jax"} | given if "impl" in config else given
    with config.unlocked():
        build(task, lambda **given: config.update(given), wanted, list)
    make = functools.partial(registry.load, task)
    return build(task, make, {"config": config}, list), config


def _view(obs: Any) -> Any:
    """What the policy sees, where a learner sees more."""
    return obs[VIEW] if isinstance(obs, dict) else obs
