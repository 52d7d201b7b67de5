"""Small worlds of Gymnasium's and PettingZoo's for tests: scripted deaths, spaces, masks, films."""

import copy
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv

from shoal.envs.host.layout import AgentLayout

NUMBERS = spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.fixture(autouse=True)
def keep_what_is_shown(monkeypatch):
    """Games write over their arrays; a test that imports this looks at several steps together."""
    shown = AgentLayout.shown
    monkeypatch.setattr(AgentLayout, "shown", lambda *a: copy.deepcopy(shown(*a)))


class Once(gymnasium.Env):
    """Shows samples of a space, and keeps what it is told to do."""

    def __init__(self, observation_space: Any, action_space: Any = None, info: Any = None):
        self.observation_space = observation_space
        self.action_space = action_space or spaces.Discrete(2)
        self.info, self.told, self.seen = info or {}, [], []

    def show(self) -> Any:
        self.seen.append(self.observation_space.sample())
        return self.seen[-1]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.show(), self.info

    def step(self, action):
        self.told.append(action)
        return self.show(), 1.5, False, False, self.info


class Film(gymnasium.Env):
    """Shows frame after frame of a list."""

    action_space = spaces.Discrete(2)

    def __init__(self, frames: list[Any], observation_space: Any):
        self.frames, self.observation_space = frames, observation_space

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self.frames[0], {}

    def step(self, action):
        self.time += 1
        return self.frames[self.time], 0.0, False, self.time == len(self.frames) - 1, {}


class Script(ParallelEnv):
    """Who lives after each step, and who died or was cut in it, are written down beforehand.

    An agent sees [step, its number] and earns 10 * step + its number. Where `lingering`, the world
    names those who are gone to the end, as some do.
    """

    metadata: ClassVar = {"name": "script"}
    render_mode = None

    def __init__(self, start: str, steps: list[tuple[str, str, str]], masks=False, lingering=False):
        self.possible_agents = ["a", "b", "c"]
        self.start, self.steps, self.masks, self.lingering = start, steps, masks, lingering
        self.given: list[dict[str, Any]] = []

    def observation_space(self, agent):
        mask = spaces.Box(0, 1, (3,), np.int8)
        return spaces.Dict(observation=NUMBERS, action_mask=mask) if self.masks else NUMBERS

    def action_space(self, agent):
        return spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.start), 0
        return self._seen(self.agents), {agent: {} for agent in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.given.append(actions)
        alive, dead, cut = self.steps[self.time]
        self.time += 1
        present = sorted({*(self.start if self.lingering else self.agents), *alive})
        self.agents = list(alive)
        return (
            self._seen(present),
            {a: 10.0 * self.time + self._number(a) for a in present},
            {a: a in dead for a in present},
            {a: a in cut for a in present},
            {a: {} for a in present},
        )

    def _seen(self, agents):
        return {agent: self._show(agent) for agent in agents}

    def _show(self, agent):
        numbers = np.array([self.time, self._number(agent)], np.float32)
        if not self.masks:
            return numbers
        mask = np.roll(np.array([1, 1, 0], np.int8), self.time)
        return {"observation": numbers, "action_mask": mask}

    def _number(self, agent):
        return self.possible_agents.index(agent)


class Hats(AECEnv):
    """Three players in turn pass a hat. It pays the others 1 and costs its holder 2. Player `b`
    dies in its second turn; a limit ends the game after `limit` turns."""

    metadata: ClassVar = {"name": "hats"}

    def __init__(self, limit: int = 9, deadly: bool = True):
        self.possible_agents = ["a", "b", "c"]
        self.limit, self.deadly, self.observed = limit, deadly, []

    def observation_space(self, agent):
        return NUMBERS

    def action_space(self, agent):
        return spaces.Discrete(2, start=3)

    def reset(self, seed=None, options=None):
        self.agents, self.turn = list(self.possible_agents), 0
        self.rewards = dict.fromkeys(self.agents, 0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = "a"

    def observe(self, agent):
        self.observed.append((agent, self.agent_selection))
        return np.array([self.turn, self.possible_agents.index(agent)], np.float32)

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action in (3, 4)
        self.turn += 1
        self._cumulative_rewards[agent] = 0
        for other in self.agents:
            self.rewards[other] = -2 if other == agent else 1
        self._accumulate_rewards()
        self.terminations[agent] = self.deadly and agent == "b" and self.turn > 3
        if self.turn == self.limit:
            self.truncations = {a: not self.terminations[a] for a in self.agents}
        order = self.agents
        self.agent_selection = order[(order.index(agent) + 1) % len(order)]
        self._deads_step_first()


class Pair(ParallelEnv):
    """Two agents with spaces of their own; takes one step."""

    metadata: ClassVar = {"name": "pair"}

    def __init__(self, observations: Any = NUMBERS, actions: Any = None, state: Any = None):
        self.possible_agents = ["left", "right"]
        both = observations if isinstance(observations, tuple) else (observations, observations)
        actions = actions if isinstance(actions, tuple) else (actions, actions)
        self._observations = dict(zip(self.possible_agents, both))
        self._actions = {
            agent: action or spaces.Discrete(2)
            for agent, action in zip(self.possible_agents, actions)
        }
        self._state, self.told = state, {}

    def observation_space(self, agent):
        return self._observations[agent]

    def action_space(self, agent):
        return self._actions[agent]

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return {a: self._observations[a].sample() for a in self.agents}, {}

    def step(self, actions):
        self.told, agents, self.agents = actions, self.agents, []
        seen = {a: self._observations[a].sample() for a in agents}
        ends = dict.fromkeys(agents, True)
        return seen, dict.fromkeys(agents, 0.0), dict.fromkeys(agents, False), ends, {}

    def state(self):
        if self._state is None:
            return super().state()
        return self._state
