import errno
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.reports.run_groups import read_groups
from shoal.runs import run_directory
from shoal.runs.config import Config
from shoal.runs.durable import json_digest, read_json
from shoal.runs.run_directory import (
    MetricsLog,
    RunDirectory,
    read_metrics,
    write_json_atomic,
)

CONFIG = {
    **{"algorithm": "mappo", "algorithm_fields": {}, "environment": "mpe/simple"},
    **{"environment_fields": {}, "total_steps": 1000, "num_envs": 8, "unroll": 5},
}


@contextmanager
def file_size_limit(size: int):
    """A disk that is full for every file of this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refuses(*args) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Directories.


def test_a_new_run_is_created_and_opened(tmp_path):
    config = CONFIG | {"hidden": (64, 64), "rate": 0.1, "none": None}
    with RunDirectory.create(tmp_path / "runs" / "a") as run:
        run.write_config(config)
        assert run.checkpoints == tmp_path / "runs" / "a" / "checkpoints"
    read = RunDirectory.open(tmp_path / "runs" / "a").read_config()
    assert read == Config.from_json(config).to_json() | config | {"hidden": [64, 64]}
    assert json_digest(read) == json_digest(read | {"hidden": (64, 64)})
    assert json_digest(read) != json_digest(read | {"rate": 0.2})


@pytest.mark.parametrize("left", ["config.json", "metrics.jsonl", "checkpoints"])
def test_a_directory_that_holds_a_run_is_refused_and_left_as_it_was(tmp_path, left):
    path = tmp_path / "a"
    path.mkdir()
    (path / left).write_text("precious")
    with pytest.raises(UserError, match=rf"holds a run already .*`shoal resume {path}`.*--out"):
        RunDirectory.create(path)
    assert (path / left).read_text() == "precious"
    RunDirectory(path).lock()  # the refusal holds no lock


def test_a_create_that_died_before_it_wrote_anything_can_be_repeated(tmp_path):
    RunDirectory.create(tmp_path / "a").close()
    RunDirectory.create(tmp_path / "a").close()


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("my run", "my-run"),
        ("-rf", "rf"),
        (".x", "x"),
        ("a\nb", "a-b"),
        ("é", "e"),
        ("\U0001f41f", "run"),
        ("x" * 65, "x" * 64),
    ],
)
def test_bad_names_are_refused_with_a_usable_one(tmp_path, name, usable):
    with pytest.raises(UserError, match=f"such as '{usable}'") as error:
        RunDirectory.create(tmp_path / name)
    assert not (tmp_path / name).exists()
    if name.isprintable():
        assert "\n" not in str(error.value)
    RunDirectory.create(tmp_path / usable).close()


def test_a_dot_is_named_by_the_directory_it_stands_for(tmp_path, monkeypatch):
    (tmp_path / "fine").mkdir()
    (tmp_path / "not fine").mkdir()
    monkeypatch.chdir(tmp_path / "fine")
    RunDirectory.create(Path(".")).close()
    monkeypatch.chdir(tmp_path / "not fine")
    with pytest.raises(UserError, match="such as 'not-fine'"):
        RunDirectory.create(Path("."))


def test_places_that_cannot_hold_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, expected a directory"):
        RunDirectory.create(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot create .*: Not a directory"):
        RunDirectory.create(tmp_path / "file" / "run")


def test_an_unwritable_parent_is_a_clear_error():
    parent = Path(tempfile.mkdtemp())  # not below `tmp_path`, which only its owner can enter
    user = os.geteuid()
    try:
        (parent / "there").mkdir()
        (parent / "there" / "config.json").write_text(json.dumps(CONFIG))
        (parent / "there").chmod(0o555)
        parent.chmod(0o555)
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        with pytest.raises(UserError, match=r"cannot create .*: Permission denied"):
            RunDirectory.create(parent / "new")
        run = RunDirectory.open(parent / "there")
        assert run.read_config().items() >= CONFIG.items()  # readers need no lock
        with pytest.raises(UserError, match=r"cannot write in .*: Permission denied"):
            run.lock()
    finally:
        os.seteuid(user)
        parent.chmod(0o755)
        shutil.rmtree(parent)


def test_opening_what_is_no_run_offers_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"holds no run: it has no config\.json"):
        RunDirectory.open(tmp_path / "mappo-1")
    for name in ("mappo-0", "vdn-0"):
        with RunDirectory.create(tmp_path / name) as run:
            run.write_config({})
    (tmp_path / "mappo-2").mkdir()  # near, but not a run
    with pytest.raises(UserError, match=r"mappo-1 holds no run: did you mean .*mappo-0\?"):
        RunDirectory.open(tmp_path / "mappo-1")


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00" * 9, '{"a": ' * 100_000])
def test_a_damaged_config_is_a_clear_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"cannot read .*config\.json"):
        RunDirectory.open(tmp_path).read_config()


def test_a_config_that_json_cannot_keep_is_refused(tmp_path):
    with RunDirectory.create(tmp_path / "a") as run:
        with pytest.raises(UserError, match="cannot be kept"):
            run.write_config({"clip": math.inf})
        assert not (run.path / "config.json").exists()


# The lock.

HOLDER = """
import os, sys, time
from pathlib import Path
from shoal.runs.run_directory import RunDirectory

