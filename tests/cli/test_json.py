"""`--json` is one JSON object on standard output, whatever an environment prints meanwhile."""

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.cli.main import VERBS

LOUD = """
import os
import sys

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

print("{'loaded': 1}")


def shout(what):
    print(what)
    sys.stdout.flush()
    os.write(1, b"{}")
    os.system("echo [1, 2]")


class Loud(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (2,)), Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        shout("made")
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        shout("reset")
        self.time = 0
        return self._look(), {}

    def step(self, action):
        print("step")
        reward = float(action == self.seen)
        self.time += 1
        return self._look(), reward, False, self.time >= 3, {}

    def _look(self):
        self.seen = self.np_random.integers(2)
        return np.float32([self.seen, 0])

    def render(self):
        print("render")
        return np.zeros((2, 2, 3), np.uint8)

    def close(self):
        shout("close")
"""
SMALL = "--steps 32 --num-envs 2 --unroll 8 --evaluations 1 --eval-episodes 2 --pictures False"
NET = "--algo.hidden 4 --algo.minibatches 1 --algo.epochs 1"
COMMANDS = {
    "eval": ["eval run --episodes 2 --json"],
    "compare": ["compare --json run --reference observed"],
    "check": ["check loud.py:Loud --episodes 2 --json"],
    "list": [
        *("list algorithms --json", "list environments --json", "list presets --json"),
        *("list environments gymnasium --json", "list suites --json", "list games --json"),
    ],
    "info": [
        *("info ippo --json", "info loud.py:Loud --json", "info ippo loud.py:Loud --json"),
    ],
    "bench": [
        "bench env loud.py:Loud --num-envs 2 --seconds 0.2 --json",
        "bench train ippo loud.py:Loud --num-envs 2 --unroll 8 --seconds 0.2 --json " + NET,
    ],
    "solve": ["solve chicken --json"],
}


def shoal(folder: Path, command: str) -> str:
    """What a command prints on standard output."""
    words = [sys.executable, "-m", "shoal", *command.split()]
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a loud environment is, and a run in it, with a sweep of two."""
    place = tmp_path_factory.mktemp("loud")
    (place / "loud.py").write_text(LOUD)
    shoal(place, f"train ippo loud.py:Loud {SMALL} {NET} --algo.clip 0.1,0.2 --out run")
    return place


def takes_json(verb: str) -> bool:
    """Whether a verb's own classes of options have the switch."""
    module = importlib.import_module(f"shoal.cli.{verb}")
    own = [v for v in vars(module).values() if inspect.isclass(v) and dataclasses.is_dataclass(v)]
    return any(field.name == "json" for kind in own for field in dataclasses.fields(kind))


def test_every_verb_that_has_json_is_tried() -> None:
    assert {verb for verb in VERBS if takes_json(verb)} == set(COMMANDS)


@pytest.mark.parametrize("command", [c for each in COMMANDS.values() for c in each])
def test_json_is_one_object_whatever_is_printed(folder: Path, command: str) -> None:
    assert isinstance(json.loads(shoal(folder, command)), dict)
