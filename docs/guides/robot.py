"""A point on a line must reach a goal: a Gymnasium environment that is cut and drawn."""

from typing import ClassVar

import gymnasium
import numpy as np


class Reach(gymnasium.Env):
    """Every step costs the distance to the goal; within 0.1 of it the episode ends."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)  # left, stay, right

    def __init__(self, length=20, render_mode=None):
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, (self.place, self.goal) = 0, self.np_random.uniform(-1, 1, 2)
        return np.array([self.place, self.goal], np.float32), {}

    def step(self, action):
        self.time, self.place = self.time + 1, np.clip(self.place + 0.1 * (action - 1), -1, 1)
        away = float(abs(self.place - self.goal))
        terminated = away < 0.1  # a true end: nothing follows
        truncated = self.time >= self.length  # a time limit: it could have gone on
        return np.array([self.place, self.goal], np.float32), -away, terminated, truncated, {}

    def render(self):
        image = np.full((32, 256, 3), 255, np.uint8)  # [height, width, red green blue]
        for x, color in ((self.goal, (64, 192, 87)), (self.place, (76, 110, 245))):
            image[:, int(120 * (x + 1)) :][:, :16] = color
        return image
