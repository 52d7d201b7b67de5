"""Workers: what cannot be is told in a line, before anything is written."""

import dataclasses
import json
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import shoal
from shoal.cli.main import run
from shoal.core.errors import UserError
from shoal.distributed import cluster
from shoal.training import train as training

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray")
SPREAD = ["mpe/simple_spread", "--steps", "100_000", "--eval-episodes", "2", "--pictures", "False"]

EARLY = [  # told from the words alone
    ("a3c --address nowhere", "address is 'nowhere', expected HOST:PORT"),
    ("mappo --address 127.0.0.1:1", "no workers there: --workers N"),
    ("a2c --server sync", "server is sync, and there are no workers that it could serve"),
    ("a3c --workers 0", "server is async, and there are no workers"),
    ("a3c --server sync --backups 4", "backups is 4, expected fewer than the 4 workers"),
    ("a3c --backups 1", "expected fewer than the 4 workers, and --server sync"),
    ("impala --workers 2 --backups 1", "and --server sync"),
    ("a3c --server sync --coordinators 3", "expected a number that divides the 4 workers"),
    ("impala --coordinators 1", "a number that divides the 0 workers"),
    ("impala --workers 2 --servers 3", "servers is 3, and there is no server of parameters"),
    ("a3c --server sync --coordinators 2 --servers 2", "for one server, and servers is 2"),
    ("a3c --coordinators 2", "and --server sync without backups, or no server"),
    ("impala --seeds 2 --workers 2", "workers train one member, and seeds and sweeps make 2"),
    ("a3c --deterministic", "a deterministic server waits for everyone: --server sync"),
]
LATE = [
    (
        "vdn --server ssp --workers 2",
        "vdn has no gradients that a server could take: use one",
    ),
    ("openai_es --server sync --workers 2", "openai_es has no gradients that a server could take"),
    ("a3c --servers 99", "servers is 99, expected at most the 12 arrays of parameters"),
    ("openai_es --workers 2 --coordinators 1", "coordinators could spare it none"),
    ("impala --workers 3 --num-envs 4", "expected a multiple of the 3 workers, such as 6"),
    ("impala --workers 2 --algo.learning-rate 1e-4,1e-3", "seeds and sweeps make 2"),
    ("impala --workers 2 --address 127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
]


def command(words: str, out: Path) -> list[str]:
    algorithm, *options = words.split()
    return ["train", algorithm, *SPREAD, "--out", str(out), *options]


def test_what_words_tell_is_told_without_jax(tmp_path: Path) -> None:
    script = (
        "import sys; from shoal.cli.main import run\n"
        "for words in sys.argv[1:]: print(run(words.split()))\n"
        "sys.modules['ray'] = None; print(run(sys.argv[-1].split()[:-2]))\n"
        "print([m for m in ('jax', 'numpy', 'equinox', 'tyro') if m in sys.modules])"
    )
    words = [" ".join(command(words, tmp_path / "run")) for words, _ in (*EARLY, EARLY[5])]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["2"] * (len(words) + 1) + ["[]"]
    *lines, _, last = done.stderr.splitlines()
    for line, (_, said) in zip(lines, EARLY, strict=True):
        assert line.startswith("shoal: ") and said in line
    assert last == "shoal: Ray is not installed: pip install 'shoal[ray]'"
    assert not list(tmp_path.iterdir())


def refused(words: list[str], said: str, capsys, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    assert run(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("shoal: ") and said in line
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(("words", "said"), LATE)
def test_what_cannot_be_is_told_in_a_line_and_leaves_nothing(words, said, tmp_path, capsys):
    refused(command(words, tmp_path / "run"), said, capsys, tmp_path)


def test_shared_memory_that_is_too_small_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "_free_memory", lambda: 64_000_000)
    words = command("impala --workers 2", tmp_path / "run")
    refused(words, "/dev/shm has 64 MB left and 80 MB are needed", capsys, tmp_path)


def test_an_environment_that_workers_cannot_make_is_told(tmp_path):
    class Own(type(shoal.make("mpe/simple"))):
        @property
        def spec(self):
            return dataclasses.replace(super().spec, name="own")

    with pytest.raises(UserError, match="own is an object without an address"):
        shoal.train("impala", Own(), workers=2, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_goes_on_elsewhere_only_as_it_may(tmp_path, capsys, monkeypatch):
    """What is refused changes nothing, not even the end of the run."""
    monkeypatch.setattr(training, "prepare", lambda deterministic: None)  # JAX has started
    name = tmp_path / "run"
    shoal.train("impala", "mpe/simple", total_steps=100, num_envs=4, unroll=5, out=name)
    config = json.loads((name / "config.json").read_text())
    for changes, words, said in (
        ({}, "--workers 3", "it cannot gain its first"),
        ({}, "--address 127.0.0.1:1", "no workers there"),
        ({"workers": 2, "deterministic": True}, "--workers 3", "it goes on with its 2 workers"),
        ({"workers": 2}, "--workers 3", "expected a multiple of the 3 workers"),
        ({"workers": 2}, "--address 127.0.0.1:1", "no Ray cluster answers"),
    ):
        (name / "config.json").write_text(json.dumps(config | changes))
        kept = {p: p.read_bytes() for p in name.rglob("*") if p.is_file() and p.name != "lock"}
        refused(["resume", str(name), "--steps", "200", *words.split()], said, capsys, tmp_path)
        assert all(p.read_bytes() == content for p, content in kept.items())


def test_who_listens_and_is_no_cluster_is_given_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        words = command(f"impala --workers 2 --address {address}", tmp_path / "run")
        refused(words, f"no Ray cluster answers at {address}: 1 s went by", capsys, tmp_path)
