"""MaMuJoCo's robots by name: stepped beside the package's own, cut by the clock, fallen, named."""

import inspect
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import shoal
from shoal.envs.host.building import build
from shoal.envs.host.mamujoco import CHAINS, SPLITS
from shoal.envs.host.views import View

pytestmark = pytest.mark.skipif(
    find_spec("gymnasium_robotics") is None, reason="gymnasium_robotics is not installed"
)


def made(name, **settings):
    return build(f"mamujoco:{name}", settings, None, View(), 0)


def reference():
    from gymnasium_robotics.envs.multiagent_mujoco import mamujoco_v1

    return mamujoco_v1


def test_the_splits_are_those_of_the_package():
    """Its source names them, branch by branch; but for the coupled cheetahs, which it cannot make
    today, and the pusher, which sees its joints in another order in each process."""
    source = inspect.getsource(reference().get_parts_and_edges)
    branches = re.split(r"label in (\[.*?\])", source)[1:]
    found = {}
    for labels, branch in zip(branches[::2], branches[1::2]):
        splits = re.findall(r'partitioning == "([^"]+)"', branch)
        found |= {label: tuple(splits) for label in re.findall(r'"(\w+)"', labels)}
    assert found.pop("CoupledHalfCheetah") == ("1p1",)
    assert found.pop("Pusher") == ("3p",)
    assert {label for label in found if not found[label]} == set(CHAINS)
    assert {k: set(v) for k, v in found.items() if v} == {k: set(v) for k, v in SPLITS.items()}


@pytest.mark.parametrize(
    "name", [*(f"{k}-{v}" for k in SPLITS for v in SPLITS[k]), "ManySegmentSwimmer-3x2"]
)
def test_steps_are_those_of_the_package(name):
    scenario, _, split = name.partition("-")
    game, other = made(name), reference().parallel_env(scenario, split)
    draw = np.random.default_rng(0)
    shown, (observations, _) = game.reset(3), other.reset(seed=3)
    for _ in range(20):
        for i, agent in enumerate(other.possible_agents):
            size = game.facts.obs_sizes[i]
            np.testing.assert_array_equal(shown.obs[i, :size], observations[agent].astype("f"))
        np.testing.assert_array_equal(shown.global_state, other.state().astype("f"))
        action = draw.uniform(-0.3, 0.3, (len(other.agents), max(game.facts.action_sizes)))
        action = action.astype(np.float32)
        joint = {
            a: action[i, :n] for i, (a, n) in enumerate(zip(other.agents, game.facts.action_sizes))
        }
        observations, rewards, ends, _, _ = other.step(joint)
        shown = game.step(action)
        np.testing.assert_array_equal(shown.reward, np.float32(list(rewards.values())))
        np.testing.assert_array_equal(shown.terminated, list(ends.values()))
        if shown.done:
            break


def test_the_time_limit_of_1000_steps_cuts_and_does_not_end():
    game = made("HalfCheetah-6x1")
    assert game.facts.limit == 1000
    game.reset(0)
    still = np.zeros((6, 1), np.float32)
    for time in range(1, 1001):
        shown = game.step(still)
        assert shown.truncated.all() == (time == 1000) and not shown.terminated.any()
    assert shown.done


def test_a_fall_ends_and_does_not_cut():
    game = made("Hopper-3x1")
    shown, time = game.reset(0), 0
    while not shown.done:
        shown, time = game.step(np.ones((3, 1), np.float32)), time + 1
    assert shown.terminated.all() and not shown.truncated.any() and time < 200


def test_the_limit_is_seen_in_an_environment_of_the_user_s_own():
    own = shoal.from_pettingzoo(lambda: reference().parallel_env("Hopper", "3x1"))
    assert own.spec.horizon == shoal.make("mamujoco:Hopper-3x1").spec.horizon == 1000
    short = shoal.make("mamujoco:Hopper-3x1", max_episode_steps=50, agent_obsk=0)
    assert short.spec.horizon == 50 and short.spec.obs_sizes < own.spec.obs_sizes
    assert shoal.make("mamujoco:Reacher-2x1").spec.horizon == 50


def test_agents_of_one_team_share_the_robot_s_reward_and_its_state():
    spec = shoal.make("mamujoco:Ant-4x2").spec
    assert spec.teams == (0, 0, 0, 0) and spec.state_size == 105 and spec.action.sizes == (2,) * 4


def test_robots_of_many_segments_are_made_by_several_processes_at_once():
    env = shoal.make("mamujoco:ManySegmentSwimmer-4x1", workers=4)
    with env.vector(12, report=pytest.fail) as games:
        games.reset(np.arange(12))
        shown, _ = games.step(np.zeros((12, 4, 1), np.float32))
    assert np.isfinite(shown.obs).all()


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    ).stderr


def test_one_deprecation_is_left_out_and_nothing_else():
    """Gymnasium alone prints it, for each robot made."""
    loud = "import gymnasium; gymnasium.make('HalfCheetah-v5')"
    assert "'settotalmass' is deprecated" in run(loud)
    made = "shoal.make('{}', in_process={}).spec; "
    names = ("mamujoco:HalfCheetah-2x3", "gymnasium:HalfCheetah-v5")
    here, elsewhere = ("".join(made.format(n, own) for n in names) for own in (True, False))
    quiet = f"import shoal, mujoco; {here} mujoco.get_mju_user_warning()('something else')"
    assert run(quiet) == "WARNING: something else\n"
    assert run(f"import shoal; {elsewhere}") == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HalfCheeta-2x3", "did you mean 'HalfCheetah'?"),
        ("HalfCheetah-3x2", "HalfCheetah has no split '3x2': it has 2x3, 6x1"),
        ("Ant", "Ant needs a split: it has 2x4, 2x4d, 4x2"),
        ("Pusher-3p", "Pusher is left out: two of its joints have one label"),
        ("ManySegmentAnt-0x2", "it has any AGENTSxSEGMENTS, such as 2x3"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(name, said):
    task = f"mamujoco:{name}"
    done = subprocess.run(
        [sys.executable, "-m", "shoal", "train", "ippo", task], capture_output=True, text=True
    )
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_setting_that_no_robot_takes_is_one_line():
    with pytest.raises(shoal.UserError, match="Hopper-3x1 has no setting 'colour': it takes agent"):
        shoal.make("mamujoco:Hopper-3x1", colour=1)
    with pytest.raises(shoal.UserError, match="has no setting 'colour'"):
        shoal.make("mamujoco:ManySegmentAnt-2x1", colour=1)
