"""Worlds of other suites by name, and the one line of every mistake."""

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import importlib.util
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from scripted_worlds import NUMBERS, Once, Pair, Script

from shoal.core.errors import UserError
from shoal.envs.host.names import _newest, make_host_env
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.single_agent import GymnasiumHostEnv
from shoal.envs.host.views import View

PLAIN = View()


def number(*values):
    return np.array(values, np.int32)


def test_workers_need_no_jax():
    code = (
        "import sys; from shoal.envs.host.names import _newest, make_host_env; "
        "from shoal.envs.host.views import View; "
        "[make_host_env(task, {}, View()).reset(0) for task in "
        "('gymnasium:CartPole-v1', 'mpe2:simple_v3', 'pettingzoo:tictactoe')]; "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_the_newest_version_is_meant():
    known = {name: f"pettingzoo.classic.{name}" for name in ("go_v5", "go_v10", "go_fish_v11")}
    assert _newest("go", known) == _newest("classic/go", known) == "go_v10"
    assert _newest("go_v5", known) == _newest("classic/go-v5", known) == "go_v5"
    assert _newest("go_v6", known) is None and _newest("sisl/go", known) is None
    assert _newest("mpe/simple", {"simple_v3": "mpe2.simple_v3"}) == "simple_v3"


# Mistakes


def mistake(make):
    with pytest.raises(UserError) as caught:
        make()
    line = str(caught.value)
    assert "\n" not in line
    return line


def own(world):
    return lambda: GymnasiumHostEnv(lambda: world, PLAIN)


def pair(*args, **kwargs):
    return lambda: ParallelHostEnv(lambda: Pair(*args, **kwargs), PLAIN)


def named(task, **settings):
    return lambda: make_host_env(task, settings, PLAIN)


class Nameless(Pair):
    possible_agents = property(lambda self: [], lambda self, value: None)


class Stranger(Script):
    def observation_space(self, agent):
        return NUMBERS

    def reset(self, seed=None, options=None):
        self.agents, self.time = ["a", "z"], 0
        return {}, {}


EYE = spaces.Box(0, 255, (4, 4, 1), np.uint8)
BIG = spaces.Box(0, 255, (6, 4, 3), np.uint8)
OPEN = spaces.Box(np.array([0, -np.inf]), np.array([1, np.inf]), dtype=np.float32)
EMPTY = spaces.Box(np.array([0, 2]), np.array([1, 2]), dtype=np.float32)
MISTAKES = {
    "text": (own(Once(spaces.Text(3))), "the observation of agent is Text, which is not supported"),
    "deep": (own(Once(spaces.Dict(a=spaces.Sequence(NUMBERS)))), "Sequence at ['a']"),
    "graph": (own(Once(spaces.Graph(NUMBERS, None))), "expected Box, Discrete, MultiDiscrete"),
    "action": (own(Once(NUMBERS, spaces.Text(3))), "the actions of agent are Text"),
    "many": (own(Once(NUMBERS, spaces.MultiDiscrete([20] * 3))), "8,000 combinations in 3"),
    "bits": (own(Once(NUMBERS, spaces.MultiBinary(13))), "8,192 combinations"),
    "bounds": (own(Once(NUMBERS, OPEN)), "no bounds in 1 of 2 dimensions (number 1: -inf to inf)"),
    "empty": (own(Once(NUMBERS, EMPTY)), "agent go from 2.0 to 2.0 in dimension 1, expected"),
    "mixed": (
        pair(actions=(spaces.Discrete(2), spaces.Box(-1, 1, (1,)))),
        "the actions of right are a Box, and those of left are not",
    ),
    "images": (pair((EYE, BIG)), "left 4x4x1 and right 6x4x3: image_size=84"),
    "nameless": (lambda: ParallelHostEnv(Nameless, PLAIN), "expected possible_agents"),
    "stranger": (
        lambda: ParallelHostEnv(lambda: Stranger("a", []), PLAIN).reset(0),
        "z has appeared, which is none of the possible_agents",
    ),
    "parallel": (own(Pair()), "Pair is no world of Gymnasium's"),
    "vector": (
        lambda: GymnasiumHostEnv(lambda: gymnasium.make_vec("CartPole-v1"), PLAIN),
        "a vector",
    ),
    "suite": (named("gymnasum:CartPole-v1"), "unknown suite 'gymnasum': did you mean 'gymnasium'?"),
    "id": (named("gymnasium:Cartpole-v1"), "did you mean 'CartPole-v1'?"),
    "version": (named("gymnasium:CartPole-v9"), "did you mean 'CartPole-v1'?"),
    "namespace": (named("gymnasium:nowhere/Bar-v0"), "Namespace nowhere not found"),
    "module": (named("gymnasium:no_such_module:Bar-v0"), "needs no_such_module"),
    "setting": (
        named("gymnasium:CartPole-v1", gravity=3),
        "CartPole-v1 has no setting 'gravity': it takes sutton_barto_reward, max_episode_steps",
    ),
    "zoo": (named("pettingzoo:pistonbal"), "unknown world of PettingZoo 'pistonbal'"),
    "zoo_version": (named("pettingzoo:tictactoe_v1"), "did you mean 'tictactoe_v3'?"),
    "zoo_family": (named("pettingzoo:sisl/tictactoe"), "unknown world of PettingZoo"),
    "zoo_setting": (named("pettingzoo:tictactoe", colour=1), "has no setting 'colour': it takes"),
    "open_setting": (named("pettingzoo:pursuit", colour=1), "pursuit_v5 has no setting 'colour'"),
    "mpe2": (named("mpe2:simple_spred"), "did you mean 'simple_spread_v3'?"),
    "mpe2_setting": (
        named("mpe2:simple_spread", n=3),
        "has no setting 'n': it takes N, local_ratio",
    ),
    "stack": (lambda: View(frame_stack=0), "frame_stack is 0, expected at least 1"),
    "size": (lambda: View(image_size=-1), "image_size is -1, expected 0 or more"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(name):
    make, expected = MISTAKES[name]
    assert expected in mistake(make)


def test_worlds_that_cannot_be_drawn():
    blind = own(Once(NUMBERS))()
    assert "Once cannot be drawn: NotImplementedError" in mistake(blind.render)
    dark = GymnasiumHostEnv(lambda: gymnasium.make("CartPole-v1"), PLAIN)
    dark.reset(0)
    line = mistake(dark.render)
    assert "CartPoleEnv draws nothing" in line and "render_mode='rgb_array'" in line


@pytest.mark.parametrize(
    ("package", "task", "install"),
    [
        ("gymnasium", "gymnasium:CartPole-v1", "'shoal[gymnasium]'"),
        ("pettingzoo", "pettingzoo:tictactoe", "'shoal[pettingzoo]'"),
        ("mpe2", "mpe2:simple", "'shoal[mpe2]'"),
        ("mpe2", "pettingzoo:simple_spread", "'shoal[mpe2]'"),
        ("gymnasium_robotics", "mamujoco:HalfCheetah-2x3", "'shoal[mamujoco]'"),
    ],
)
def test_missing_suites_name_the_install_command(package, task, install, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    assert f"is not installed: pip install {install}" in mistake(named(task))


IMPORTING = (
    "pettingzoo.sisl.",
    "pettingzoo.butterfly.pistonball",
    "pettingzoo.atari.",
    "gymnasium.envs.box2d",
    "gymnasium.envs.mujoco",
)


@pytest.mark.parametrize(
    ("package", "task", "expected"),
    [
        (
            "Box2D",
            "pettingzoo:multiwalker",
            "needs Box2D: pip install 'pettingzoo[sisl]'",
        ),
        ("pymunk", "pettingzoo:pistonball", "needs pymunk: pip install 'pettingzoo[butterfly]'"),
        ("multi_agent_ale_py", "pettingzoo:pong", "pip install 'pettingzoo[atari]'"),
        ("ale_py", "gymnasium:ALE/Pong-v5", "needs ale_py: pip install 'gymnasium[atari]'"),
        ("Box2D", "gymnasium:LunarLander-v3", "needs Box2D: pip install 'shoal[box2d]'"),
        ("mujoco", "gymnasium:HalfCheetah-v5", "needs mujoco: pip install 'shoal[mujoco]'"),
    ],
)
def test_packages_that_worlds_need_are_named(package, task, expected, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for name in list(sys.modules):
        if name.startswith(IMPORTING):
            monkeypatch.delitem(sys.modules, name)
    assert expected in mistake(named(task))
