"""What a policy did, step by step, as plain data: pictures, rewards, metrics and messages."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.colors import PALETTE
from shoal.core.env import Action, Env, EnvState, TimeStep, settle, to_act_on
from shoal.core.errors import require
from shoal.core.picture import Circle, Picture
from shoal.core.teams import rival_teams

Act = Callable[[EnvState, TimeStep, Carry, PRNGKeyArray], tuple[Action, Carry]]


class Episode(NamedTuple):
    """T steps. `pictures[t]` is before and `pictures[t + 1]` after step `t`."""

    pictures: tuple[Picture, ...]
    rewards: np.ndarray  # [T, N]
    metrics: dict[str, np.ndarray]  # each [T]: what the environment measured in each step
    terminated: bool  # whether it came to a true end, not to its time limit

    @property
    def returns(self) -> np.ndarray:
        """`[T + 1, N]`: rewards added up so far, without discount."""
        start = np.zeros((1, self.rewards.shape[1]))
        return np.concatenate([start, np.cumsum(self.rewards, axis=0, dtype=float)])


class Recording(NamedTuple):
    """Episodes of one policy in one environment. `colors` has one an agent; `reductions` says how
    an episode reduces each metric; `algorithm` and `seed` are shown beside the pictures. `teams`
    has the agents of each of several teams, whose returns are told apart."""

    environment: str
    agents: tuple[str, ...]
    colors: tuple[str, ...]
    reductions: dict[str, str]
    episodes: tuple[Episode, ...]
    algorithm: str = ""
    seed: int | None = None
    teams: dict[str, list[int]] = {}  # noqa: RUF012 - nothing writes to it

    @property
    def mean_return(self) -> float:
        """The return averaged over agents and episodes."""
        return float(np.mean([e.returns[-1].mean() for e in self.episodes]))


class PolicyAct(eqx.Module):
    """A policy as an `Act`: a module, so that like policies share a compiled program."""

    policy: Policy
    greedy: bool = eqx.field(static=True)

    def __call__(
        self, state: EnvState, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry]:
        key_policy, key_sample = jax.random.split(key)
        distribution, carry = self.policy(timestep, carry, key_policy)
        return distribution.mode() if self.greedy else distribution.sample(key_sample), carry


def record_act(
    act: Act,
    env: Env,
    key: PRNGKeyArray,
    episodes: int = 5,
    *,
    carry: Carry = None,
    algorithm: str = "scripted",
    seed: int | None = None,
) -> Recording:
    """Plays episodes with any controller `act(state, timestep, carry, key) -> (action, carry)`.

    Unlike a policy it may see the whole state: `lambda s, t, c, k: (env.scripted(s), c)`.
    """
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    keys = jax.random.split(key, episodes)
    rollouts = jax.device_get(_rollouts(act, env, carry, keys))
    each = [_episode(env, *jax.tree.map(lambda x, e=e: x[e], rollouts)) for e in range(episodes)]
    spec = env.spec
    return Recording(
        environment=spec.name,
        agents=spec.agents,
        colors=_colors(spec.agents, each[0].pictures),
        reductions=dict(spec.metrics),
        episodes=tuple(each),
        algorithm=algorithm,
        seed=seed,
        teams=rival_teams(spec),
    )


@eqx.filter_jit
def _rollouts(act: Act, env: Env, carry: Carry, keys: Key[Array, "E"]) -> Any:
    return jax.vmap(lambda key: _rollout(act, env, carry, key))(keys)


def _rollout(act: Act, env: Env, carry: Carry, key: PRNGKeyArray) -> Any:
    """One episode of `horizon` steps: states, timesteps and whether they end the episode, at the
    start and after each step. What comes after an early end is cut off by `_episode`."""
    key_reset, key_steps = jax.random.split(key)
    first = env.reset(key_reset)

    def step(loop, key):
        state, timestep, carry = loop
        key_act, key_step = jax.random.split(key)
        action, carry = act(state, to_act_on(timestep), carry, key_act)
        state, after = env.step(key_step, state, action)
        timestep = settle(timestep, after)
        return (state, timestep, carry), (state, timestep)

    keys = jax.random.split(key_steps, env.spec.horizon)
    _, rest = jax.lax.scan(step, (*first, carry), keys)
    states, timesteps = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
    return states, timesteps, timesteps.done


def _episode(env: Env, states: EnvState, timesteps: TimeStep, done: np.ndarray) -> Episode:
    """From `[T + 1, ...]` arrays on the host to plain data, up to the first `done`."""
    ended = np.flatnonzero(done[1:])
    length = int(ended[0]) + 1 if ended.size else len(done) - 1

    def state(t: int) -> EnvState:
        return jax.tree.map(lambda x: jnp.asarray(x[t]), states)

    return Episode(
        pictures=tuple(env.draw(state(t)) for t in range(length + 1)),
        rewards=np.asarray(timesteps.reward[1 : length + 1]),
        metrics={k: np.asarray(v[1 : length + 1]) for k, v in timesteps.metrics.items()},
        terminated=bool(timesteps.terminated[length].all()),
    )


def _colors(agents: tuple[str, ...], pictures: tuple[Picture, ...]) -> tuple[str, ...]:
    """Each agent's colour in the first picture that shows it, or one from the palette."""
    shown = {
        s.label: s.color
        for picture in reversed(pictures)
        for s in picture.shapes
        if isinstance(s, Circle)
    }
    return tuple(shown.get(a, PALETTE[i % len(PALETTE)]) for i, a in enumerate(agents))


def running(values: np.ndarray, how: str) -> np.ndarray:
    """A metric `[T]` as an episode's reduction would give it after each step: `sum`, `mean`,
    `max` or `last`."""
    reduce = {
        "sum": np.cumsum,
        "mean": lambda x: np.cumsum(x) / np.arange(1, len(x) + 1),
        "max": np.maximum.accumulate,
        "last": lambda x: x,
    }
    return reduce[how](np.asarray(values, float))


def short_names(agents: tuple[str, ...]) -> dict[str, str]:
    """Names that fit on a disc: the number of a numbered agent, the word of one of its kind."""
    stems = [name.rstrip("0123456789").rstrip("_- ") for name in agents]
    short = {}
    for name, stem in zip(agents, stems, strict=True):
        number = name[len(stem) :].strip("_- ")
        short[name] = stem if stem and stems.count(stem) == 1 else number or name
    return short