run = RunDirectory(Path(sys.argv[1]))
run.lock()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_dies(tmp_path):
    path = tmp_path / "a"
    with RunDirectory.create(path) as run:
        run.write_config(CONFIG)
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        opened = RunDirectory.open(path)
        host = os.uname().nodename
        with pytest.raises(UserError, match=f"in use by process {holder.pid} on {host} since 20"):
            opened.lock()
        with pytest.raises(UserError, match=f"in use by process {holder.pid}"):
            RunDirectory.create(path)
        assert opened.read_config().items() >= CONFIG.items()  # reading goes on
        holder.kill()
        holder.wait()
    opened.lock()  # a dead process holds nothing
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        RunDirectory(path).lock()
    opened.lock()  # again is the same
    opened.close()
    RunDirectory(path).lock()


def test_a_lock_that_was_deleted_still_holds(tmp_path):
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    first.lock()
    (tmp_path / "lock").unlink()
    with pytest.raises(UserError, match="is in use by another process"):
        second.lock()
    first.close()
    second.lock()
    second.close()


def test_a_file_system_that_locks_files_alone(tmp_path, monkeypatch):
    flock = run_directory.fcntl.flock

    def on_files(descriptor, how):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, how)

    monkeypatch.setattr(run_directory.fcntl, "flock", on_files)
    first = RunDirectory(tmp_path)
    first.lock()
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        RunDirectory(tmp_path).lock()
    first.close()


