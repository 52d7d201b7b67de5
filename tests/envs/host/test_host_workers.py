"""Worlds in worker processes against the same worlds here; and every way in which one can fail."""

import functools
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import cloudpickle
import jax
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.envs.host import vector
from shoal.envs.host.env import HostEnv, HostSpec, HostStep
from shoal.envs.host.vector import HostVector, WorldFailed

FACTS = HostSpec(
    agents=("a", "b", "c"),
    roles=(0, 0, 1),
    obs_sizes=(4, 4, 2),
    images=(),
    discrete=True,
    action_sizes=(9, 9, 9),
    low=0.0,
    high=0.0,
    state_size=2,
    masked=True,
    teams=(0, 0, 0),
    limit=0,
)
BOX = replace(FACTS, discrete=False, action_sizes=(2, 1, 2), state_size=0, masked=False)
BAD_SEED = 666


@pytest.fixture(autouse=True, scope="module")
def by_value():
    """Worker processes need not import this file, and so neither pytest nor JAX."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Toy(HostEnv):
    """Episodes of 3 to 8 steps, cut for even seeds; `b` is out after two. The first action of `a`
    names what goes wrong."""

    def __init__(self, facts: HostSpec = FACTS, faults: dict | None = None):
        self.facts, self.faults = facts, faults or {}

    def reset(self, seed: int) -> HostStep:
        if seed == BAD_SEED:
            raise ValueError("bad seed")
        self.seed, self.time = seed, 0
        self.rng = np.random.default_rng(seed)
        self.length = int(self.rng.integers(3, 9))
        self.heard = np.zeros(3)
        return self.show()

    def step(self, action: np.ndarray) -> HostStep:
        self.time += 1
        self.heard = action if self.facts.discrete else action.sum(-1)
        assert action.dtype == (np.int32 if self.facts.discrete else np.float32)
        shown = self.show()
        fault = self.faults.get(int(self.heard[0]))
        return shown if fault is None else fault(shown)

    def show(self) -> HostStep:
        over, cut = self.time >= self.length, self.seed % 2 == 0
        terminated = np.array([False, self.time >= 2, False]) | (over and not cut)
        full = self.facts.masked
        return HostStep(
            obs=self.rng.normal(size=(3, 4)) + self.heard[:, None],
            reward=np.float32(self.time) * self.heard.astype(np.float32),
            terminated=terminated,
            truncated=~terminated & (over and cut),
            active=~terminated,
            action_mask=self.rng.random((3, 9)) < 0.5 if full else None,
            global_state=self.rng.normal(size=2).astype(np.float32) if full else None,
        )._replace(**({"action_mask": np.ones((3, 9), bool)} if self.time == 3 and full else {}))

    def render(self) -> np.ndarray:
        return np.full((2, 3, 3), self.time, np.uint8)


def make_toy(facts: HostSpec = FACTS, **faults) -> functools.partial:
    """What makes a `Toy`; the fault of action 8 is `faults["eight"]`, of 7 `faults["seven"]`."""
    numbers = {"eight": 8, "seven": 7}
    return functools.partial(Toy, facts, {numbers[name]: f for name, f in faults.items()})


def kill_itself(shown: HostStep) -> HostStep:
    os.kill(os.getpid(), signal.SIGKILL)
    return shown


def hang(shown: HostStep) -> HostStep:
    time.sleep(600)
    return shown


def spin(shown: HostStep) -> HostStep:
    while True:
        pass


def hold(shown: HostStep) -> HostStep:
    """In C, without a moment for other threads."""
    re.match("(a+)+$", "a" * 60 + "b")
    return shown


def complain(shown: HostStep) -> HostStep:
    raise ValueError("bad\naction")


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self):
        raise RuntimeError


def mute(shown: HostStep) -> HostStep:
    raise Mute


def half(shown: HostStep) -> HostStep:
    raise ValueError("half of a letter: \ud800")


def actions(num_envs: int, steps: int, facts: HostSpec = FACTS) -> np.ndarray:
    rng = np.random.default_rng(0)
    if facts.discrete:
        return rng.integers(0, 6, (steps, num_envs, 3)).astype(np.int32)
    return rng.random((steps, num_envs, 3, 2), np.float32)


def same(row: HostStep, shown: HostStep) -> None:
    """Whether what a vector showed of an environment is what its game showed."""
    for name, seen, true in zip(HostStep._fields, row, shown):
        assert (seen is None) == (true is None), name
        if true is not None:
            wanted = np.asarray(true)
            expected = wanted.astype(np.float32) if wanted.dtype.kind == "f" else wanted
            assert np.asarray(seen).dtype == expected.dtype and np.array_equal(seen, expected), name


def row(shown: HostStep, i) -> HostStep:
    return HostStep(*(None if field is None else field[i].copy() for field in shown))


def gone(pids: tuple[int, ...], seconds: float = 30.0) -> bool:
    """Whether processes end, and leave no zombie."""
    end = time.monotonic() + seconds
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.parametrize("facts, num_envs, workers", [(FACTS, 5, 2), (BOX, 3, 3), (FACTS, 4, 0)])
def test_equals_the_games_stepped_here(facts, num_envs, workers):
    games, seeds = [Toy(facts) for _ in range(num_envs)], np.arange(10, 10 + num_envs)
    episodes, cut, ended = [0] * num_envs, 0, 0
    with HostVector(
        make_toy(facts), facts, num_envs, workers=workers, in_process=not workers
    ) as worlds:
        assert len(set(worlds.pids)) == (workers or 1)
        assert (os.getpid() in worlds.pids) == (not workers)
        shown = worlds.reset(seeds)
        for i, game in enumerate(games):
            same(row(shown, i), game.reset(int(seeds[i])))
        for action in actions(num_envs, 30, facts):
            successor, shown = worlds.step(action)
            for i, game in enumerate(games):
                truth = game.step(action[i])
                same(row(successor, i), truth)
                if truth.done:
                    cut, ended = cut + truth.truncated.any(), ended + truth.terminated.all()
                    episodes[i] += 1
                    drawn = np.random.SeedSequence([seeds[i], episodes[i]]).generate_state(1)
                    truth = game.reset(int(drawn[0]) & 0x7FFFFFFF)
                same(row(shown, i), truth)
        again = worlds.reset(seeds)
        for i, game in enumerate(games):
            same(row(again, i), game.reset(int(seeds[i])))
    assert min(episodes) >= 2 and cut and ended


def test_results_hold_until_the_call_after_the_next_and_jax_has_its_own():
    with HostVector(make_toy(), FACTS, 2, workers=1) as worlds:
        worlds.reset(np.array([1, 2]))
        steps = iter(actions(2, 8))
        successor, shown = worlds.step(next(steps))
        with pytest.raises(ValueError, match="read-only"):
            shown.obs[0] = 1
        kept, on_device = [row(s, slice(None)) for s in (successor, shown)], jax.device_put(shown)
        worlds.step(next(steps))
        for before, now in zip(kept, (successor, shown)):
            same(now, before)
        worlds.step(next(steps))
        assert not np.array_equal(shown.obs, kept[1].obs)
        assert np.array_equal(on_device.obs, kept[1].obs)


def run_with_fault(fault, *, deadline=60.0, workers=2):
    """Steps four environments three times; at the second step, environment 1 does `fault`."""
    lines: list[str] = []
    with HostVector(
        make_toy(eight=fault), FACTS, 4, workers=workers, deadline=deadline, report=lines.append
    ) as worlds:
        first = worlds.pids
        worlds.reset(np.array([101, 103, 105, 107]))
        steps = actions(4, 3)
        steps[1, 1, 0] = 8
        before = row(worlds.step(steps[0])[1], slice(None))
        successor, shown = (row(s, slice(None)) for s in worlds.step(steps[1]))
        after = worlds.step(steps[2])[0]
        assert np.isfinite(after.obs).all() and not after.truncated.any()
        assert worlds.pids[1:] == first[1:] and worlds.pids[0] != first[0]
    assert gone((first[0], *worlds.pids))
    return lines, before, successor, shown


FAULTS = {
    "killed": (kill_itself, "its process was killed by signal 9"),
    "exit": (lambda shown: os._exit(3), "its process ended with exit code 3"),
    "sys.exit": (
        lambda shown: sys.exit("enough"),
        "raised SystemExit: enough (test_host_workers.py, line ",
    ),
    "raises": (complain, "raised ValueError: bad action (test_host_workers.py, line "),
    "half a letter": (half, "raised ValueError: half of a letter: \\ud800 (test_host_workers.py, "),
    "says nothing": (mute, "raised Mute (test_host_workers.py, line "),
    "none": (lambda shown: None, "returned NoneType, expected HostStep"),
    "shape": (
        lambda shown: shown._replace(reward=shown.reward[:2]),
        "its reward has shape (2,), expected (3,)",
    ),
    "dtype": (
        lambda shown: shown._replace(terminated=shown.terminated.astype(int)),
        "its terminated has type int64, expected bool",
    ),
    "list": (
        lambda shown: shown._replace(reward=[1.0, 1.0, 1.0]),
        "its reward is list, expected an array",
    ),
    "mask missing": (
        lambda shown: shown._replace(action_mask=None),
        "its action mask is NoneType, expected an array",
    ),
    "one truth value": (
        lambda shown: shown._replace(truncated=True),
        "its truncated is bool, expected an array",
    ),
    "nan": (
        lambda shown: shown._replace(obs=np.where(np.arange(3)[:, None] == 1, np.nan, shown.obs)),
        "observation of b is not finite",
    ),
    "infinite": (
        lambda shown: shown._replace(reward=np.array([0, 0, np.inf], np.float32)),
        "reward of c is not finite",
    ),
    "state": (
        lambda shown: shown._replace(global_state=np.array([0, np.nan])),
        "its global state is not finite",
    ),
    "stuck": (
        lambda shown: shown._replace(action_mask=np.zeros((3, 9), bool)),
        "a is to act and has no legal action",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failing_process_is_replaced(name):
    fault, what = FAULTS[name]
    lines, before, successor, shown = run_with_fault(fault)
    (line,) = lines
    # From 3.1.3 on cloudpickle forgets the file of what it pickles by value.
    line = re.sub(r"\(in (complain|mute|half|<lambda>), line", "(test_host_workers.py, line", line)
    assert line.startswith(f"environment 1 (seed 103, step 2): {what}")
    assert line.endswith("; replaced (1 of 10)") and "\n" not in line
    failed = slice(0, 2)
    before = row(before, failed)
    same(row(successor, failed), before._replace(reward=np.zeros((2, 3)), truncated=before.active))
    assert before.active.all()
    assert not shown.truncated.any() and not shown.terminated[failed].any()
    assert not np.array_equal(shown.obs[failed], before.obs)
    others = [Toy(), Toy()]
    for i, game in enumerate(others, start=2):
        game.reset(101 + 2 * i)
        steps = actions(4, 2)
        game.step(steps[0, i])
        truth = game.step(steps[1, i])
        same(row(successor, i), truth)
        same(row(shown, i), truth)


def test_a_hanging_process_is_replaced():
    lines, *_ = run_with_fault(hang, deadline=2.0)
    assert lines == [
        "environment 1 (seed 103, step 2): did not answer within 2 s; replaced (1 of 10)"
    ]


def test_a_world_in_this_process_fails_and_is_replaced_too():
    lines: list[str] = []
    action = np.array([[0, 0, 0], [8, 0, 0]], np.int32)
    make, step = make_toy(eight=complain), Toy.step
    with HostVector(make, FACTS, 2, in_process=True, report=lines.append) as worlds:
        assert Toy.step is step
        worlds.reset(np.array([1, 3]))
        worlds.step(np.zeros((2, 3), np.int32))
        before = row(worlds.step(np.zeros((2, 3), np.int32))[0], slice(None))
        successor, shown = worlds.step(action)
        same(row(successor, slice(None))._replace(truncated=before.truncated), before)
        # `b` had died before.
        assert successor.terminated.tolist() == [[False, True, False]] * 2
        assert successor.truncated.tolist() == [[True, False, True]] * 2
        assert not shown.truncated.any() and not shown.terminated.any()
        worlds.step(np.zeros((2, 3), np.int32))
    (line,) = lines
    assert line.startswith("environment 1 (seed 3, step 3): raised ValueError: bad action (test_")
    assert line.endswith("; replaced (1 of 10)")
    with pytest.raises(WorldFailed, match="environment 0 cannot be made: ZeroDivisionError"):
        HostVector(lambda: 1 / 0, FACTS, 2, in_process=True)  # type: ignore


def test_large_numbers_are_finite():
    huge = functools.partial(HostStep._replace, obs=np.full((3, 4), 1e30, np.float32))
    with HostVector(make_toy(eight=huge), FACTS, 1, on_failure="stop") as worlds:
        worlds.reset(np.array([1]))
        successor, _ = worlds.step(np.array([[8, 0, 0]], np.int32))
        assert (successor.obs == np.float32(1e30)).all()


def test_several_fail_in_one_step_and_a_kill_between_steps_blames_no_world():
    lines: list[str] = []
    make = make_toy(eight=complain, seven=hang)
    with HostVector(make, FACTS, 4, workers=4, deadline=2.0, report=lines.append) as worlds:
        worlds.reset(np.array([1, 3, 5, 7]))
        os.kill(worlds.pids[3], signal.SIGKILL)
        action = np.zeros((4, 3), np.int32)
        action[0, 0], action[1, 0] = 8, 7
        successor, shown = worlds.step(action)
        assert successor.done.tolist() == [True, True, False, True]
        assert np.array_equal(successor.truncated.any(-1), successor.done)
        assert not shown.truncated.any()
        assert len({tuple(agents.ravel()) for agents in shown.obs}) == 4
        worlds.step(np.zeros((4, 3), np.int32))
    assert [line.rsplit("; ", 1)[1] for line in lines] == [
        f"replaced ({k} of 10)" for k in (1, 2, 3)
    ]
    assert lines[0].startswith("environment 0 (seed 1, step 1): raised ValueError: bad action")
    assert lines[1].startswith("environment 1 (seed 3, step 1): did not answer within 2 s")
    assert lines[2].startswith(
        "environment 3 (seed 7, step 0): its process was killed by signal 9 while it waited"
    )


def test_an_environment_that_was_cut_starts_a_new_episode_and_draws_new_seeds():
    lines: list[str] = []
    action = np.array([[8, 0, 0]], np.int32)
    with HostVector(make_toy(eight=complain), FACTS, 1, report=lines.append) as worlds:
        worlds.reset(np.array([5]))
        for _ in range(10):
            worlds.step(action)
        pids = worlds.pids
        with pytest.raises(WorldFailed, match=r"bad action.*; not replaced, 10 were before"):
            worlds.step(action)
        with pytest.raises(UserError, match="the worlds are closed"):
            worlds.step(action)
    seeds = [line.split("seed ")[1].split(",")[0] for line in lines]
    assert len(set(seeds)) == 10 and seeds[0] == "5"
    assert gone(pids)


def test_a_policy_of_stopping_stops(monkeypatch):
    monkeypatch.setattr("shoal.envs.host.process.GRACE", 600.0)  # a sound worker needs none
    worlds = HostVector(make_toy(eight=kill_itself), FACTS, 2, workers=2, on_failure="stop")
    worlds.reset(np.array([1, 3]))
    with pytest.raises(WorldFailed) as failed:
        worlds.step(np.array([[0, 0, 0], [8, 0, 0]], np.int32))
    assert str(failed.value) == (
        "environment 1 (seed 3, step 1): its process was killed by signal 9"
    )
    assert gone(worlds.pids)


def test_a_first_reset_that_fails_is_not_tried_again_and_a_later_one_is():
    lines: list[str] = []
    worlds = HostVector(make_toy(), FACTS, 2, workers=2, report=lines.append)
    with pytest.raises(
        WorldFailed, match=r"^environment 1 \(seed 666, step 0\): raised ValueError"
    ):
        worlds.reset(np.array([1, BAD_SEED]))
    assert not lines and gone(worlds.pids)
    with HostVector(make_toy(), FACTS, 2, workers=2, report=lines.append) as worlds:
        worlds.reset(np.array([1, 3]))
        shown = worlds.reset(np.array([1, BAD_SEED]))
        same(row(shown, 0), Toy().reset(1))
        worlds.step(np.zeros((2, 3), np.int32))
    assert len(lines) == 1 and "bad seed" in lines[0] and lines[0].endswith("; replaced (1 of 10)")


def test_what_cannot_be_made(monkeypatch):
    def lacking() -> HostEnv:
        import no_such_package  # type: ignore # noqa: F401

        return Toy()

    message = "environment 0 cannot be made: ModuleNotFoundError: No module named 'no_such_package'"
    with pytest.raises(WorldFailed, match=message) as failed:
        HostVector(lacking, FACTS, 2, workers=1)
    assert "\n" not in str(failed.value)
    monkeypatch.setattr(vector, "STARTING", 0.5)
    with pytest.raises(WorldFailed, match=r"0 cannot be made: did not answer within 0\.5 s"):
        HostVector(lambda: time.sleep(60), FACTS, 1, deadline=0.1)  # type: ignore
    lock = threading.Lock()
    with pytest.raises(UserError, match="cannot be sent to its worker processes: TypeError"):
        HostVector(lambda: Toy(faults={0: lock}), FACTS, 1)


def test_a_world_of_a_module_that_only_the_parent_knows_where_to_find(tmp_path, monkeypatch):
    (tmp_path / "made_elsewhere.py").write_text("SIZE = 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    import made_elsewhere  # type: ignore

    def make() -> HostEnv:
        assert made_elsewhere.SIZE == 4
        assert os.environ.get("PYTHONPATH") == before
        return Toy()

    before = os.environ.get("PYTHONPATH")
    with HostVector(make, FACTS, 1) as worlds:
        same(row(worlds.reset(np.array([4])), 0), Toy().reset(4))


def test_a_worker_does_without_jax_threads_windows_and_interrupts(monkeypatch, capfd):
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)

    def make() -> HostEnv:
        print("a banner")
        assert "jax" not in sys.modules and "pytest" not in sys.modules
        assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
        assert os.environ["SDL_VIDEODRIVER"] == "dummy"
        return Toy()

    with HostVector(make, FACTS, 1, on_failure="stop") as worlds:
        worlds.reset(np.array([4]))
        os.kill(worlds.pids[0], signal.SIGINT)
        os.kill(worlds.pids[0], signal.SIGTERM)
        worlds.step(np.zeros((1, 3), np.int32))
    out, err = capfd.readouterr()
    assert out == "" and "a banner" in err


def test_mistakes_of_shape():
    with HostVector(make_toy(), FACTS, 2, workers=1) as worlds:
        with pytest.raises(UserError, match="reset comes before the first step"):
            worlds.step(np.zeros((2, 3), np.int32))
        with pytest.raises(UserError, match="seeds has -1, expected 0 or more"):
            worlds.reset(np.array([1, -1]))
        worlds.reset(np.array([1, 2]))
        with pytest.raises(UserError, match=r"action has shape \(3,\), expected \(2, 3\)"):
            worlds.step(np.zeros(3, np.int32))
    with pytest.raises(UserError, match="num_envs is 0, expected at least 1"):
        HostVector(make_toy(), FACTS, 0)


def test_nothing_is_left_of_a_vector():
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    descriptors()
    before = descriptors()
    for close in (True, False):
        worlds = HostVector(make_toy(eight=kill_itself), FACTS, 3, workers=2, report=print)
        shown = worlds.reset(np.array([1, 3, 5]))
        first = worlds.pids
        worlds.step(np.array([[0, 0, 0], [8, 0, 0], [0, 0, 0]], np.int32))
        pids = (*first, *worlds.pids)
        kept = shown.obs.copy()
        if close:
            worlds.close()
            assert gone(pids) and np.array_equal(shown.obs, kept)
            worlds.close()
        del worlds, shown
        assert descriptors() == before and gone(pids)


PARENT = """
import os, sys, threading, time
import cloudpickle, numpy as np
make, facts, action = cloudpickle.load(open(sys.argv[1], "rb"))
from shoal.envs.host.vector import HostVector
worlds = HostVector(make, facts, 2, workers=2)
worlds.reset(np.array([1, 3]))
print(*worlds.pids, flush=True)
if sys.argv[2] == "exit":
    sys.exit()
