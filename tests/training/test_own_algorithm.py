"""Algorithms that are passed as objects: trained, resumed and loaded by where their class is."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import shoal
from shoal.agents.policy_gradient.ppo import PPO
from shoal.core.errors import UserError
from shoal.core.limits import Positive
from shoal.runs.run_directory import free_directory
from shoal.training import run as runs

SETTINGS = dict(total_steps=200, num_envs=8, unroll=5, evaluations=1, eval_episodes=4)
SMALL = dict(hidden=(8,), minibatches=2, epochs=1)


class Mine(PPO):
    """One field more."""

    bonus: Positive = 0.5


def test_an_object_is_trained_swept_and_loaded(tmp_path: Path) -> None:
    mine = Mine(**SMALL, bonus=0.25)
    sweep = {"bonus": [0.25, 2.0]}
    run = shoal.train(mine, "mpe/simple", out=tmp_path / "x", sweep=sweep, clip=0.3, **SETTINGS)
    config = json.loads((run.directory / "config.json").read_text())
    assert config["algorithm"] == "test_own_algorithm:Mine"
    fields = config["algorithm_fields"]
    assert (fields["bonus"], fields["clip"], fields["hidden"]) == (0.25, 0.3, [8])
    assert (config["num_envs"], config["preset"]) == (8, "auto")
    loaded = runs.load(run.directory)
    for a, b in zip(jax.tree.leaves(loaded.policies), jax.tree.leaves(run.policies), strict=True):
        np.testing.assert_array_equal(a, b)


def test_new_runs_of_an_object_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_directory("test_own_algorithm:Mine", "mpe/simple") == Path("runs/mine_simple_0")


SCRIPT = """
import sys
import shoal
from shoal.agents.policy_gradient.ppo import PPO

class Ours(PPO):
    pass

if __name__ == "__main__":
    print("trained")
    shoal.train(Ours(hidden=(8,), minibatches=2, epochs=1), "mpe/simple", out=sys.argv[1],
        total_steps=200, num_envs=8, unroll=5, evaluations=1, eval_episodes=4)
    print(type(shoal.load(sys.argv[1]).policy).__name__)
"""


def test_a_class_of_a_script_is_found_in_its_file(tmp_path: Path) -> None:
    file, out = tmp_path / "script.py", tmp_path / "run"
    file.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(file), str(out)], capture_output=True, text=True)
    assert done.stdout == "trained\nActor\n", done.stderr
    config = json.loads((out / "config.json").read_text())
    assert config["algorithm"] == f"{file}:Ours"
    report = runs.evaluate_run(runs.load(out), episodes=3)
    assert report["algorithm"] == f"{file}:Ours"


def test_observations_are_normalised_by_a_field_of_the_algorithm(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        shoal.train("jal", "mpe/simple", out=tmp_path / "x", normalise_observations=True)
    field = "normalise_observations"
    assert str(error.value) == f"jal cannot normalise observations: it has no field {field}"
    assert not (tmp_path / "x").exists()

    run = shoal.train(
        Mine(**SMALL), "mpe/simple", out=tmp_path / "y", normalise_observations=True, **SETTINGS
    )
    assert run.config.algorithm_fields[field] is True
