"""Several processes are one run: the same numbers, whatever becomes of a rank, and nothing left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

import shoal
from shoal.training.trainer import WALL_CLOCK

SMALL = {
    "total_steps": 400, "num_envs": 8, "unroll": 5, "evaluations": 2, "eval_episodes": 8,
    "hidden": (8,), "minibatches": 2, "epochs": 1,
}  # fmt: skip
TINY = "--num-envs 8 --unroll 5 --evaluations 2 --eval-episodes 8 --pictures False --algo.hidden 8"
TWO = f"{TINY} --algo.minibatches 2 --algo.epochs 1 --processes 2"
LONG = f"train ippo mpe/simple --steps 4000 {TWO} --deterministic"


def start(words: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shoal", *words.split(), *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


def finish(process: subprocess.Popen[str]) -> str:
    """What a command said, which must have ended well."""
    out, said = process.communicate()
    assert process.returncode == 0, said
    return out + said


def rows(out: Path) -> list[dict]:
    path = out / "metrics.jsonl"
    text = path.read_text() if path.is_file() else ""
    found = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in found]


def ranks(place: str) -> dict[int, int]:
    """The processes of the ranks whose command names `place`, by rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if "shoal.cli.rank" in words and any(place in word for word in words):
            found[json.loads(words[-2])["rank"]] = int(folder.name)
    return found


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not true():
        time.sleep(0.02)


def strike(process: subprocess.Popen[str], out: Path, rank: int, number: int) -> None:
    """Sends a signal to a rank in the midst of training, and waits until it is another process."""
    done = len(rows(out))
    until(lambda: len(rows(out)) != done, process)  # it goes on from a checkpoint: fewer
    done = len(rows(out))
    until(lambda: len(rows(out)) > done + 2 and len(ranks(str(out))) == 2, process)
    struck = ranks(str(out))[rank]
    os.kill(struck, number)
    until(lambda: ranks(str(out)).get(rank, struck) != struck, process)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    finish(start(LONG, "--out", str(out)))
    assert not ranks(str(out))
    return out


@pytest.mark.parametrize("seeds", [1, 2])
def test_two_processes_learn_what_two_devices_learn(tmp_path: Path, seeds: int) -> None:
    """They share the environments of one member, or have a member each."""
    words = f"train ippo mpe/simple_spread --steps 400 {TWO} --seeds {seeds}"
    gang = start(words, "--out", str(tmp_path / "gang"))
    settings = SMALL | {"seeds": seeds, "devices": 2}
    one = shoal.train("ippo", "mpe/simple_spread", out=tmp_path / "one", **settings)
    finish(gang)
    two = shoal.load(tmp_path / "gang")
    assert one.config.devices == two.config.devices == 3 - seeds
    assert json.loads((tmp_path / "gang" / "config.json").read_text())["processes"] == 2
    for found, expected in zip(*(jax.tree.leaves(run.policies) for run in (two, one)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert [row["episodes"] for row in two.metrics] == [row["episodes"] for row in one.metrics]


def test_whatever_becomes_of_a_rank_the_rows_are_the_same(
    undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "struck"
    process = start(LONG, "--out", str(out), "--deadline", "6")
    until(lambda: len(rows(out)) > 5, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 1 and f"continue with: shoal resume {out}" in said
    assert not ranks(str(out)) and 0 < len(rows(out)) < len(rows(undisturbed))
    process = start(f"resume {out} --pictures False")
    strike(process, out, 1, signal.SIGKILL)
    strike(process, out, 0, signal.SIGKILL)
    strike(process, out, 1, signal.SIGSTOP)
    said = finish(process)
    for words in ("rank 1 was killed by signal 9", "rank 0 was killed by signal 9"):
        assert f"shoal: {words}; going on from the last checkpoint" in said
    assert "did not answer within 6 s" in said
    assert rows(out) == rows(undisturbed)
    assert (out / "eval.json").read_bytes() == (undisturbed / "eval.json").read_bytes()
    assert not ranks(str(out))


def test_no_rank_outlives_its_supervisor(tmp_path: Path) -> None:
    out = tmp_path / "orphans"
    process = start(LONG.replace("4000", "4000000"), "--out", str(out))
    until(lambda: len(rows(out)) > 0, process)
    process.kill()
    process.wait()
    patience = time.monotonic() + 60
    while (left := ranks(str(out))) and time.monotonic() < patience:
        time.sleep(0.02)
    for rank in left.values():
        os.kill(rank, signal.SIGKILL)
    assert not left


def test_a_deterministic_run_keeps_to_its_processes(undisturbed: Path) -> None:
    config = undisturbed / "config.json"
    process = start(f"resume {undisturbed} --processes 1 --steps 10000")
    _, said = process.communicate()
    assert process.returncode == 2
    assert said == "shoal: the run is deterministic in 2 processes: keep to them\n"
    assert json.loads(config.read_text())["processes"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--rank 0", "--rank is of a gang: say with --processes how many there are"),
        ("--processes 2 --rank 0", "--coordinator and --rank go together"),
        ("--processes 2 --rank 2 --coordinator a:1", "rank is 2, expected 0 to 1"),
        ("--processes 2 --rank 1 --coordinator here", "coordinator is 'here', expected HOST:PORT"),
        ("--processes 2 --devices 3", "devices is 3, expected a multiple of processes, which is 2"),
        ("--processes 2 --devices 4 --deterministic", "a deterministic process has one"),
        ("--processes 2 --workers 2", "take one of them"),
        ("--processes 0", "--processes is 0, expected at least 1"),
    ],
)
def test_mistakes_are_told_before_jax(
    words: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal.cli.main import run

    for module in ("jax", "jaxlib"):
        monkeypatch.setitem(sys.modules, module, None)
    assert run(f"train ippo mpe/simple_spread {words}".split()) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_worlds_of_the_host_are_not_shared_out(capsys: pytest.CaptureFixture[str]) -> None:
    from shoal.cli.main import run

    assert run(["train", "ppo", "gymnasium:CartPole-v1", "--processes", "2"]) == 2
    assert "leave out --processes, and say --env.workers N" in capsys.readouterr().err
