"""A world of Gymnasium's as a game with one agent. Towers et al. (2024), arXiv:2407.17032."""

from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.core.errors import require
from shoal.envs.host.env import HostEnv, HostStep
from shoal.envs.host.layout import AgentLayout, unpacked
from shoal.envs.host.views import View, picture

AGENT = "agent"
STEP = "observation, reward, terminated, truncated, info"


class GymnasiumHostEnv(HostEnv):
    """One agent, called `agent`, in the world that `make_fn` makes.

    Raises:
        UserError: what was made is no single world of Gymnasium's, or its spaces will not do.
    """

    def __init__(self, make_fn: Callable[[], Any], view: View):
        self.env = env = make_fn()
        self.name = type(getattr(env, "unwrapped", env)).__name__
        require(not hasattr(env, "num_envs"), f"{self.name} is a vector of worlds, expected one")
        one = not callable(getattr(env, "observation_space", len))
        require(one, f"{self.name} is no world of Gymnasium's: it has no single observation_space")
        self.players = AgentLayout([AGENT], [env.observation_space], [env.action_space], view)
        self.players.notice([self._reset(0)[1]])
        self.facts = self.players.facts(limit=limit_of(env))

    def reset(self, seed: int) -> HostStep:
        players = self.players
        players.begin(seed)
        observation, info = self._reset(int(seed))
        players.see(0, observation, info)
        players.terminated[0], players.active[0] = False, True
        return players.shown()

    def step(self, action: np.ndarray) -> HostStep:
        players = self.players
        done = unpacked(self.env.step(players.act(0, action[0])), "step", STEP)
        observation, reward, terminated, truncated, info = done
        players.see(0, observation, info)
        players.pay(AGENT, reward)
        players.terminated[0] = terminated
        players.truncated[0] = truncated and not terminated
        players.active[0] = not (terminated or truncated)
        return players.shown()

    def _reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        observation, info = unpacked(self.env.reset(seed=seed), "reset", "observation, info")
        require(
            isinstance(info, dict),
            f"reset returns a {type(info).__name__} as info, expected a dict",
        )
        return observation, info

    def render(self) -> np.ndarray:
        return picture(self.env.render, self.name)

    def close(self) -> None:
        self.env.close()


def limit_of(env: Any) -> int:
    """The longest episode that the world's spec or a `TimeLimit` around it allows; 0 for none."""
    limit = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    if limit is None and hasattr(env, "has_wrapper_attr"):
        name = "_max_episode_steps"
        limit = env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None
    return int(limit) if limit and limit > 0 else 0
