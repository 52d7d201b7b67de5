"""A cluster of a run's own: nobody else reaches it, and nothing of it outlives the run."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from shoal.distributed import reaper
from shoal.distributed.reaper import MARK

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray")
PATIENCE = 180.0  # seconds, on a machine that is busy with something else
LONG = "--steps 4_000_000 --eval-episodes 2 --num-envs 32 --pictures False --out run"


@pytest.fixture
def place():
    """A folder whose path is short, for what a run leaves: sockets' paths are."""
    folder = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))
    (folder / "home").mkdir()
    (folder / "tmp").mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def shoal_of(place: Path, words: str, **env: str):
    """The command, with a home and a folder for temporary files of its own."""
    env = {**os.environ, "HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), **env}
    command = [sys.executable, "-m", "shoal", *words.split()]
    with open(place / "said", "wb") as said:
        run = subprocess.Popen(
            command, cwd=place, env=env, stdout=said, stderr=said, start_new_session=True
        )
    try:
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def wait_for(what, run: subprocess.Popen | None = None):
    """What `what` gives, once that is something."""
    until = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < until, "it takes too long"
        assert run is None or run.poll() is None, "the run has ended"
        time.sleep(0.1)
    return found


def rows(place: Path) -> list[dict]:
    path = place / "run" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def marked(place: Path) -> list[Path]:
    """The processes, under /proc, of clusters whose folders are there: by their environment, which
    Ray's agents write their title over, or by the files that they have open."""
    found, mark, folders = [], f"{MARK}={place}/".encode(), f"{place}/tmp/shoal-ray-"
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            holds = any(name.startswith(folders) for name in opened(process))
            if holds or mark in (process / "environ").read_bytes():
                found.append(process)
    return found


def opened(process: Path) -> list[str]:
    """What a process has open."""
    found = []
    for file in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(file))
    return found


def listening(processes: list[Path]) -> list[str]:
    """The addresses, in hexadecimal, of the sockets at which they listen."""
    at = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                at[f"socket:[{words[9]}]"] = words[1].partition(":")[0]
    files = [file for process in processes for file in opened(process)]
    return [at[file] for file in files if file in at]


def nothing_is_left(place: Path) -> bool:
    return not (marked(place) or list((place / "tmp").glob("shoal-*")) or shared() - BEFORE)


def shared() -> set[Path]:
    """What Ray has in shared memory."""
    return {p for p in Path("/dev/shm").glob("*") if "plasma" in p.name or "ray" in p.name}


BEFORE = shared()
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_a_run_is_reached_by_nobody_and_leaves_nothing(place):
    """While it trains; after SIGTERM, from which it goes on; and after `kill -9`."""
    with shoal_of(place, f"train a3c mpe/simple_spread --workers 2 {LONG}") as run:
        wait_for(lambda: rows(place), run)
        processes = marked(place)
        sockets = listening([*processes, Path("/proc", str(run.pid))])
        assert len(processes) >= 5 and len(sockets) >= 5
        assert set(sockets) <= LOOPBACK
        (folder,) = (place / "tmp").glob("shoal-ray-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "token").stat().st_mode & 0o777 == 0o600
        assert not list((place / "home").glob(".ray*"))
        run.send_signal(signal.SIGTERM)
        assert run.wait(PATIENCE) == 1
        *_, last = (place / "said").read_text().splitlines()
        assert last.startswith("shoal: stopped by SIGTERM") and "shoal resume run" in last
        wait_for(lambda: nothing_is_left(place))
    seen = len(rows(place))
    with shoal_of(place, "resume run --workers 4") as run:
        wait_for(lambda: len(rows(place)) > seen, run)
        assert rows(place)[-1]["workers"] > 0
        run.kill()
        run.wait()
        wait_for(lambda: nothing_is_left(place))


def test_who_has_ray_s_title_for_an_environment_is_found_and_nobody_else(tmp_path):
    """Agents write it over the mark, or do not: the order of their environment is chance."""
    (tmp_path / "log").touch()
    hold = ["bash", "-c", 'exec -a "$0" sleep 600 < log']
    held = [subprocess.Popen([*hold, title], cwd=tmp_path) for title in ("ray::Agent", "tail")]
    try:
        wait_for(lambda: reaper.marked(str(tmp_path)))
        other = Path("/proc", str(held[1].pid), "cmdline")
        wait_for(lambda: other.read_bytes().startswith(b"tail"))
        assert reaper.marked(str(tmp_path)) == [held[0].pid]
    finally:
        for process in held:
            process.kill()
            process.wait()


def test_ctrl_c_while_the_cluster_starts_leaves_nothing(place):
    with shoal_of(place, f"train a3c mpe/simple_spread --workers 2 {LONG}") as run:
        wait_for(lambda: marked(place), run)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(PATIENCE) == 1
        said = (place / "said").read_text().splitlines()
        assert len([line for line in said if " · after " not in line]) <= 2  # stages apart
        wait_for(lambda: nothing_is_left(place))


NODES = """
import sys
from ray.cluster_utils import Cluster
about = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args=about | {"include_dashboard": False})
node = cluster.add_node(**about)
print(cluster.address, flush=True)
for line in sys.stdin:
    if line == "remove\\n":
        cluster.remove_node(node)
    else:
        cluster.add_node(**about)
    print(flush=True)
cluster.shutdown()
"""


@contextlib.contextmanager
def two_nodes(token: Path):
    """A cluster of two nodes, and what removes and adds one."""
    token.write_text("0123456789abcdef" * 2)
    env = os.environ | TOKEN | {"RAY_AUTH_TOKEN_PATH": str(token)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", NODES], env=env, text=True, **pipes) as nodes:

        def tell(word: str) -> None:
            nodes.stdin.write(f"{word}\n")
            nodes.stdin.flush()
            nodes.stdout.readline()

        yield nodes.stdout.readline().strip(), tell


TOKEN = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}


def test_a_cluster_elsewhere_may_shrink_and_grow(place):
    """And lets in only who has its token, and room for all its workers."""
    token, other = place / "token", place / "other"
    other.write_text("another one, of as many letters.")
    with two_nodes(token) as (address, tell):
        words = f"train a3c mpe/simple_spread --workers 2 {LONG} --address {address}"
        for wrong, path, why in (
            (words, other, "does not let this run in: RPC error: InvalidAuthToken"),
            (f"{words} --workers 4", token, "the run needs 4 CPUs"),
        ):
            with shoal_of(place, wrong, **TOKEN, RAY_AUTH_TOKEN_PATH=str(path)) as run:
                assert run.wait(PATIENCE) == 2
            (line,) = (place / "said").read_text().splitlines()
            assert line.startswith("shoal: ") and why in line and not (place / "run").exists()
        with shoal_of(place, words, **TOKEN, RAY_AUTH_TOKEN_PATH=str(token)) as run:
            workers = lambda count: rows(place) and round(rows(place)[-1]["workers"]) == count  # noqa: E731
            wait_for(lambda: workers(2), run)
            tell("remove")
            wait_for(lambda: workers(1), run)
            tell("add")
            wait_for(lambda: workers(2), run)
            run.send_signal(signal.SIGTERM)
            assert run.wait(PATIENCE) == 1
    assert "died: it is replaced" in (place / "said").read_text()