@pytest.mark.parametrize("name", ["lock", "replay.html", "eval.json", "checkpoints/step_8", "old"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_nothing_but_files_is_opened(tmp_path, name, kind):
    run, secret = tmp_path / "run", tmp_path / "secret"
    secret.write_text("mine")
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / name).symlink_to(secret) if kind == "link" else os.mkfifo(run / name)
    said = f"{name} is {'a link' if kind == 'link' else 'neither'}"
    with pytest.raises(UserError, match=said):
        RunDirectory.open(run)
    (run / "config.json").unlink()
    with pytest.raises(UserError, match=said):
        RunDirectory.create(run)
    assert secret.read_text() == "mine"


def test_a_lock_that_is_not_signed_still_holds(tmp_path, monkeypatch):
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    monkeypatch.setattr(os, "write", refuses)  # a full disk
    first.lock()
    with pytest.raises(UserError, match="in use by another process"):
        second.lock()
    first.close()


def test_a_file_system_without_locks_is_not_called_in_use(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(run_directory.fcntl, "flock", unsupported)
    with pytest.raises(UserError, match="has no locks: Operation not supported"):
        RunDirectory(tmp_path).lock()


# JSON files.


def test_json_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "eval.json"
    write_json_atomic(path, {"return": np.float32(0.5), "all": jnp.arange(2), "bad": [math.nan]})
    assert json.loads(path.read_text()) == {"return": 0.5, "all": [0, 1], "bad": [None]}
    before = path.read_bytes()
    with pytest.raises(OSError, match="too large"), file_size_limit(100):
        write_json_atomic(path, {"x": "y" * 1000})
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(os, call, refuses)
            write_json_atomic(path, {})
    with pytest.raises(TypeError):
        write_json_atomic(path, {"f": refuses})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["eval.json"]


def test_halves_of_a_pair_are_not_json(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"name": "\ud800"}))
    with pytest.raises(ValueError, match="surrogates not allowed"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(json.dumps({"name": "\U0001f41f"}))
    assert read_json(tmp_path / "x.json") == {"name": "\U0001f41f"}


def test_a_link_in_a_circle_holds_no_run(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="a holds no run"):
        RunDirectory.open(tmp_path / "a")
    with pytest.raises(UserError, match="a holds no run"):
        read_groups([tmp_path / "a"])


def test_huge_json_is_refused_unread(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    os.truncate(tmp_path / "x.json", 2**40)
    with pytest.raises(ValueError, match="larger than"):
        read_json(tmp_path / "x.json")


# Metrics.


def rows(path: Path) -> list:
    return list(read_metrics(path))


@pytest.fixture
def log(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    yield log
    log.close()


def test_a_row_is_one_strict_line_and_is_seen_at_once(log):
    log.append({"step": 1, "loss": jnp.float32(0.1), "text": "a\nb"})
    log.append({"nan": math.nan, "inf": np.float32(-np.inf), "each": np.array([1.0, np.nan])})
    log.append({"step": 3, "a\nb": np.int64(2)})
    lines = log.path.read_text().splitlines()

    def strict(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert [json.loads(line, parse_constant=strict) for line in lines] == [
        {"step": 1, "loss": float(np.float32(0.1)), "text": "a\nb"},
        {"nan": None, "inf": None, "each": [1.0, None]},
        {"step": 3, "a\nb": 2},
    ]
    with pytest.warns(RuntimeWarning, match="left out: 2"):
        assert rows(log.path) == [{"step": 3, "a\nb": 2}]
    assert log.offset() == log.path.stat().st_size


@pytest.mark.parametrize("torn", [b'{"step": 3, "lo', b'{"step": 3}', b"\xff\x00", b""])
def test_a_torn_last_line_is_cut(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + torn)
    log = MetricsLog(path)
    log.append({"step": 3})
    log.close()
    assert rows(path) == [{"step": 1}, {"step": 2}, {"step": 3}]


def test_a_reader_leaves_out_a_line_that_is_still_being_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"st')
    assert rows(tmp_path / "metrics.jsonl") == [{"step": 1}]


def test_a_damaged_row_costs_that_row(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\xff": 2}\n[3]\n' + b"[" * 10**5 + b'\n{"step": 5}\n')
    with pytest.warns(RuntimeWarning, match="damaged rows, left out: 3"):
        assert rows(path) == [{"step": 1}, {"step": 5}]


@pytest.mark.parametrize(
    "entry", ['"x"', "true", "[1]", "{}", "1" + "0" * 400, "-1" + "0" * 400, "1e5", "null", "[[[["]
)
def test_a_row_holds_a_step_and_numbers(tmp_path, entry):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        f'{{"step": 1, "x": {entry}}}\n{{"step": {entry}}}\n{{"\\ud800": 1, "step": 2}}\n'
    )
    with pytest.warns(RuntimeWarning, match=r"left out: [23]"):
        found = rows(path)
    assert found == ([{"step": 1, "x": json.loads(entry)}] if entry in ("1e5", "null") else [])
    with pytest.warns(RuntimeWarning):
        assert list(read_metrics(path, "x")) == [row for row in found if row["x"] is not None]


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    whole, cut = MetricsLog(tmp_path / "whole.jsonl"), MetricsLog(tmp_path / "cut.jsonl")
    for step in range(9):
        whole.append({"step": step})
    for step in range(7):
        if step == 4:
            offset = cut.offset()
        cut.append({"step": step})
    cut.close()
    with open(cut.path, "ab") as file:
        file.write(b'{"st')  # killed while it wrote
    resumed = MetricsLog(cut.path)
    resumed.truncate_to(offset)
    for step in range(4, 9):
        resumed.append({"step": step})
    assert cut.path.read_bytes() == whole.path.read_bytes()
    assert resumed.offset() == whole.offset()


def test_truncation_never_lengthens_the_log_or_splits_a_row(log):
    log.append({"step": 1})
    first = log.offset()
    log.append({"step": 2})
    with pytest.warns(RuntimeWarning, match="some rows are lost"):
        log.truncate_to(10_000)
    assert rows(log.path) == [{"step": 1}, {"step": 2}]
    with pytest.warns(RuntimeWarning, match="some rows are lost"):
        log.truncate_to(first + 3)
    assert rows(log.path) == [{"step": 1}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.truncate_to(first)
        log.truncate_to(0)
    assert log.path.read_bytes() == b""


def test_rows_that_a_full_disk_refuses_are_written_once_there_is_room(log):
    log.append({"step": 0})
    with pytest.warns(RuntimeWarning, match=r"in memory: .*metrics\.jsonl: File too") as caught:
        with file_size_limit(20):
            for step in (1, 2, 3):
                log.append({"step": step})  # begins to fit, then does not
            offset = log.offset()
        assert len(caught) == 1
    assert log.waiting == 3
    assert rows(log.path) == [{"step": 0}]
    log.append({"step": 4})
    assert rows(log.path) == [{"step": step} for step in range(5)]
    assert log.waiting == 0 and log.offset() == log.path.stat().st_size
    log.truncate_to(offset)
    assert rows(log.path) == [{"step": 0}]


def test_a_device_that_takes_nothing_never_raises():
    log = MetricsLog(Path("/dev/full"))
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        log.append({"step": 1})
    log.append({"step": 2})
    assert (log.offset(), log.waiting) == (0, 2)
    with pytest.warns(RuntimeWarning, match="lacks the last 2 rows"):
        log.close()


def test_rows_that_the_disk_did_not_keep_are_before_no_offset(log, monkeypatch):
    log.append({"step": 1})
    kept = log.offset()
    log.append({"step": 2})
    log.append({"step": 3})
    with monkeypatch.context() as patch, pytest.warns(RuntimeWarning, match="No space left"):
        patch.setattr(os, "fsync", refuses)
        assert log.offset() == kept
    assert log.waiting == 2
    log.append({"step": 4})
    assert rows(log.path) == [{"step": step} for step in (1, 2, 3, 4)]
    assert log.offset() == log.path.stat().st_size


def test_a_torn_row_that_cannot_be_removed_is_removed_later(log, monkeypatch):
    log.append({"step": 1})
    with monkeypatch.context() as patch, pytest.warns(RuntimeWarning):
        real_write = os.write
        patch.setattr(os, "write", lambda fd, data: real_write(fd, data[:4]) and refuses())
        patch.setattr(os, "ftruncate", refuses)
        log.append({"step": 2})
        log.append({"step": 3})
        torn = log.offset()
    assert rows(log.path) == [{"step": 1}]
    assert log.path.stat().st_size > torn  # what a kill at this moment would leave
    log.append({"step": 4})
    assert rows(log.path) == [{"step": step} for step in (1, 2, 3, 4)]
