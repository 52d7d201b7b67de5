"""A turn-based world of PettingZoo's: one step is one turn. Terry et al. (2021), arXiv:2009.14471.

Only the agent whose turn it is observes, acts, and is active. What others have earned since is
theirs at once: rewards of a turn are `env.rewards` after it, so that nothing is counted twice.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.core.errors import UserError
from shoal.envs.host.env import HostEnv, HostStep
from shoal.envs.host.views import View, picture
from shoal.envs.host.zoo import GlobalState, limit_of, players_of


class AECHostEnv(HostEnv):
    """The `AECEnv` that `make_fn` makes.

    In PettingZoo an agent that is gone has a last turn, in which it does nothing. These turns are
    taken here as soon as they come; how it ended the agent sees within the step that ended it.
    Agents that have not appeared, come back, or leave without a word are what they are in a
    `ParallelHostEnv`.

    Raises:
        UserError: it does not name its agents, or its spaces will not do.
    """

    def __init__(self, make_fn: Callable[[], Any], view: View):
        self.env = env = make_fn()
        self.players = players_of(env, view)
        env.reset(seed=0)
        self.players.teams = tuple(range(len(self.players.names)))  # most such games are contests
        self.players.masked = self.players.act.discrete  # who waits has one legal action
        self.state = GlobalState(env)
        turns = limit_of(env) * len(self.players.names)
        self.facts = self.players.facts(self.state.size, turns)
        self.living: set[Any] = set()
        self.unseen: set[Any] = set()  # whose end it has not seen

    def reset(self, seed: int) -> HostStep:
        self.players.begin(seed)
        self.living, self.unseen = set(), set()
        self.env.reset(seed=int(seed))
        return self._turn()

    def step(self, action: np.ndarray) -> HostStep:
        env, players = self.env, self.players
        i = players.index_of(env.agent_selection)
        env.step(players.act(i, action[i]))
        players.reward[:] = 0
        for agent, reward in env.rewards.items():
            players.pay(agent, reward)
        return self._turn()

    def render(self) -> np.ndarray:
        return picture(self.env.render, str(self.env))

    def close(self) -> None:
        self.env.close()

    def _turn(self) -> HostStep:
        """What is shown before the next turn, or at the end of the episode."""
        env, players = self.env, self.players
        self._note_ends()
        self._take_last_turns()
        for agent in self.unseen.intersection(env.agents):  # its last turn comes later
            self._observe(agent)
        self.unseen.clear()
        players.active[:] = False
        if env.agents:
            due = env.agent_selection
            self._observe(due)
            players.active[players.index_of(due)] = True
        return players.shown(self.state.read(ended=not env.agents))

    def _take_last_turns(self) -> None:
        """Lets those who are gone leave, until someone who lives is due."""
        env = self.env
        patience = 2 * len(self.players.names)
        while env.agents and self._gone(env.agent_selection):
            if not patience:
                raise UserError(f"{env} keeps {env.agent_selection}, whose step(None) is to end it")
            patience -= 1
            if env.agent_selection in self.unseen:
                self.unseen.discard(env.agent_selection)
                self._observe(env.agent_selection)
            env.step(None)
            self._note_ends()

    def _gone(self, agent: Any) -> bool:
        return bool(self.env.terminations[agent] or self.env.truncations[agent])

    def _note_ends(self) -> None:
        """Writes down who lives, who has died, and who was cut, of those who are or were there."""
        env, players, there = self.env, self.players, set(self.env.agents)
        for agent in self.living | there:
            i = players.index_of(agent)
            dead, cut = env.terminations.get(agent), env.truncations.get(agent)
            players.eyes[i].fresh |= agent not in self.living and not (dead or cut)
            players.terminated[i] = bool(dead)
            players.truncated[i] = not dead and bool(cut or agent not in there)
        ended = players.terminated | players.truncated
        living = {agent for agent in there if not ended[players.index_of(agent)]}
        self.unseen |= self.living - living
        self.living = living

    def _observe(self, agent: Any) -> None:
        observation, info = self.env.observe(agent), self.env.infos.get(agent)
        self.players.see(self.players.index_of(agent), observation, info)
