"""Trackers that work get every row once; those that do not leave training as it is without them."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shoal.agents.policy_gradient.ppo import PPO
from shoal.cli.main import run as shoal
from shoal.core.errors import UserError
from shoal.envs.particle.simple import Simple
from shoal.runs.run_directory import RunDirectory
from shoal.trackers import (
    Opened,
    TrackedRun,
    Tracker,
    TrackerError,
    choice,
    choose,
    tracked,
    tracking,
)
from shoal.trackers.isolated import Isolated
from shoal.trackers.tracked import Tracked
from shoal.trackers.tracker import Row, numbers
from shoal.trackers.tracking import tracked_run
from shoal.training import run as runs, train as training
from shoal.training.trainer import WALL_CLOCK

SETTINGS = dict(total_steps=800, num_envs=8, unroll=5, evaluations=2, eval_episodes=4, seeds=2)
SMALL = dict(hidden=(8,), minibatches=2, epochs=1)
SOON = 600.0  # seconds after which something that is waited for does not come any more
PATIENCE = 4.0  # of tests in which it runs out
REST = ("seed", "step", *WALL_CLOCK)


def train(out: Path, track, **settings) -> runs.Run:
    """Twenty updates of two seeds."""
    algorithm = PPO(**SMALL)
    settings = SETTINGS | settings
    return training.start("ippo", algorithm, Simple(), out, quiet=True, track=track, **settings)


def train_until_patience_ends(out: Path, track) -> runs.Run:
    """Trains beside trackers that are no good: all of them together are waited for once."""
    last: list[float] = []
    run = train(out, track, watchers=[lambda rows: last.append(time.monotonic())])
    assert time.monotonic() - last[-1] < 2 * PATIENCE
    return run


def measured(rows: list[dict]) -> list[dict]:
    """What a run of the same settings has again: rows without the clock."""
    return [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in rows]


def of_member(run: runs.Run, seed: int) -> dict[int, dict[str, float]]:
    """What a tracker should have of one member: the numbers at each step."""
    return {r["step"]: numbers(r, {"seed": 0}) for r in run.metrics if r["seed"] == seed}


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> runs.Run:
    return train(tmp_path_factory.mktemp("runs") / "plain", ())


@pytest.fixture(scope="module")
def plain(untracked: runs.Run) -> list[dict]:
    """The rows of a training that nobody tracks."""
    return measured(untracked.metrics)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", PATIENCE)


class Memory(Tracker):
    """Remembers what it is given, and misbehaves where it is told to."""

    def __init__(self, where: str = "", how=lambda: None):
        self.runs: list[TrackedRun] = []
        self.rows: list[Row] = []
        self.finished: list[bool] = []
        self.where, self.how = where, how

    def _at(self, where: str) -> None:
        if where == self.where:
            self.how()

    def start(self, run: TrackedRun) -> Opened:
        self._at("start")
        self.runs.append(run)
        last = [-1] * len(run.settings)
        for row in self.rows:
            last[row.member] = row.step
        return Opened(last, "memory")

    def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
        self._at("log")
        self.rows.append(Row(member, step, numbers))

    def finish(self, ok: bool) -> None:
        self._at("finish")
        self.finished.append(ok)


# Training beside a tracker -------------------------------------------------------------------


def test_a_tracker_gets_every_row_of_every_member(tmp_path: Path, plain: list[dict]) -> None:
    memory = Memory()
    run = train(tmp_path / "run", memory)
    assert measured(run.metrics) == plain
    for member in (0, 1):
        got = {row.step: row.numbers for row in memory.rows if row.member == member}
        assert got == of_member(run, seed=member) and len(got) == 20
    (seen,) = memory.runs
    assert [seen.member_name(m) for m in (0, 1)] == ["run/seed_0", "run/seed_1"]
    assert seen.member_config(1)["seed"] == 1 and seen.config["environment"] == "mpe/simple"
    assert memory.finished == [True]


def raise_error() -> None:
    raise ConnectionError("the tracker is down")


def block() -> None:
    threading.Event().wait()


@pytest.mark.usefixtures("impatient")
def test_trackers_that_fail_or_hang_change_nothing(
    tmp_path: Path, plain: list[dict], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine of them, and one that is well."""
    places, ways = ("start", "log", "finish"), (raise_error, sys.exit, block)
    faulty = [Memory(where, how) for where in places for how in ways]
    well = Memory()
    run = train_until_patience_ends(tmp_path / "run", [*faulty, well])
    assert measured(run.metrics) == plain
    assert run.evaluation is not None
    assert len(well.rows) == 40 and well.finished == [True]
    warnings = capsys.readouterr().err.splitlines()
    assert all(line.startswith("shoal: warning: Memory") for line in warnings)
    assert sum("may lack rows" in line for line in warnings) == 9
    first = [line for line in warnings if line.endswith("training goes on without it")]
    assert {line.split(": ")[3] for line in first} == {
        "the tracker is down; training goes on without it",
        "it asked to exit with SystemExit; training goes on without it",
    }


