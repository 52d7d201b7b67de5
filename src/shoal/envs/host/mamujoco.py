"""Robots whose joints are shared out among agents: `mamujoco:HalfCheetah-2x3`.

A name is that of Gymnasium-Robotics' scenario and of a split: `2x3` are two agents of three joints
each. All agents get the robot's reward; its whole observation is the global state.
Peng et al., FACMAC (2021), arXiv:2003.06709.
"""

import contextlib
import functools
import importlib
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from shoal.core.errors import require, unknown
from shoal.envs.host.constructors import call, needs, require_package, settings_of
from shoal.envs.host.env import HostEnv
from shoal.envs.host.mujoco_warnings import hush
from shoal.envs.host.views import View

SPLITS = {
    "Ant": ("2x4", "2x4d", "4x2"),
    "HalfCheetah": ("2x3", "6x1"),
    "Hopper": ("3x1",),
    "Humanoid": ("9|8",),
    "HumanoidStandup": ("9|8",),
    "Reacher": ("2x1",),
    "Swimmer": ("2x1",),
    "Walker2d": ("2x3",),
}
UNSTEADY = {
    "Pusher": "two of its joints have one label, and their order differs from process to process",
    "CoupledHalfCheetah": "its package cannot make it with MuJoCo 4",
}
"""Robots that Gymnasium-Robotics 1.4.2 names and cannot be learned from, and why."""

CHAINS = {"ManySegmentAnt": "Ant-v5", "ManySegmentSwimmer": "Swimmer-v5"}
"""Robots of any number of segments, and what Gymnasium calls the robot of few."""

SEEN = ("agent_obsk", "local_categories", "global_categories")
"""Settings of what agents see; all others are the robot's own."""


def make_mamujoco(name: str, settings: dict[str, Any], view: View) -> HostEnv:
    """The robot and the split that a name stands for.

    Raises:
        UserError: there is no such scenario, split or setting, or a package is missing.
    """
    require_package("gymnasium_robotics", "Gymnasium-Robotics", "mamujoco")
    scenario, split = parsed(name)
    from shoal.envs.host.parallel import ParallelHostEnv

    return ParallelHostEnv(functools.partial(_make, name, scenario, split, settings), view)


def parsed(name: str) -> tuple[str, str]:
    """The scenario and the split of `HalfCheetah-2x3`.

    Raises:
        UserError: there is no such scenario, or it has no such split.

    >>> parsed("ManySegmentSwimmer-10x2")
    ('ManySegmentSwimmer', '10x2')
    """
    scenario, _, split = name.partition("-")
    require(scenario not in UNSTEADY, f"{scenario} is left out: {UNSTEADY.get(scenario)}")
    if scenario not in SPLITS and scenario not in CHAINS:
        raise unknown("scenario of MaMuJoCo", scenario, [*SPLITS, *CHAINS])
    if scenario in CHAINS:
        fits = bool(re.fullmatch(r"[1-9]\d*x[1-9]\d*", split))
        have = "any AGENTSxSEGMENTS, such as 2x3"
    else:
        fits, have = split in SPLITS[scenario], ", ".join(SPLITS[scenario])
    said = f"has no split '{split}'" if split else "needs a split"
    first = "2x3" if scenario in CHAINS else SPLITS[scenario][0]
    require(fits, f"{scenario} {said}: it has {have} (mamujoco:{scenario}-{first})")
    return scenario, split


def _make(name: str, scenario: str, split: str, settings: dict[str, Any]) -> Any:
    with needs(name, "", "shoal[mamujoco]"):
        hush(importlib.import_module("mujoco"))
        robot = functools.partial(_module("mamujoco_v1").parallel_env, scenario, split)
        make = functools.partial(robot, disable_env_checker=True)
        if scenario in CHAINS:
            make = functools.partial(_make_chain, robot, scenario, split)
        return call(name, robot, make, settings_of(name, robot, settings))


def _make_chain(robot: Any, scenario: str, split: str, **settings: Any) -> Any:
    """A robot of many segments. The package would write its XML into its own folder, under one name
    for all processes: here each writes its own."""
    import gymnasium

    agents, segments = map(int, split.split("x"))
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", scenario).lower()
    seen = {key: settings.pop(key) for key in SEEN if key in settings}
    with tempfile.TemporaryDirectory(prefix="shoal-") as folder:
        path = str(Path(folder, "robot.xml"))
        _module(module).gen_asset(n_segs=agents * segments, asset_path=path)
        whole = gymnasium.make(
            CHAINS[scenario], xml_file=path, disable_env_checker=True, **settings
        )
    return robot(gym_env=whole, **seen)


def _module(name: str) -> Any:
    """A module of MaMuJoCo's. The import tells of changes in other robots, the Adroit hands."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        module = importlib.import_module(f"gymnasium_robotics.envs.multiagent_mujoco.{name}")
    rest = [line for line in told.getvalue().splitlines() if not line.startswith("AdroitHand")]
    if rest:
        print(*rest, sep="\n", file=sys.stderr)
    return module