threading.Timer(0.3, lambda: os.kill(os.getpid(), 9)).start()
worlds.step(action)
time.sleep(60)
"""


HOW = ["exit", "killed while one hangs", "killed while one is busy", "killed while one holds on"]


@pytest.mark.parametrize("how", HOW)
def test_workers_end_with_their_parent(how, tmp_path):
    make = make_toy(eight=hold if "holds" in how else hang, seven=spin)
    action = np.array([[0, 0, 0], [7 if "busy" in how else 8, 0, 0]], np.int32)
    (tmp_path / "job").write_bytes(cloudpickle.dumps((make, FACTS, action)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, str(tmp_path / "job"), how],
        stdout=subprocess.PIPE, env=environment, timeout=60,
    )  # fmt: skip
    pids = tuple(map(int, parent.stdout.split()))
    assert len(pids) == 2 and parent.returncode == (0 if how == "exit" else -signal.SIGKILL)
    assert gone(pids)


STOPPED = """
import sys
import cloudpickle, numpy as np
make, facts = cloudpickle.load(open(sys.argv[1], "rb"))
from shoal.envs.host.vector import HostVector
worlds = HostVector(make, facts, 2, workers=2, deadline=1.0, report=print)
worlds.reset(np.array([1, 3]))
print("ready", flush=True)
for _ in range(6):
    worlds.step(np.array([[8, 0, 0], [0, 0, 0]], np.int32))