def test_what_ends_the_training_ends_the_tracking_as_failed(tmp_path: Path) -> None:
    memory = Memory()

    def stop(rows: list[dict]) -> None:
        if rows[0]["step"] == 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.start(
            *("ippo", PPO(**SMALL), Simple(), tmp_path / "run"),
            **{"quiet": True, "track": memory, "watchers": [stop], **SETTINGS},
        )
    assert memory.finished == [False]
    run = training.resume(tmp_path / "run", track=memory)
    assert memory.runs[0].id == memory.runs[1].id
    steps = [row.step for row in memory.rows if row.member == 0]
    assert steps == sorted(set(steps)) == list(of_member(run, 0))


# The queue ------------------------------------------------------------------------------------

RUN = TrackedRun("id", "name", ".", {}, [{"seed": 0}])


def rows(*steps: int) -> list[Row]:
    return [Row(0, step, {"return": float(step)}) for step in steps]


def feed(tracker: Tracker, told: list[str], **settings) -> Tracked:
    return Tracked("memory", lambda: tracker, RUN, lambda text, _: told.append(text), **settings)


def test_a_full_queue_forgets_the_oldest_rows() -> None:
    busy, free, told = threading.Event(), threading.Event(), []

    def stall() -> None:
        busy.set()
        free.wait()

    memory = Memory("log", stall)
    feeding = feed(memory, told, capacity=4)
    feeding.offer(rows(0))
    assert busy.wait(SOON)
    feeding.offer(rows(*range(1, 10)))
    free.set()
    feeding.end(ok=True)
    assert feeding.wait(time.monotonic() + SOON) is False  # it has not every row
    assert [row.step for row in memory.rows] == [0, 6, 7, 8, 9] and feeding.dropped == 5
    assert memory.finished == [True]


def test_a_tracker_that_comes_back_gets_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracked, "FIRST_RETRY", 0.01)
    calls, told = [], []

    def fail_at_times() -> None:
        calls.append(None)
        if len(calls) in (1, 3, 4):
            raise ConnectionError("gone")

    memory = Memory("log", fail_at_times)
    feeding = feed(memory, told)
    feeding.offer(rows(1, 2, 3, 4))
    until = time.monotonic() + SOON
    while len(memory.rows) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    feeding.end(ok=True)
    assert feeding.wait(until) is True
    assert [row.step for row in memory.rows] == [1, 2, 3, 4] and len(memory.runs) == 4
    assert [line for line in told if "warning" in line] == [
        "warning: memory: gone; training goes on without it"
    ]


def test_rows_that_a_tracker_lost_are_not_called_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracked, "FIRST_RETRY", 0.01)
    lost = threading.Event()

    class Forgetful(Memory):
        def log(self, member: int, step: int, numbers: dict[str, float]) -> None:
            if step == 2 and not lost.is_set():
                self.rows.clear()
                lost.set()
                raise ConnectionError
            super().log(member, step, numbers)

    feeding = feed(Forgetful(), [])
    feeding.offer(rows(1, 2))
    assert lost.wait(SOON)
    time.sleep(0.5)
    feeding.offer(rows(3))
    feeding.end(ok=True)
    assert feeding.wait(time.monotonic() + SOON) is False


# Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("wandbb", "unknown tracker 'wandbb': did you mean 'wandb'?"),
        ("none,mflow", "did you mean 'mlflow'?"),
        ("absent", "absent is not installed: pip install 'shoal[absent]'"),
    ],
)
def test_a_tracker_that_cannot_be_is_one_line_before_anything_is_written(
    track: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The folder that a library left behind is not the library.
    (tmp_path / "no_such_library").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(choice.TRACKERS, "absent", choice.Known("no_such_library", "no:thing"))
    out = tmp_path / "run"
    with pytest.raises(UserError, match=said.split("'")[0]):
        train(out, track)
    assert shoal(["train", "mappo", "mpe/simple", "--out", str(out), "--track", track]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not out.exists()


def test_names_come_in_every_form() -> None:
    memory = Memory()
    assert choose("none") == choose(()) == choose("") == ()
    assert choose([memory, "none", memory]) == (memory,)
    assert choice.remembered(Path("no/such/run")) == (None, ())


# A library in a process of its own --------------------------------------------------------------


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts the stand-in in wandb's place; gives what it was told, by kind."""
    library = tmp_path / "lib" / "wandb"
    library.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("fake_wandb.py"), library / "__init__.py")
    monkeypatch.syspath_prepend(str(library.parent))
    monkeypatch.setenv("FAKE_WANDB_FILE", str(tmp_path / "told.jsonl"))

    def told(key: str) -> list[dict]:
        path = tmp_path / "told.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [line for line in map(json.loads, lines) if key in line]

    return told


def check_told(run: runs.Run, told, ids: list[str]) -> None:
    """Every row of every member is there once, in order."""
    for seed, id in enumerate(ids):
        got = [(line["step"], line["numbers"]) for line in told("step") if line["id"] == id]
        assert got == list(of_member(run, seed).items())


def test_wandb_has_a_run_a_member_in_one_group(tmp_path: Path, wandb) -> None:
    run = train(tmp_path / "run", "wandb")
    opened = wandb("name")
    assert [line["name"] for line in opened] == ["run/seed_0", "run/seed_1"]
    assert {line["group"] for line in opened} == {"run"}
    assert opened[0]["pid"] == opened[1]["pid"] != os.getpid()
    assert opened[1]["config"]["algorithm_fields"]["minibatches"] == 2
    check_told(run, wandb, [line["id"] for line in opened])
    assert [line["exit_code"] for line in wandb("exit_code")] == [0, 0]
    assert "this must not be taken" in (run.directory / "trackers" / "wandb.log").read_text()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise in init", "^no API key$"),
        ("exit in init", "it asked to exit with 3"),
        ("die in log", "its process ended: killed by signal 9"),
    ],
)
def test_a_library_that_misbehaves_is_one_line(
    how: str, said: str, tmp_path: Path, wandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_WANDB", how)
    tracker = Isolated("wandb")
    with pytest.raises(TrackerError, match=said):
        tracker.start(TrackedRun("id", "name", str(tmp_path), {}, [{"seed": 0}]))
        tracker.log(0, 1, {"return": 1.0})


@pytest.mark.parametrize("how", ["raise in init", "hang in log"])
@pytest.mark.usefixtures("impatient")
def test_a_library_that_misbehaves_changes_nothing(
    how: str,
    tmp_path: Path,
    wandb,
    plain: list[dict],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_WANDB", how)
    run = train_until_patience_ends(tmp_path / "run", "wandb")
    assert measured(run.metrics) == plain
    assert f"`shoal track {run.directory} --to wandb` sends them" in capsys.readouterr().err


KILLED = """
import json, os, pathlib, signal, sys, time
from shoal.agents.policy_gradient.ppo import PPO
from shoal.envs.particle.simple import Simple
from shoal.training import train

def kill(rows):
    told = pathlib.Path(os.environ["FAKE_WANDB_FILE"])
    until = time.monotonic() + 300
    while rows[0]["step"] >= 400 and time.monotonic() < until:
        if told.is_file() and '"step": 360' in told.read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)

train.start("ippo", PPO(**{small}), Simple(), pathlib.Path(sys.argv[1]), track="wandb",
          watchers=[kill], **{settings})
"""


def test_a_run_that_was_killed_goes_on_in_the_same_tracked_run(tmp_path: Path, wandb) -> None:
    out = tmp_path / "run"
    script = KILLED.replace("{small}", repr(SMALL)).replace("{settings}", repr(SETTINGS))
    path = os.pathsep.join(sys.path)
    killed = subprocess.run(
        [sys.executable, "-c", script, str(out)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=900,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    until = time.monotonic() + SOON
    while len(wandb("exit_code")) < 2 and time.monotonic() < until:
        time.sleep(0.1)  # the tracker's process ends in order
    assert [line["exit_code"] for line in wandb("exit_code")] == [1, 1]

    run = training.resume(out)
    ids = [line["id"] for line in wandb("name")]
    assert ids[:2] == ids[2:]
    for seed, id in enumerate(ids[:2]):
        steps = [line["step"] for line in wandb("step") if line["id"] == id]
        assert steps == list(of_member(run, seed))
    assert [line["exit_code"] for line in wandb("exit_code")] == [1, 1, 0, 0]


def test_what_was_not_sent_is_sent_later(
    untracked: runs.Run, wandb, capsys: pytest.CaptureFixture[str]
) -> None:
    run = untracked
    assert shoal(["track", str(run.directory), "--to", "wandb", "--follow"]) == 0
    assert capsys.readouterr().out == "wandb: 40 rows: https://wandb.test/run\n"
    check_told(run, wandb, [line["id"] for line in wandb("name")])
    assert [line["exit_code"] for line in wandb("exit_code")] == [0, 0]
    assert not (run.directory / choice.NOTE).exists()


def test_a_tracker_that_takes_nothing_is_one_line(
    untracked: runs.Run,
    wandb,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = untracked
    monkeypatch.setenv("FAKE_WANDB", "raise in init")
    assert shoal(["track", str(run.directory), "--to", "wandb"]) == 1
    assert capsys.readouterr().err == "shoal: wandb: no API key\n"
    assert shoal(["track", str(run.directory)]) == 2
    assert "--to is missing" in capsys.readouterr().err
    assert shoal(["track", str(run.directory), "--to", "wandbb"]) == 2
    assert "did you mean 'wandb'?" in capsys.readouterr().err


# The libraries themselves, where they are installed ---------------------------------------------


def history(file: Path) -> dict[int, dict[str, float]]:
    """The history in the file of an offline run of wandb: records in LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, out, parts = file.read_bytes(), 7, {}, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, parts = Record.FromString(parts), b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
                step = int(row.get("_step", record.history.step.num))
                out[step] = {k: v for k, v in row.items() if not k.startswith("_")}
    return out


def check_known(run: runs.Run, name: str) -> None:
    """The tracker knows the run again by its id, and where to go on."""
    id, names = choice.remembered(run.directory)
    assert id is not None and names == (name,)
    again = Isolated(name)
    seen = tracked_run(RunDirectory.open(run.directory), run.config.members(), id)
    assert again.start(seen).last_steps == [800, 800]
    again.finish(True)


def test_wandb_writes_its_file_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", exc_type=ImportError)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(tracking, "PATIENCE", SOON)
    run = train(tmp_path / "run", "wandb")
    for member in (0, 1):
        (file,) = run.directory.glob(f"trackers/wandb/offline-run-*-{member}/*.wandb")
        assert history(file) == of_member(run, member)


def test_mlflow_has_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(tracking, "PATIENCE", SOON)
    run = train(tmp_path / "run", "mlflow")
    client = mlflow.MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "shoal"]
    found = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert found.keys() == {"run/seed_0", "run/seed_1"}
    for member in (0, 1):
        saved = found[f"run/seed_{member}"]
        assert saved.info.status == "FINISHED"
        assert saved.data.params["algorithm_fields.minibatches"] == "2"
        got: dict[int, dict[str, float]] = {}
        for name in saved.data.metrics:
            for metric in client.get_metric_history(saved.info.run_id, name):
                got.setdefault(metric.step, {})[name] = metric.value
        assert got == of_member(run, member)
    check_known(run, "mlflow")


def test_trackio_has_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", exc_type=ImportError)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setattr(tracking, "PATIENCE", SOON)
    run = train(tmp_path / "run", "trackio")
    read = "import json, trackio\nfrom trackio.sqlite_storage import SQLiteStorage as S\n"
    read += "print(json.dumps({r.name: S.get_logs('shoal', r.name, run_id=r.id) "
    read += "for r in trackio.Api().runs('shoal')}, default=str))"
    printed = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True)
    logs = json.loads(printed.stdout.splitlines()[-1])
    assert len(logs) == 2
    for name, rows in logs.items():
        got = {r.pop("step"): {k: v for k, v in r.items() if k != "timestamp"} for r in rows}
        assert got == of_member(run, int(name.split("seed_")[1][0]))
    check_known(run, "trackio")


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("wandb", {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}),
        ("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}),
        ("trackio", {"TRACKIO_SERVER_URL": "http://127.0.0.1:9", "TRACKIO_WRITE_TOKEN": "x"}),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_server_out_of_reach_changes_nothing(
    name: str,
    environment: dict[str, str],
    tmp_path: Path,
    plain: list[dict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(name, exc_type=ImportError)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    run = train_until_patience_ends(tmp_path / "run", name)
    assert measured(run.metrics) == plain
