"""A world of PettingZoo's in which all agents act at once. Terry et al. (2021), arXiv:2009.14471.

Agents that die, are cut, or have not appeared yet keep their place in every array, and are not
active. An episode ends when nobody is left in `agents`.
"""

from collections.abc import Callable, Hashable, Set
from typing import Any

import numpy as np

from shoal.envs.host.env import HostEnv, HostStep
from shoal.envs.host.layout import unpacked
from shoal.envs.host.views import View, picture
from shoal.envs.host.zoo import GlobalState, limit_of, players_of

RESET = "observations, infos"
STEP = "observations, rewards, terminations, truncations, infos"
NOBODY: Set[Hashable] = frozenset()


class ParallelHostEnv(HostEnv):
    """The `ParallelEnv` that `make_fn` makes.

    An agent that appears later, or comes back, begins anew: it has not terminated from then on. One
    that leaves without a word, neither terminated nor truncated, was taken out: it counts as cut.

    Raises:
        UserError: it does not name its agents, or its spaces will not do.
    """

    def __init__(self, make_fn: Callable[[], Any], view: View):
        self.env = env = make_fn()
        self.players = players_of(env, view)
        _, infos = unpacked(env.reset(seed=0), "reset", RESET)
        self.players.notice(list((infos or {}).values()))
        self.state = GlobalState(env)
        self.facts = self.players.facts(self.state.size, limit_of(env))
        self.living = NOBODY

    def reset(self, seed: int) -> HostStep:
        self.players.begin(seed)
        self.living = NOBODY
        observations, infos = unpacked(self.env.reset(seed=int(seed)), "reset", RESET)
        self._show(observations, infos, NOBODY, NOBODY)
        return self.players.shown(self.state.read(ended=False))

    def step(self, action: np.ndarray) -> HostStep:
        players, before = self.players, self.living
        rows = {agent: players.index_of(agent) for agent in self.env.agents}
        joint = {agent: players.act(i, action[i]) for agent, i in rows.items()}
        done = unpacked(self.env.step(joint), "step", STEP)
        observations, rewards, terminations, truncations, infos = done
        dead = {agent for agent, ends in terminations.items() if ends}
        cut = {agent for agent, ends in truncations.items() if ends} - dead
        self._show(observations, infos, dead, cut)
        players.reward[:] = 0
        for agent in rewards.keys() & (before | self.living):
            players.pay(agent, rewards[agent])
        return players.shown(self.state.read(ended=not self.living))

    def render(self) -> np.ndarray:
        return picture(self.env.render, str(self.env))

    def close(self) -> None:
        self.env.close()

    def _show(
        self,
        observations: dict[Any, Any],
        infos: dict[Any, Any] | None,
        dead: Set[Hashable],
        cut: Set[Hashable],
    ) -> None:
        """Writes down who sees what, who has died or was cut, and who acts next.

        Some worlds go on naming those who are gone: they count no more.
        """
        players, before, infos = self.players, self.living, infos or {}
        self.living = living = set(self.env.agents) - dead - cut
        players.active[:] = False
        for agent in before | living:
            i = players.index_of(agent)
            players.eyes[i].fresh |= agent not in before
            able = True
            if agent in observations:
                able = players.see(i, observations[agent], infos.get(agent))
            players.active[i] = able and agent in living
            players.terminated[i] = agent in dead
            players.truncated[i] = agent not in living and agent not in dead
