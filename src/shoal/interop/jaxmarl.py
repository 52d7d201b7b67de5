"""JaxMARL's worlds inside Shoal's compiled loop: SMAX, Overcooked, Hanabi, MABrax, JaxNav, ...

    env = from_jaxmarl("HeuristicEnemySMAX", scenario="3m")

Only dictionaries are turned into arrays. What JaxMARL calls done is told apart: at the time limit
an episode is cut (`truncated`), before it an agent has truly ended (`terminated`). Rutherford et
al., JaxMARL (2023), arXiv:2311.10090.
"""

import functools
import importlib
import json
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

HORIZON = 1000
"""Of worlds that name no time limit of their own."""


class JaxMARLState(eqx.Module):
    """The world's own state, and what an episode needs beside it."""

    inner: Any
    dead: Bool[Array, "N"]
    """Who has truly ended."""
    time: Int[Array, ""]


class JaxMARLWorld(Env):
    """A world of JaxMARL's. Observations are flattened; those of different sizes are padded."""

    task: str = eqx.field(static=True)
    """Its name in JaxMARL."""
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
        return self.horizon or _own_limit(self.world) or HORIZON

    @property
    def spec(self) -> EnvSpec:
        return _spec(self)

    def reset(self, key: PRNGKeyArray) -> tuple[JaxMARLState, TimeStep]:
        obs, inner = self.world.reset(key)
        count = len(self.world.agents)
        state = JaxMARLState(inner, jnp.zeros(count, bool), jnp.int32(0))
        return state, self._show(state, obs, jnp.zeros(count), jnp.array(False))

    def step(
        self, key: PRNGKeyArray, state: JaxMARLState, action: Action
    ) -> tuple[JaxMARLState, TimeStep]:
        world = self.world
        chosen = {agent: self._own(i, action[i]) for i, agent in enumerate(world.agents)}
        obs, inner, rewards, dones, _ = world.step_env(key, state.inner, chosen)
        time = state.time + 1
        done = jnp.stack([jnp.asarray(dones[agent], bool) for agent in world.agents])
        done = done | jnp.asarray(dones["__all__"], bool)
        cut = time >= self.limit
        dead = jnp.where(cut, state.dead, state.dead | done)
        reward = jnp.stack([jnp.asarray(rewards[a], jnp.float32) for a in world.agents])
        state = JaxMARLState(inner, dead, time)
        return state, self._show(state, obs, reward, cut)

    def _own(self, i: int, action: Array) -> Array:
        """An agent's action as its world wants it: boxes of several bounds were shown as one."""
        space = self.spec.action
        if isinstance(space, Discrete):
            return action
        low, high = _bounds(self.world)[i]
        share = (jnp.clip(action[: len(low)], space.low, space.high) - space.low) / (
            space.high - space.low
        )
        return jnp.asarray(low + share * (high - low))

    def _show(
        self, state: JaxMARLState, obs: Any, reward: Float[Array, "N"], cut: Bool[Array, ""]
    ) -> TimeStep:
        spec, world = self.spec, self.world
        rows = [_flat(obs[agent]) for agent in world.agents]
        rows = [jnp.pad(row, (0, spec.obs_size - len(row))) for row in rows]
        return TimeStep(
            obs=jnp.stack(rows),
            reward=reward,
            terminated=state.dead,
            truncated=cut,
            active=~state.dead,
            action_mask=self._mask(state.inner),
            global_state=_flat(obs["world_state"]) if spec.state_size else None,
            metrics={},
        )

    def _mask(self, inner: Any) -> Bool[Array, "N A"] | None:
        space = self.spec.action
        if isinstance(space, Box):
            return None
        legal = _legal(self.world)
        if legal is None:
            return jnp.asarray(space.mask) if len(set(space.sizes)) > 1 else None
        found = legal(inner)
        rows = [jnp.asarray(found[agent], bool) for agent in self.world.agents]
        return jnp.stack([jnp.pad(row, (0, space.size - len(row))) for row in rows])


def from_jaxmarl(task: str, *, horizon: int = 0, **settings: Any) -> JaxMARLWorld:
    """A world of JaxMARL's by its name.

    Args:
        task: a name of `jaxmarl.registered_envs`.
        horizon: steps of an episode; 0 for the world's own time limit.
        settings: what the world is made with. The scenario of SMAX and the layout of Overcooked
            may be named: `scenario="3m"`, `layout="cramped_room"`.

    Raises:
        UserError: JaxMARL is not installed, there is no such world, it does not take such a
            setting, or its observations are not one array for each agent.
    """
    try:
        text = json.dumps(settings, sort_keys=True)
    except TypeError as error:
        raise UserError(f"settings of {task} must be plain data: {error}") from error
    env = JaxMARLWorld(task, text, horizon)
    _ = env.spec
    return env


