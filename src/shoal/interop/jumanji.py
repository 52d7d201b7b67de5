"""Jumanji's worlds inside Shoal's compiled loop: level-based foraging, robot warehouse, ...

    env = from_jumanji("RobotWarehouse-v0")

Each agent sees what is its own of the observation and all that is everybody's, flattened. A reward
that the team shares is every agent's. Bonnet et al., Jumanji (2023), arXiv:2306.09884.
"""

import functools
import importlib
import json
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.errors import UserError, require, unknown
from shoal.core.limits import Natural
from shoal.core.spaces import Discrete

HORIZON = 1000
"""Of worlds that name no time limit of their own."""
MASK = "action_mask"


class JumanjiState(eqx.Module):
    """The world's own state, and the step."""

    inner: Any
    time: Int[Array, ""]


class JumanjiWorld(Env):
    """A world of Jumanji's whose agents choose among numbered actions, all at once."""

    task: str = eqx.field(static=True)
    """Its name in Jumanji."""
    settings: str = eqx.field(static=True, default="{}")
    """What it is made with, as JSON."""
    horizon: Natural = eqx.field(static=True, default=0)
    """Steps of an episode; 0 for the world's own time limit."""

    @property
    def world(self) -> Any:
        """The world itself; the same object for equal fields."""
        return _make(self.task, self.settings)

    @property
    def limit(self) -> int:
        """Steps of an episode."""
        own = getattr(self.world, "time_limit", None)
        return self.horizon or (int(own) if isinstance(own, int | np.integer) else HORIZON)

    @property
    def spec(self) -> EnvSpec:
        return _spec(self)

    def reset(self, key: PRNGKeyArray) -> tuple[JumanjiState, TimeStep]:
        inner, shown = self.world.reset(key)
        return JumanjiState(inner, jnp.int32(0)), self._show(shown, jnp.array(False), True)

    def step(
        self, key: PRNGKeyArray, state: JumanjiState, action: Action
    ) -> tuple[JumanjiState, TimeStep]:
        del key  # states hold their own
        counts = self.spec.action.sizes
        joint = jnp.clip(action, 0, jnp.array(counts) - 1)
        chosen = joint if self.world.action_spec.shape else joint[0]
        inner, shown = self.world.step(state.inner, chosen)
        state = JumanjiState(inner, state.time + 1)
        return state, self._show(shown, state.time >= self.limit, False)

    def _show(self, shown: Any, cut: Bool[Array, ""], first: bool) -> TimeStep:
        count = self.spec.num_agents
        reward = jnp.broadcast_to(jnp.asarray(shown.reward, jnp.float32), (count,))
        # Some worlds call their time limit a true end; before it, an end is one.
        over = jnp.zeros(count, bool) if first else jnp.broadcast_to(shown.last() & ~cut, (count,))
        found = getattr(shown.observation, MASK, None)
        mask = None if found is None else jnp.reshape(found, (count, -1)).astype(bool)
        return TimeStep(
            obs=_views(shown.observation, count),
            reward=jnp.zeros(count) if first else reward,
            terminated=over,
            truncated=cut,
            active=~over,
            action_mask=mask,
            global_state=None,
            metrics={},
        )


def from_jumanji(task: str, *, horizon: int = 0, **settings: Any) -> JumanjiWorld:
    """A world of Jumanji's by its name.

    Args:
        task: a registered name, such as `LevelBasedForaging-v0`.
        horizon: steps of an episode; 0 for the world's own time limit.
        settings: what the world is made with, as plain data.

    Raises:
        UserError: Jumanji is not installed, there is no such world, it does not take such a
            setting, or its actions are not one number for each agent.
    """
    try:
        text = json.dumps(settings, sort_keys=True)
    except TypeError as error:
        raise UserError(f"settings of {task} must be plain data: {error}") from error
    env = JumanjiWorld(task, text, horizon)
    _ = env.spec
    return env


@functools.lru_cache(maxsize=64)
def _make(task: str, settings: str) -> Any:
    try:
        jumanji: Any = importlib.import_module("jumanji")
    except ImportError as error:
        raise UserError("Jumanji is not installed: pip install 'shoal[jumanji]'") from error
    if task not in jumanji.registered_environments():
        raise unknown("world of Jumanji", task, jumanji.registered_environments())
    try:
        return jumanji.make(task, **json.loads(settings))
    except TypeError as error:
        raise UserError(f"{task}: {error}") from error


@functools.lru_cache(maxsize=64)
def _spec(env: JumanjiWorld) -> EnvSpec:
    space: Any = env.world.action_spec
    counts: Any = getattr(space, "num_values", None)
    require(
        counts is not None and np.ndim(counts) <= 1,
        f"{env.task} has actions {space}, expected one whole number for each agent",
    )
    sizes = tuple(int(n) for n in np.asarray(counts).ravel())
    _, shown = jax.eval_shape(env.world.reset, jax.random.key(0))
    views = jax.eval_shape(lambda o: _views(o, len(sizes)), shown.observation)
    return EnvSpec(
        name=f"jumanji/{re.sub(r'-v[0-9]+$', '', env.task)}",
        agents=tuple(f"agent_{i}" for i in range(len(sizes))),
        teams=(0,) * len(sizes),
        roles=tuple(sizes.index(n) for n in sizes),
        obs_sizes=(views.shape[1],) * len(sizes),
        action=Discrete(sizes),
        state_size=0,
        horizon=env.limit,
    )


def _views(observation: Any, count: int) -> Float[Array, "N D"]:
    """Each agent's own view, or its number where it has none; then what all see."""
    fields = [(k, v) for k, v in observation._asdict().items() if k != MASK]
    own = [jnp.reshape(v, (count, -1)) for k, v in fields if k.startswith("agents_view")]
    if not own:  # nobody has a view of its own: all see all, and who they are
        own = [jnp.eye(count)]
    else:
        fields = [(k, v) for k, v in fields if not k.startswith("agents_view")]
    leaves = [x for _, v in fields for x in jax.tree.leaves(v)]
    common = [jnp.broadcast_to(jnp.ravel(x), (count, np.size(x))) for x in leaves]
    return jnp.concatenate([x.astype(jnp.float32) for x in (*own, *common)], axis=1)
