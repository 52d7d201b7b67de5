"""Gymnasium's robots and Box2D's landers, which come with extras: cut by the clock, or ended."""

from importlib.util import find_spec

import numpy as np
import pytest

import shoal
from shoal.envs.host.building import build
from shoal.envs.host.views import View

pytestmark = pytest.mark.skipif(
    find_spec("mujoco") is None or find_spec("Box2D") is None,
    reason="mujoco or Box2D is not installed",
)


def episode(name, action):
    """The steps of an episode with one action, and what its last step shows."""
    game = build(f"gymnasium:{name}", {}, None, View(), 0)
    shown, time = game.reset(0), 0
    while not shown.done:
        shown, time = game.step(action), time + 1
    return time, bool(shown.terminated[0]), bool(shown.truncated[0])


def test_a_robot_that_cannot_fall_is_cut_after_1000_steps():
    assert episode("HalfCheetah-v5", np.zeros((1, 6), np.float32)) == (1000, False, True)


def test_a_robot_that_falls_has_ended():
    time, terminated, truncated = episode("Walker2d-v5", np.ones((1, 6), np.float32))
    assert time < 200 and terminated and not truncated


def test_a_lander_that_crashes_has_ended():
    time, terminated, truncated = episode("LunarLander-v3", np.zeros(1, np.int32))
    assert time < 200 and terminated and not truncated


@pytest.mark.parametrize(
    ("name", "obs", "sizes"),
    [("Hopper-v5", 11, (3,)), ("LunarLander-v3", 8, (4,)), ("BipedalWalker-v3", 24, (4,))],
)
def test_spaces(name, obs, sizes):
    spec = shoal.make(f"gymnasium:{name}").spec
    assert spec.obs_sizes == (obs,) and spec.action.sizes == sizes


def test_they_can_be_drawn():
    picture = build("gymnasium:LunarLander-v3", {}, None, View(), 0, drawn=True)
    picture.reset(0)
    assert picture.render().shape == (400, 600, 3)
