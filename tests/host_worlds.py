"""Small worlds of Gymnasium's and PettingZoo's kind, whose values are known by hand."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv


class Clock(ParallelEnv):
    """Three steps, cut by a time limit. Agent `a` sees the time, `b` a number drawn at reset; they
    are paid 1 a step and twice the time."""

    metadata = {"name": "clock"}  # noqa: RUF012
    possible_agents = ["a", "b"]  # noqa: RUF012

    def observation_space(self, agent):
        return Box(-np.inf, np.inf, (1,), np.float32)

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        self.drawn = np.random.default_rng(seed).integers(10**6)
        return self._obs(), {agent: {} for agent in self.agents}

    def step(self, actions):
        rewards = {"a": 1.0, "b": 2.0 * self.time}
        self.time += 1
        over = self.time == 3
        out = (
            self._obs(),
            rewards,
            dict.fromkeys(self.agents, False),
            dict.fromkeys(self.agents, over),
            {agent: {} for agent in self.agents},
        )
        self.agents = [] if over else self.agents
        return out

    def _obs(self):
        return {"a": np.float32([self.time]), "b": np.float32([self.drawn])}


class Guests(ParallelEnv):
    """Three steps, 1 for each agent in each. `b` alone is cut by the first; `c` comes with the
    second, with a present of 100 that it did nothing for, and is cut by the third, which is the end
    of `a`. Everyone sees the time, counted from 1."""

    metadata = {"name": "guests"}  # noqa: RUF012
    possible_agents = ["a", "b", "c"]  # noqa: RUF012

    def observation_space(self, agent):
        return Box(-np.inf, np.inf, (1,), np.float32)

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.time = ["a", "b"], 0
        return self._obs(self.agents), {}

    def step(self, actions):
        here = self.agents + ["c"] * (self.time == 1)
        rewards = {agent: 1.0 if agent in self.agents else 100.0 for agent in here}
        self.time += 1
        dead = {agent: agent == "a" and self.time == 3 for agent in here}
        cut = {agent: (agent, self.time) in (("b", 1), ("c", 3)) for agent in here}
        self.agents = [agent for agent in here if not (dead[agent] or cut[agent])]
        return self._obs(here), rewards, dead, cut, {}

    def render(self):
        return np.full((2, 2, 3), self.time, np.uint8)

    def _obs(self, agents):
        return {agent: np.float32([self.time + 1]) for agent in agents}


class Lamp(gymnasium.Env):
    """An image of 12 x 12 pixels whose left or right half is lit; 1 for saying which. One step."""

    observation_space = Box(0, 255, (12, 12, 3), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side = int(self.np_random.integers(2))
        return self._image(), {}

    def step(self, action):
        return self._image(), float(action == self.side), True, False, {}

    def render(self):
        return self._image()

    def _image(self):
        image = np.zeros((12, 12, 3), np.uint8)
        image[:, 6 * self.side : 6 * self.side + 6] = 200
        return image


class Far(gymnasium.Env):
    """Shows a number near 1,000 whose last digit counts: 1 for saying whether it is above."""

    observation_space = Box(0, 2000, (2,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.offset = float(self.np_random.uniform(-1, 1))
        return self._obs(), {}

    def step(self, action):
        return self._obs(), float(action == (self.offset > 0)), True, False, {}

    def _obs(self):
        return np.float32([1000.0 + self.offset, 7.0])


class Failing(Lamp):
    """Raises in its fifth step, whichever episode that is in."""

    steps = 0

    def step(self, action):
        type(self).steps += 1
        if type(self).steps == 5:
            raise ValueError("the bulb is broken")
        return super().step(action)
