"""What PettingZoo's two kinds of world, parallel and turn-based, have in common."""

import warnings
from typing import Any

import numpy as np

from shoal.core.errors import UserError, require
from shoal.envs.host import single_agent
from shoal.envs.host.layout import AgentLayout
from shoal.envs.host.views import View

LARGEST_STATE = 4_096


class GlobalState:
    """PettingZoo's `state()`, where a world has one that works; `size` is 0 elsewhere."""

    def __init__(self, env: Any):
        self.env, self.size = env, 0
        try:
            state = np.asarray(env.state())
        except Exception:  # worlds without one raise whatever they like
            return
        image = state.dtype == np.uint8 and state.ndim > 1
        if state.dtype.kind in "biuf" and state.size <= LARGEST_STATE and not image:
            self.size, self.last = state.size, state

    def read(self, ended: bool) -> np.ndarray | None:
        """Float32 `[S]`. Where the agents that it is made of are gone, it stays as it was."""
        if not self.size:
            return None
        try:
            state = np.asarray(self.env.state(), np.float32).reshape(-1)
            if state.size == self.size or not ended:
                self.last = state
        except Exception:
            if not ended:
                raise
        return np.array(self.last, np.float32).reshape(-1)


def players_of(env: Any, view: View) -> AgentLayout:
    """The agents of a world of PettingZoo's, in the order of `possible_agents`.

    Raises:
        UserError: the world does not say who may appear, or has spaces that are not supported.
    """
    agents = list(getattr(env, "possible_agents", None) or ())
    named = "expected possible_agents, the list of all that may ever appear"
    require(bool(agents), f"{env} does not name its agents: {named}")
    try:
        with warnings.catch_warnings():  # PettingZoo warns of worlds that keep spaces in dicts
            warnings.simplefilter("ignore")
            observations = [env.observation_space(agent) for agent in agents]
            actions = [env.action_space(agent) for agent in agents]
    except (AttributeError, KeyError) as error:
        raise UserError(
            f"{env} has no spaces for all of its possible_agents: {type(error).__name__}: {error}"
        ) from error
    return AgentLayout(agents, observations, actions, view)


def limit_of(env: Any) -> int:
    """The limit of episodes: `max_cycles` in PettingZoo's own, that of the Gymnasium environment
    that MaMuJoCo shares out among agents; 0 where there is neither."""
    inner = getattr(env, "unwrapped", env)
    cycles = getattr(inner, "max_cycles", 0)
    if isinstance(cycles, int | np.integer) and cycles > 0:
        return int(cycles)
    return single_agent.limit_of(getattr(inner, "single_agent_env", None))
