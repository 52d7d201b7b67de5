"""A world that is as slow, and hangs as badly, as it is told to; names for a run's config.json."""

import os
import re
import sys
import time
from pathlib import Path

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Discrete

import shoal
from shoal.agents.policy_gradient.reinforce import REINFORCE


class World(gymnasium.Env):
    """Twenty steps an episode. `start`, `step` and `close` are the seconds that these take; `hang`
    says where the 50th step in a process stays for ever: in Python, or in C code that keeps
    Python's lock. It then leaves a file in the folder HOSTILE_MARKS."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, start: float = 0, step: float = 0, close: float = 0, hang: str = ""):
        self.seconds, self.at_close, self.hang, self.count = step, close, hang, 0
        time.sleep(start)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.count += 1
        self.time += 1
        time.sleep(self.seconds)
        if self.hang and self.count == 50:
            (Path(os.environ["HOSTILE_MARKS"]) / str(os.getpid())).touch()
            if self.hang == "C":
                re.fullmatch(r"(a+)+b", "a" * 200)
            while True:
                pass
        return np.zeros(2, np.float32), float(action), self.time == 20, False, {}

    def close(self):
        time.sleep(self.at_close)


class Reinforce(REINFORCE):
    """An algorithm of one's own."""


def simple():
    """A compiled world of one's own."""
    return shoal.make("mpe/simple")


class Torso(eqx.Module):
    """Layers of one's own."""

    weight: jax.Array
    size_out: int = eqx.field(static=True, default=4)

    def __init__(self, size_in, key):
        self.weight = jax.random.normal(key, (size_in, 4))

    def __call__(self, x):
        return jnp.tanh(x @ self.weight)


print(f"HOSTILE_RAN {__file__}", file=sys.stderr, flush=True)
