"""Child processes: what they find, how they end, and that they never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shoal.core import child

OBEDIENT = "child.settle(0, heeds_signals=True)"
DEAF = "child.settle(0)"
BUSY = "while True: pass"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts a child of these lines and waits until it has settled."""
    monkeypatch.syspath_prepend(tmp_path)
    started: list[child.Child] = []

    def run(*lines: str) -> child.Child:
        text = ["import os, signal, time", "from shoal.core import child", *lines]
        (tmp_path / "a_child.py").write_text("\n".join(text))
        pipe = subprocess.PIPE
        started.append(child.start("a_child", stdin=pipe, stdout=pipe, start_new_session=True))
        return started[-1]

    yield run
    for each in started:
        child.end(each)


def line(of: child.Child) -> str:
    assert of.stdout is not None
    return of.stdout.readline().decode().strip()


def soon(seconds: float) -> float:
    return time.monotonic() + seconds


def test_a_child_ends_by_itself(start):
    code = child.end(start(DEAF, "os._exit(3)"), soon(60.0))
    assert code == 3 and child.fate(code) == "exit code 3"


def test_a_child_that_heeds_a_signal_is_not_killed(start):
    obedient = start(OBEDIENT, "print('here', flush=True)", "time.sleep(600)")
    assert line(obedient) == "here"
    child.stop([obedient], grace=60.0)
    assert obedient.returncode == -signal.SIGTERM


def test_children_that_ignore_a_signal_are_killed_after_one_grace_for_all(start):
    deaf = [start(DEAF, "print('here', flush=True)", BUSY) for _ in range(2)]
    assert [line(each) for each in deaf] == ["here", "here"]
    before = time.monotonic()
    child.stop(deaf, grace=0.5)
    assert time.monotonic() - before >= 0.5
    assert [child.fate(each.returncode) for each in deaf] == ["killed by signal 9"] * 2


def test_a_signal_to_the_whole_group_does_not_end_a_child_that_still_starts(start):
    deaf = start("time.sleep(0.5)", DEAF, "print('here', flush=True)")
    for number in (signal.SIGINT, signal.SIGTERM):
        deaf.send_signal(number)
    assert line(deaf) == "here" and child.end(deaf, soon(60.0)) == 0
    obedient = start("time.sleep(0.5)", OBEDIENT, "time.sleep(600)")
    obedient.send_signal(signal.SIGTERM)
    assert child.end(obedient, soon(60.0)) == -signal.SIGTERM  # once it has settled


def test_a_child_has_the_users_path_and_finds_what_its_parent_does(start, monkeypatch, tmp_path):
    (tmp_path / "made_elsewhere.py").write_text("SIZE = 4\n")
    show = "print(made_elsewhere.SIZE, sorted(k for k in os.environ if 'PYTHONPATH' in k))"
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert line(start(DEAF, "import made_elsewhere", show, "")) == "4 []"
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")
    assert line(start(DEAF, "print(os.environ['PYTHONPATH'])")) == "/of/the/user"


def test_a_child_needs_no_jax(start):
    show = "import sys; print({'jax', 'numpy'} & {*sys.modules})"
    assert line(start(DEAF, show)) == "set()"


PARENT = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from shoal.core import child
one = child.start("a_child", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
one.stdin.write(b"not read")
one.stdin.flush()
one.stdout.readline()
print(one.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("grace", [0.0, 1.0])
def test_a_busy_child_ends_when_its_parent_is_killed(grace, tmp_path):
    lines = ["from shoal.core import child", f"child.settle(0, {grace})", "print(flush=True)", BUSY]
    (tmp_path / "a_child.py").write_text("\n".join(lines))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        place = Path(f"/proc/{int(parent.stdout.readline())}")
        parent.wait()
    before = time.monotonic()
    while place.exists() and time.monotonic() - before < 60:
        time.sleep(0.01)
    assert not place.exists() and parent.returncode == -signal.SIGKILL
    assert time.monotonic() - before >= 0.8 * grace
