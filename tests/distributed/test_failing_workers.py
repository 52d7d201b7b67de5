"""Workers whose code goes wrong: said in a line, and replaced where a process is gone."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from shoal.cli.main import run
from shoal.distributed import crew
from shoal.distributed.cluster import cluster

WORLDS = Path(__file__).with_name("cluster_worlds.py")
OWN = """
import jax
import shoal
from shoal.envs.particle.simple import Simple

class Own(Simple):
    pass

import sys
if "ray" in sys.modules and "default_worker" in sys.argv[0]:
    raise RuntimeError("not here")
"""


@pytest.fixture(scope="module", autouse=True)
def ray():
    if find_spec("ray") is None:
        pytest.skip("needs ray")
    with cluster("", 2, 0) as ray:
        yield ray


def said(words: str, out: Path, capsys) -> tuple[int, str]:
    """The exit code, and the last line."""
    command = f"train impala {words} --workers 2 --steps 100_000 --num-envs 4 --unroll 10"
    code = run([*command.split(), "--out", str(out), "--eval-episodes", "2"])
    return code, capsys.readouterr().err.splitlines()[-1]


def test_what_a_worker_raises_says_what_and_where(tmp_path, capsys):
    words = f"{WORLDS}:Raising --env.horizon 10 --env.on-failure stop"
    code, line = said(words, tmp_path / "run", capsys)
    assert code == 1
    assert "raised ZeroDivisionError: no more of that" in line and "cluster_worlds.py" in line


def test_a_worker_that_cannot_be_made_says_why(tmp_path, capsys):
    (tmp_path / "own.py").write_text(OWN)
    code, line = said(f"{tmp_path}/own.py:Own", tmp_path / "run", capsys)
    assert code == 2  # a mistake in a file of the user's, as it is without workers
    assert line.endswith("RuntimeError: not here") and "own.py, line 11" in line


def test_processes_that_end_are_replaced_within_a_budget(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(crew, "RESTARTS", 2)
    words = f"{WORLDS}:Exiting --env.horizon 10"
    code, line = said(words, tmp_path / "run", capsys)
    assert code == 1
    assert line == "shoal: workers were replaced 4 times in an hour: the last died"