@functools.lru_cache(maxsize=64)
def _make(task: str, settings: str) -> Any:
    try:
        jaxmarl: Any = importlib.import_module("jaxmarl")
    except ImportError as error:
        raise UserError("JaxMARL is not installed: pip install 'shoal[jaxmarl]'") from error
    if task not in jaxmarl.registered_envs:
        raise unknown("world of JaxMARL", task, jaxmarl.registered_envs)
    given = json.loads(settings)
    if isinstance(given.get("scenario"), str):
        smax: Any = importlib.import_module("jaxmarl.environments.smax")
        given["scenario"] = smax.map_name_to_scenario(given["scenario"])
    if isinstance(given.get("layout"), str):
        given["layout"] = _layout(task, given["layout"])
    try:
        return jaxmarl.make(task, **given)
    except TypeError as error:
        raise UserError(f"{task}: {error}") from error


def _layout(task: str, name: str) -> Any:
    """The layout of Overcooked of that name; the second version reads names itself."""
    if task != "overcooked":
        return name
    layouts: Any = importlib.import_module("jaxmarl.environments.overcooked").overcooked_layouts
    if name not in layouts:
        raise unknown("layout of Overcooked", name, layouts)
    return layouts[name]


def _own_limit(world: Any) -> int:
    """The world's time limit, by the names that JaxMARL has for it; 0 where it has none."""
    for name in ("max_steps", "num_inner_steps"):
        found = getattr(world, name, None)
        if isinstance(found, int | np.integer):
            return int(found)
    return 0


@functools.lru_cache(maxsize=64)
def _legal(world: Any) -> Any:
    """What tells legal actions, if anything does."""
    _, state = jax.eval_shape(world.reset, jax.random.key(0))
    for name in ("get_avail_actions", "get_legal_moves"):
        tell = getattr(world, name, None)
        try:
            if tell is not None:
                jax.eval_shape(tell, state)
                return tell
        except NotImplementedError:
            continue
    return None


@functools.lru_cache(maxsize=64)
def _spec(env: JaxMARLWorld) -> EnvSpec:
    world = env.world
    obs, _ = jax.eval_shape(world.reset, jax.random.key(0))
    odd = [str(agent) for agent in world.agents if agent not in obs]
    require(
        not odd,
        f"{env.task} does not observe agent by agent ({', '.join(odd)} are missing in "
        f"{', '.join(map(str, obs))}): such worlds are not supported",
    )
    sizes = tuple(_size(obs[agent]) for agent in world.agents)
    actions = _actions(env.task, world)
    kinds = list(zip(sizes, actions.sizes))
    return EnvSpec(
        name=f"jaxmarl/{env.task}",
        agents=tuple(map(str, world.agents)),
        teams=tuple(_team(str(agent)) for agent in world.agents),
        roles=tuple(kinds.index(kind) for kind in kinds),
        obs_sizes=sizes,
        action=actions,
        state_size=_size(obs["world_state"]) if "world_state" in obs else 0,
        horizon=env.limit,
    )


def _actions(task: str, world: Any) -> ActionSpace:
    spaces = [world.action_space(agent) for agent in world.agents]
    kinds = {type(space).__name__ for space in spaces}
    if kinds == {"Discrete"}:
        return Discrete(tuple(int(space.n) for space in spaces))
    require(
        kinds == {"Box"},
        f"{task} has actions of {', '.join(sorted(kinds))}, expected Discrete for all agents, "
        "or Box",
    )
    bounds = _bounds(world)
    ends = [{float(x) for pair in bounds for x in pair[end]} for end in (0, 1)]
    low, high = (ends[0].pop(), ends[1].pop()) if len(ends[0]) == len(ends[1]) == 1 else (-1.0, 1.0)
    return Box(low, high, tuple(len(pair[0]) for pair in bounds))


@functools.lru_cache(maxsize=64)
def _bounds(world: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """The least and the most of each dimension of each agent's action."""
    out = []
    for agent in world.agents:
        space = world.action_space(agent)
        size = int(np.prod(space.shape))
        pair = (np.broadcast_to(np.ravel(end), size) for end in (space.low, space.high))
        out.append(tuple(np.asarray(end, np.float32) for end in pair))
    return out


def _team(agent: str) -> int:
    """Enemies and adversaries are the other side."""
    return int(agent.startswith(("enemy", "adversary")))


def _flat(values: Any) -> Float[Array, "D"]:
    parts = [jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(values)]
    return jnp.concatenate(parts)


def _size(values: Any) -> int:
    return sum(int(np.prod(x.shape)) for x in jax.tree.leaves(values))
