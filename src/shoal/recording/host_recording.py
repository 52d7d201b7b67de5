"""What a policy did in a world of the host: the world's own pictures of each step."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from shoal.core.algorithm import Carry
from shoal.core.colors import PALETTE
from shoal.core.env import paid, to_act_on
from shoal.core.errors import require
from shoal.core.spaces import ActionSpace
from shoal.core.teams import rival_teams
from shoal.envs.host.env import HostEnv, HostStep
from shoal.envs.host.steps import seeds_of, timestep_of
from shoal.envs.host.world import HostWorld
from shoal.recording.raster import photograph
from shoal.recording.recording import Act, Episode, Recording


@eqx.filter_jit
def _act(act: Act, space: ActionSpace, shown: HostStep, carry: Carry, key: PRNGKeyArray) -> Any:
    return act(None, to_act_on(timestep_of(shown, space)), carry, key)


def record_host(
    act: Act,
    world: HostWorld,
    key: PRNGKeyArray,
    episodes: int,
    *,
    carry: Carry = None,
    algorithm: str = "",
    seed: int | None = None,
) -> Recording:
    """Plays episodes with `act(None, timestep, carry, key)`.

    Raises:
        UserError: the world cannot draw itself.
        WorldFailed: it raises, hangs or ends its process.
    """
    require(episodes >= 1, f"episodes is {episodes}, expected at least 1")
    game, spec = world.drawn(), world.spec
    try:
        keys = jax.random.split(key, episodes)
        each = [_episode(partial(_act, act, spec.action), game, carry, k) for k in keys]
    finally:
        game.close()
    return Recording(
        environment=spec.name,
        agents=spec.agents,
        colors=tuple(PALETTE[i % len(PALETTE)] for i in range(spec.num_agents)),
        reductions={},
        episodes=tuple(each),
        algorithm=algorithm,
        seed=seed,
        teams=rival_teams(spec),
    )


def _episode(act: Any, game: HostEnv, carry: Carry, key: PRNGKeyArray) -> Episode:
    shown = game.reset(int(seeds_of(key, 1)[0]))
    pictures, rewards = [photograph(game.render())], []
    while not shown.done:
        key, key_act = jax.random.split(key)
        action, carry = act(shown, carry, key_act)
        before = jax.tree.map(np.copy, shown)  # which the game may write over
        shown = game.step(np.asarray(action))
        rewards.append(paid(before, shown))
        pictures.append(photograph(game.render()))
    return Episode(tuple(pictures), np.stack(rewards), {}, bool(shown.terminated.all()))
