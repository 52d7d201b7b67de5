"""Gymnax's worlds of one agent inside Shoal's compiled loop: CartPole, Pendulum, MinAtar, ...

    env = from_gymnax("CartPole-v1")

At the time limit an episode is cut, before it it ends. Lange, gymnax: a JAX-based reinforcement
learning environment library (2022).
"""

import functools
import importlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.errors import UserError, require, unknown
from shoal.core.limits import Natural
from shoal.core.spaces import ActionSpace, Box, Discrete


class GymnaxState(eqx.Module):
    """The world's own state, and the step."""

    inner: Any
    time: Int[Array, ""]


class GymnaxWorld(Env):
    """A world of Gymnax's, with its default parameters. Observations are flattened."""

    task: str = eqx.field(static=True)
    """Its name in Gymnax."""
    horizon: Natural = eqx.field(static=True, default=0)
    """Steps of an episode; 0 for the world's own time limit."""

    @property
    def limit(self) -> int:
        """Steps of an episode."""
        return self.horizon or int(_make(self.task)[1].max_steps_in_episode)

    @property
    def spec(self) -> EnvSpec:
        return _spec(self)

    def reset(self, key: PRNGKeyArray) -> tuple[GymnaxState, TimeStep]:
        world, parameters = _make(self.task)
        obs, inner = world.reset_env(key, parameters)
        state = GymnaxState(inner, jnp.int32(0))
        return state, _show(obs, jnp.float32(0), jnp.array(False), jnp.array(False))

    def step(
        self, key: PRNGKeyArray, state: GymnaxState, action: Action
    ) -> tuple[GymnaxState, TimeStep]:
        world, parameters = _make(self.task)
        space = self.spec.action
        own = action[0]
        if isinstance(space, Box):
            low, high = _bounds(self.task)
            share = (jnp.clip(own, space.low, space.high) - space.low) / (space.high - space.low)
            own = (low + share * (high - low)).reshape(world.action_space(parameters).shape)
        obs, inner, reward, done, _ = world.step_env(key, state.inner, own, parameters)
        state = GymnaxState(inner, state.time + 1)
        return state, _show(obs, reward, done, state.time >= self.limit)


def from_gymnax(task: str, *, horizon: int = 0) -> GymnaxWorld:
    """A world of Gymnax's by its name.

    Args:
        task: a registered name, such as `CartPole-v1`.
        horizon: steps of an episode; 0 for the world's own time limit.

    Raises:
        UserError: Gymnax is not installed, there is no such world, or its actions are neither
            numbered nor a box.
    """
    env = GymnaxWorld(task, horizon)
    _ = env.spec
    return env


@functools.lru_cache(maxsize=64)
def _make(task: str) -> tuple[Any, Any]:
    try:
        gymnax: Any = importlib.import_module("gymnax")
    except ImportError as error:
        raise UserError("Gymnax is not installed: pip install 'shoal[gymnax]'") from error
    if task not in gymnax.registered_envs:
        raise unknown("world of Gymnax", task, gymnax.registered_envs)
    return gymnax.make(task)


@functools.lru_cache(maxsize=64)
def _spec(env: GymnaxWorld) -> EnvSpec:
    world, parameters = _make(env.task)
    obs, _ = jax.eval_shape(lambda k: world.reset_env(k, parameters), jax.random.key(0))
    return EnvSpec(
        name=f"gymnax/{env.task}",
        agents=("agent",),
        teams=(0,),
        roles=(0,),
        obs_sizes=(int(np.prod(obs.shape)),),
        action=_actions(env.task),
        state_size=0,
        horizon=env.limit,
    )


def _actions(task: str) -> ActionSpace:
    world, parameters = _make(task)
    space = world.action_space(parameters)
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete((int(space.n),))
    require(kind == "Box", f"{task} has actions of {kind}, expected Discrete or Box")
    low, high = _bounds(task)
    alike = len(set(low.tolist())) == len(set(high.tolist())) == 1
    ends = (float(low[0]), float(high[0])) if alike else (-1.0, 1.0)
    return Box(*ends, (len(low),))


@functools.lru_cache(maxsize=64)
def _bounds(task: str) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most of each dimension of an action."""
    world, parameters = _make(task)
    space = world.action_space(parameters)
    size = int(np.prod(space.shape))
    low, high = (np.broadcast_to(np.ravel(x), size) for x in (space.low, space.high))
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _show(
    obs: Array, reward: Float[Array, ""], done: Bool[Array, ""], cut: Bool[Array, ""]
) -> TimeStep:
    over = jnp.asarray(done, bool) & ~cut
    return TimeStep(
        obs=jnp.ravel(obs).astype(jnp.float32)[None],
        reward=jnp.asarray(reward, jnp.float32)[None],
        terminated=over[None],
        truncated=cut,
        active=~over[None],
        action_mask=None,
        global_state=None,
        metrics={},
    )