print("done", flush=True)
"""


def doze(shown: HostStep) -> HostStep:
    time.sleep(0.3)
    return shown


def test_time_in_which_all_were_stopped_does_not_count(tmp_path):
    (tmp_path / "job").write_bytes(cloudpickle.dumps((make_toy(eight=doze), FACTS)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "job")],
        stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True,
    )  # fmt: skip
    with parent:
        assert parent.stdout.readline() == "ready\n"
        for _ in range(2):
            time.sleep(0.2)
            os.killpg(parent.pid, signal.SIGSTOP)
            time.sleep(2.5)
            os.killpg(parent.pid, signal.SIGCONT)
        assert parent.stdout.read() == "done\n"  # nothing was replaced


@pytest.fixture
def no_collection():
    """No garbage is collected: an interrupt in the midst of it is raised in JAX's callback of the
    collector, which Python ignores."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_an_interrupt_closes_all(monkeypatch):
    monkeypatch.setattr("shoal.envs.host.process.GRACE", 0.3)
    worlds = HostVector(make_toy(eight=hang), FACTS, 2, workers=2)
    worlds.reset(np.array([1, 3]))
    # Tests that a script runs in the background begin with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        worlds.step(np.array([[8, 0, 0], [0, 0, 0]], np.int32))
    signal.signal(signal.SIGINT, before)
    assert gone(worlds.pids)
