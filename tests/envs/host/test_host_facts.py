"""What a world says of itself is asked of a process of its own, whatever its constructor does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import shoal
from shoal.core.errors import UserError
from shoal.envs.host import facts
from shoal.envs.host.vector import WorldFailed
from shoal.recording.host_recording import record_host

WORLD = """
import os
import gymnasium, numpy as np
from gymnasium.spaces import Box, Discrete

class Noisy(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (2,)), Discrete(2)

    def __init__(self):
        print("Loading simulator v2.1 ...")
        os.system("echo and its libraries")

    def reset(self, *, seed=None, options=None):
        print("reset")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        print("step")
        return np.zeros(2, np.float32), 1.0, False, True, {}
"""


SEEN = np.zeros(2, np.float32)


class Made(gymnasium.Env):
    """Does something when it is made."""

    observation_space, action_space = Box(-np.inf, 1.0, (2,), np.float32), Discrete(2)

    def __init__(self, do):
        do()

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, False, True, {}


@pytest.mark.parametrize(
    "do, said",
    [
        (lambda: sys.exit(0), "SystemExit: 0"),
        (os.abort, "its process was killed by signal 6"),
        (lambda: os._exit(0), "its process ended with exit code 0"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero (test_host_facts.py, line"),
        (lambda: time.sleep(600), "it took more than 3 s"),
    ],
)
def test_what_a_constructor_does_is_one_line(do, said, monkeypatch):
    if "took more" in said:  # the others have their time on a busy machine
        monkeypatch.setattr(facts, "STARTING", 3.0)
        monkeypatch.setattr(facts, "SILENT", 1.0)
    with pytest.raises(UserError) as told:
        shoal.from_gymnasium(lambda: Made(do), "made", deadline=1.0)
    assert str(told.value).startswith("made cannot be made: ") and said in str(told.value)
    assert "\n" not in str(told.value)


def paid(reward):
    return lambda: (SEEN, reward, False, True, {})


@pytest.mark.parametrize(
    "reset, step, said",
    [
        (lambda: SEEN, None, "reset returns a ndarray, expected observation, info"),
        (lambda: (SEEN, 0.0), None, "reset returns a float as info, expected a dict"),
        (
            None,
            lambda: (SEEN, 1.0, True, {}),
            "step returns 4 values, expected observation, reward, terminated, truncated",
        ),
        (None, paid(np.ones(2)), "reward of agent has shape (2,), expected one number"),
        (None, paid({"a": 1}), "reward of agent is {'a': 1}, expected one number"),
        (None, paid([np.array([1.0])]), None),
    ],
)
def test_what_an_older_interface_returns_is_named_at_once(reset, step, said):
    """Without ten workers in its place, and by what was expected."""
    world = Made(lambda: None)
    if reset is not None:
        world.reset = lambda *, seed=None, options=None: reset()
    if step is not None:
        world.step = lambda action: step()
    warned: list[str] = []
    told = contextlib.nullcontext() if said is None else pytest.raises((UserError, WorldFailed))
    with told as error:
        env = shoal.from_gymnasium(lambda: world, "odd", in_process=True)
        with env.vector(1, warned.append) as vector:
            vector.reset(np.arange(1))
            assert vector.step(np.zeros((1, 1), np.int32))[0].reward == 1.0
    assert warned == [] and (said is None or said in str(error.value))


def test_one_that_takes_long_is_named(monkeypatch, capsys):
    monkeypatch.setattr(facts, "SILENT", 0.2)
    assert shoal.from_gymnasium(lambda: Made(lambda: time.sleep(1)), "slow").spec.num_agents == 1
    assert capsys.readouterr().err == "shoal: slow is being made, for 60 s at most\n"


def test_a_world_that_takes_long_to_close_keeps_nobody_waiting(monkeypatch):
    class Slow(Made):
        def close(self):
            time.sleep(600)

    monkeypatch.setattr(facts, "STARTING", 20.0)
    assert shoal.from_gymnasium(lambda: Slow(lambda: None), "slow", deadline=1.0).facts.discrete


def test_facts_are_the_same_in_either_process():
    here, there = (
        shoal.from_gymnasium(lambda: Made(lambda: None), "made", in_process=own).facts
        for own in (True, False)
    )
    assert here == there and hash(here) == hash(there)


def test_a_world_that_leaves_for_another_folder_takes_nothing_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    away = tmp_path / "away"
    away.mkdir()
    for own in (True, False):
        env = shoal.from_gymnasium(lambda: Made(lambda: os.chdir(away)), "far", in_process=own)
        shoal.train("ippo", env, total_steps=64, out=Path(f"run{own}"), hidden=(4,), num_envs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["away", "runFalse", "runTrue"]
    assert Path.cwd() == tmp_path and not list(away.iterdir())


@pytest.mark.parametrize("own", [False, True])
def test_standard_output_is_one_json_object_whatever_a_world_prints(tmp_path, own):
    (tmp_path / "noisy.py").write_text(WORLD)
    command = [sys.executable, "-m", "shoal", "bench", "env", "noisy.py:Noisy", "--json"]
    small = ["--seconds", "0.01", "--num-envs", "2", "--env.in-process", str(own)]
    done = subprocess.run([*command, *small], cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(done.stdout)["steps_per_second"] > 0 and done.stdout.count("\n") == 1
    for line in ("Loading simulator v2.1 ...", "and its libraries", "reset", "step"):
        assert line in done.stderr  # workers may write into each other's lines


def test_the_process_ends_with_its_asker():
    """Also while it hangs in C code that holds Python's lock."""
    script = (
        "import os, re, shoal, sys\n"
        "sys.path.insert(0, 'tests/envs/host')\n"
        "from test_host_facts import Made\n"
        "def hang():\n"
        "    print(os.getpid(), file=sys.stderr, flush=True)\n"
        "    re.match(r'(a|aa)+$', 'a' * 60 + 'b')\n"
        "shoal.from_gymnasium(lambda: Made(hang), 'hangs')\n"
    )
    asker = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert asker.stderr is not None
    pid = int(asker.stderr.readline())
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    until = time.monotonic() + 30
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Drawn(Made):
    """Draws the time, and does something at the second picture."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return SEEN, {}

    def step(self, action):
        self.time += 1
        return SEEN, 1.0, self.time == 3, False, {}

    def __init__(self, do):
        self.do = do

    def render(self):
        if self.time == 1:
            self.do()
        return np.full((4, 4, 3), self.time, np.uint8)


def act(state, timestep, carry, key):
    return jnp.zeros(1, jnp.int32), carry


def test_a_recording_is_made_elsewhere_and_the_same():
    there, here = (
        record_host(
            act,
            shoal.from_gymnasium(lambda: Drawn(lambda: print("drawn")), "drawn", in_process=own),
            jax.random.key(0),
            2,
        )
        for own in (False, True)
    )
    assert len(there.episodes) == 2
    for one, other in zip(there.episodes, here.episodes):
        np.testing.assert_array_equal(one.rewards, other.rewards)
        assert len(one.pictures) == 4 and repr(one.pictures) == repr(other.pictures)


@pytest.mark.parametrize(
    "do, said",
    [
        (os.abort, "drawn: its process was killed by signal 6"),
        (lambda: time.sleep(600), "drawn did not answer within 1 s"),
        (lambda: 1 / 0, "Drawn cannot be drawn: ZeroDivisionError: division by zero"),
    ],
)
def test_a_world_that_cannot_be_drawn_ends_no_more_than_its_recording(do, said):
    deadline = 1.0 if "within 1 s" in said else 60.0
    env = shoal.from_gymnasium(lambda: Drawn(do), "drawn", deadline=deadline)
    with pytest.raises((WorldFailed, UserError), match=said):
        record_host(act, env, jax.random.key(0), 1)
