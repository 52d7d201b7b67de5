"""Gymnasium and PettingZoo worlds: sound ones pass, a planted defect is named."""

import functools
import os
import sys
import time

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

import shoal
from shoal import registry
from shoal.envs.check import inspect_environment


class Sound(gymnasium.Env):
    """Three steps; 1 where the action is what was seen."""

    observation_space, action_space = Box(0, 1, (1,), np.float32), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._look(), {}

    def step(self, action):
        reward = float(action == self.seen)
        self.time += 1
        return self._look(), reward, False, self.time >= 3, {}

    def _look(self):
        self.seen = self.np_random.integers(2)
        return np.float32([self.seen])


class Clockwork(Sound):
    def _look(self):
        self.seen = np.random.default_rng().integers(2)
        return np.float32([self.seen + np.random.default_rng().random() / 2]) / 2


class Wide(Sound):
    def _look(self):
        return super()._look() + 2


class Doubles(Sound):
    def _look(self):
        return super()._look().astype(np.float64)


class Broken(Sound):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, np.nan if self.time == 2 else reward, *rest


class Stubborn(Sound):
    def step(self, action):
        raise ValueError("joint limit")


class Idle(Sound):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 0.0, *rest


class Rude(ParallelEnv):
    """Its infos do not name the agents, which PettingZoo forbids and Shoal copes with."""

    metadata, possible_agents = {"name": "rude"}, ["a", "b"]
    spaces = Box(0, 9, (1,), np.float32), Discrete(2)

    def observation_space(self, agent):
        return self.spaces[0]

    def action_space(self, agent):
        return self.spaces[1]

    def reset(self, seed=None, options=None):
        self.agents, self.time = ["a", "b"], 0
        return dict.fromkeys(self.agents, np.zeros(1, np.float32)), {}

    def step(self, actions):
        here, self.time = self.agents, self.time + 1
        over = self.time == 3
        self.agents = [] if over else self.agents
        seen = dict.fromkeys(here, np.full(1, self.time, np.float32))
        rewards = {agent: float(action) for agent, action in actions.items()}
        return seen, rewards, dict.fromkeys(here, False), dict.fromkeys(here, over), {}


def outcomes(world):
    report = inspect_environment(world, episodes=4)
    assert all(
        report.outcome(check) != "skipped" or report.skipped[check] for check in report.checks
    )
    return report, {c: o for c in report.checks if (o := report.outcome(c)) != "passed"}


@pytest.mark.parametrize(
    ("kind", "found", "said"),
    [
        (Sound, {}, ""),
        (Clockwork, {"api": "warning", "seed": "failed"}, "same seed and actions, obs differs"),
        (Wide, {"api": "warning", "spaces": "failed"}, "it sees float32[1] of "),
        (Doubles, {"api": "warning", "spaces": "failed"}, "float64[1]"),
        (Broken, {"numbers": "failed"}, "the reward is nan"),
        (Idle, {"reward": "warning"}, "every reward of 12 steps is 0"),
    ],
)
def test_planted_defects(kind, found, said):
    report, seen = outcomes(shoal.from_gymnasium(kind))
    assert seen.pop("draw") == "skipped"
    assert seen.items() >= found.items()
    assert {c for c, o in seen.items() if o == "failed"} <= {c for c, o in found.items()}
    assert any(said in finding.seen for finding in report.findings) or not said


def test_a_step_that_raises_is_found_with_its_line():
    report, seen = outcomes(shoal.from_gymnasium(Stubborn))
    assert seen["play"] == "failed" and seen["seed"] == "skipped"
    [finding] = [f for f in report.findings if f.check == "play"]
    assert (
        "ValueError in test_check_host.py, line" in finding.seen and "joint limit" in finding.seen
    )


def test_what_only_pettingzoo_forbids_is_a_warning():
    report, seen = outcomes(shoal.from_pettingzoo(Rude))
    assert seen == {"api": "warning", "draw": "skipped"} and report.errors == 0
    assert "pettingzoo.test.parallel_api_test raises AssertionError" in report.findings[0].seen


@pytest.mark.parametrize("name", ["gymnasium:CartPole-v1", "mpe2:simple_spread_v3"])
def test_worlds_of_others_pass(name):
    assert inspect_environment(registry.make(name), episodes=4).findings == []


def test_a_world_that_cannot_be_made():
    world = registry.make("gymnasium:CartPole-v1")
    report = inspect_environment(type(world)("gymnasium:CartPole-v1", settings='{"nothing": 1}'))
    assert report.outcome("spec") == "failed" and report.outcome("play") == "skipped"
    assert "has no setting 'nothing'" in report.findings[0].seen


DEEDS = {
    "hang": lambda: time.sleep(600),
    "leave": lambda: sys.exit(0),
    "end": lambda: os._exit(0),
    "crash": os.abort,
    "raise": lambda: 1 / 0,
}
SAID = {
    "hang": "did not answer within 2 s",
    "leave": "SystemExit",
    "end": "its process ended with exit code 0",
    "crash": "its process was killed by signal 6",
    "raise": "ZeroDivisionError",
}
FOUND_BY = {"reset": "play", "step": "play", "render": "draw", "options": "api", "close": "api"}


class Misbehaving(Sound):
    """Does something when it is asked for something, but for the first times, in which a world is
    made known."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, when, deed):
        self.when, self.deed = when, deed
        self.asked = 0

    def _may_do(self, what):
        print(what)
        os.system("echo and its libraries")
        self.asked += what == self.when
        if what == self.when and (what != "reset" or self.asked > 3):
            DEEDS[self.deed]()

    def reset(self, *, seed=None, options=None):
        self._may_do("reset" if options is None else "options")  # only their own check has any
        return super().reset(seed=seed)

    def step(self, action):
        self._may_do("step")
        return super().step(action)

    def close(self):
        self._may_do("close")

    def render(self):
        self._may_do("render")
        return np.zeros((2, 2, 3), np.uint8)


ALL = [(when, deed) for when in FOUND_BY for deed in DEEDS]
ALL.remove(("render", "raise"))  # that is a world without pictures
ALL.remove(("close", "raise"))  # nobody minds


@pytest.mark.parametrize(("when", "deed"), ALL)
def test_whatever_a_world_does_is_a_finding(when, deed, capfd):
    world = shoal.from_gymnasium(functools.partial(Misbehaving, when, deed), "m", deadline=2.0)
    capfd.readouterr()
    report, seen = outcomes(world)
    assert seen[FOUND_BY[when]] == ("warning" if FOUND_BY[when] == "api" else "failed")
    assert any(SAID[deed] in f.seen for f in report.findings if f.check == FOUND_BY[when])
    assert capfd.readouterr().out == ""


def test_a_world_that_asks_for_no_process_is_checked_in_this_one():
    world = shoal.from_gymnasium(lambda: Misbehaving("step", "leave"), "m", in_process=True)
    report, seen = outcomes(world)
    assert seen["play"] == "failed" and seen["seed"] == "skipped"
    assert "SystemExit in test_check_host.py, line" in report.findings[0].seen
