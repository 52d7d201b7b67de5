"""Worlds whose steps go wrong, in whichever process takes them."""

import os

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Raising(gymnasium.Env):
    """Raises in each step from the 30th on that its process takes."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        Raising.steps += 1
        if Raising.steps >= 30:
            self.fail()
        return np.zeros(2, np.float32), 1.0, False, False, {}

    def fail(self):
        raise ZeroDivisionError("no more of that")


class Exiting(Raising):
    """Ends its process instead."""

    def fail(self):
        os._exit(3)
