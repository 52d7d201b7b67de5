"""Episodes played with random and extreme actions, and past their end, to be looked at after.

Nothing is reset: `steps` goes on for two steps beyond the horizon, and `before` says which steps
belong to an episode.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from shoal.core.env import Action, Env
from shoal.core.spaces import Box, legal_actions

LONGEST = 20_000  # steps that are played at most
MEMORY = 2**28  # bytes that all episodes may take
BEYOND = 2  # steps past the horizon
RANDOM, LOWEST, HIGHEST = range(3)
MANNERS = ("random actions", "the lowest legal actions", "the highest legal actions")


class Play(NamedTuple):
    """B episodes of T steps: index 0 is after the reset. All but `states` are on the host."""

    spec: Any
    seeds: np.ndarray  # [B]
    manners: np.ndarray  # [B], which of `MANNERS`
    timestep: Any  # a TimeStep with leaves [T + 1, B, ...]
    states: Any  # leaves [T + 1, B, ...], on the device
    raw: Any  # the same on the host, keys as numbers
    actions: np.ndarray  # [T, B, ...]: `actions[t]` leads from t to t + 1

    @property
    def done(self) -> np.ndarray:
        """Bool `[T + 1, B]`: whether the world says that the episode ended there."""
        return np.asarray((self.timestep.terminated | self.timestep.truncated).all(-1))

    @property
    def last(self) -> np.ndarray:
        """Int `[B]`: the step with which each episode ended; T + 1 where it did not."""
        steps = self.done.shape[0]
        return np.where(self.done.any(0), self.done.argmax(0), steps)

    @property
    def inside(self) -> np.ndarray:
        """Bool `[T + 1, B]`: up to the end, the last step included."""
        return np.arange(self.done.shape[0])[:, None] <= self.last

    @property
    def before(self) -> np.ndarray:
        """Bool `[T + 1, B]`: where the episode goes on and agents act."""
        return np.arange(self.done.shape[0])[:, None] < self.last

    def place(self, bad: np.ndarray) -> dict[str, Any]:
        """Where a defect `[T + 1, B]` or `[T + 1, B, N]` is seen first."""
        step, episode, *agent = (int(i) for i in np.argwhere(bad)[0])
        place = {"step": step, "seed": int(self.seeds[episode])}
        return place | ({"agent": self.spec.agents[agent[0]]} if agent else {})

    def manner(self, bad: np.ndarray) -> str:
        """How the episode was played in which a defect is seen first."""
        return MANNERS[int(self.manners[np.argwhere(bad)[0][1]])]


def episodes_that_fit(env: Env, wanted: int) -> int:
    """So many that they fit into memory."""
    shapes = jax.eval_shape(lambda: env.reset(jax.random.key(0)))
    size = sum(max(leaf.size, 1) * 4 for leaf in jax.tree.leaves(shapes))
    fit = MEMORY // (size * (steps_to_play(env) + 1))
    return int(max(2, min(wanted, fit)))


def steps_to_play(env: Env) -> int:
    """Two more than an episode may have."""
    return min(env.spec.horizon + BEYOND, LONGEST)


def play(env: Env, episodes: int, seed: int) -> tuple[Play, bool]:
    """Plays, half of the episodes at random; also whether playing it all again gives the same."""
    spec, steps = env.spec, steps_to_play(env)
    seeds = np.arange(seed, seed + episodes_that_fit(env, episodes))
    turn = np.arange(len(seeds))
    manners = np.where(turn % 2 == 0, RANDOM, np.where(turn % 4 == 1, LOWEST, HIGHEST))

    def one(key: PRNGKeyArray, manner: Array) -> Any:
        first = jax.tree.map(jnp.asarray, env.reset(key))

        def step(carry: Any, t: Array) -> Any:
            key_act = jax.random.fold_in(key, steps + t)
            action = choose(env, key_act, manner, carry[1].action_mask)
            after = env.step(jax.random.fold_in(key, t), carry[0], action)
            return after, (*after, action)

        _, (states, timesteps, actions) = jax.lax.scan(step, first, jnp.arange(1, steps + 1))
        whole = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, (states, timesteps))
        return *whole, actions

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    run = jax.jit(jax.vmap(one, out_axes=1))
    states, timestep, actions = run(keys, jnp.asarray(manners))
    again = run(keys, jnp.asarray(manners))
    raw, raw_again = (jax.device_get(jax.tree.map(as_numbers, s)) for s in (states, again[0]))
    timestep, timestep_again = jax.device_get((timestep, again[1]))
    same = jax.tree.all(jax.tree.map(equal_bits, (raw, timestep), (raw_again, timestep_again)))
    done = Play(spec, seeds, manners, timestep, states, raw, np.asarray(actions))
    return done, bool(same)


def choose(env: Env, key: PRNGKeyArray, manner: Array, mask: Array | None) -> Action:
    """An action a agent: at random, or the lowest or highest that is legal."""
    space, n = env.spec.action, env.spec.num_agents
    if isinstance(space, Box):
        low, high = jnp.asarray(space.lows), jnp.asarray(space.highs)
        drawn = jax.random.uniform(key, (n, space.size), minval=low, maxval=high)
        picked = jnp.where(manner == LOWEST, low, jnp.where(manner == HIGHEST, high, drawn))
        return jnp.where(jnp.asarray(space.mask), picked, 0.0)
    legal = space.split(legal_actions(space, mask, (n,)))
    number = jnp.arange(legal.shape[-1])
    random = jnp.where(legal, jax.random.uniform(key, legal.shape), -1.0).argmax(-1)
    lowest = jnp.where(legal, number, number.size).argmin(-1)
    highest = jnp.where(legal, number, -1).argmax(-1)
    return jnp.stack([random, lowest, highest])[manner].astype(jnp.int32)


def as_numbers(leaf: Any) -> Any:
    """A key as its numbers; other arrays as they are."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def equal_bits(a: Any, b: Any) -> bool:
    """Whether two arrays are the same; NaN is equal to NaN."""
    return bool(np.array_equal(a, b, equal_nan=np.issubdtype(np.asarray(a).dtype, np.floating)))
