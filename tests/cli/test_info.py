"""`shoal info` and `shoal list`: what exists, and what a training would have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shoal import registry
from shoal.cli.game_input import games, read_game
from shoal.cli.main import run
from shoal.training import presets


def printed(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """What a command that succeeds prints on standard output."""
    assert run(command.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_an_algorithm_is_told_with_its_paper_and_the_meaning_of_each_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = " ".join(printed(capsys, "info mappo").split())
    assert "Yu et al. 2022, arXiv:2103.01955 (MAPPO)" in said
    assert "--algo.minibatches 4 Parts of a pass. (whole number, at least 1)" in said
    assert "--algo.critic global What the critic sees" in said  # not PPO's own default
    assert "preset 'mpe/*': --steps 2000000" in said
    known = json.loads(printed(capsys, "info mappo --json"))
    clip = next(f for f in known["fields"] if f["option"] == "--algo.clip")
    assert clip["default"] == 0.2 and clip["values"] == "positive number"
    assert clip["meaning"].startswith("Largest change of probability ratio")
    assert known["presets"] == presets.tables("mappo")


LATE = """
import equinox as eqx
from shoal.agents.policy_gradient.ppo import PPO, ippo
from shoal.agents.stale import Stale


class Late(Stale):
    algorithm: PPO = eqx.field(default_factory=ippo)
"""


def test_fields_of_an_object_within_are_told_as_they_are_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(LATE)
    monkeypatch.chdir(tmp_path)
    known = json.loads(printed(capsys, "info late.py:Late --json"))
    fields = {f["option"]: f for f in known["fields"]}
    assert fields["--algo.algorithm.epochs"]["default"] == 4
    assert fields["--algo.algorithm.epochs"]["meaning"] == "Passes over each rollout."
    assert fields["--algo.lag"]["meaning"] == "Updates that what acts is behind."


def test_an_environment_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    known = json.loads(printed(capsys, "info mpe/simple_tag --json"))
    assert [agent["team"] for agent in known["agents"]] == [0, 0, 0, 1]
    assert known["rival_teams"] == ["adversary", "agent"] and known["horizon"] == 25
    assert known["metrics"]["caught"] == "max"
    assert all(field["meaning"] for field in known["fields"])
    assert "--env.num-good" in printed(capsys, "info mpe/simple_tag")


def settings(capsys: pytest.CaptureFixture[str], names: str) -> dict[str, tuple]:
    known = json.loads(printed(capsys, f"info {names} --json"))
    return {s["option"]: (s["value"], s["from"]) for s in known["settings"]}


def test_what_a_training_would_have_and_where_it_is_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = settings(capsys, "mappo mpe/simple_reference")
    assert found["--algo.learning-rate"] == (0.005, "preset 'mpe/simple_reference'")
    assert found["--algo.discount"] == (0.8, "preset 'mpe/simple_reference'")
    assert found["--steps"] == (2_000_000, "preset 'mpe/*'")
    assert found["--num-envs"] == (128, "preset 'default'")
    assert found["--algo.clip"] == (0.2, "default")
    assert found["--env.dt"] == (0.1, "mpe/simple_reference")
    text = printed(capsys, "info mappo mpe/simple_reference")
    row = next(line for line in text.splitlines() if "--algo.learning-rate" in line)
    assert row.split() == ["--algo.learning-rate", "0.005", "preset", "'mpe/simple_reference'"]


def test_worlds_that_processes_step_have_settings_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = settings(capsys, "ippo gymnasium:CartPole-v1")
    assert found["--eval-episodes"] == (20, "default where processes step environments")
    assert found["--num-envs"] == (8, "preset '*:CartPole-v1'")


def test_what_does_not_fit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "vdn", "coop/allocation"]) == 2
    assert "discrete actions" in capsys.readouterr().err


def names(capsys: pytest.CaptureFixture[str], command: str) -> list[str]:
    """The names that `shoal list` shows, in print and as JSON."""
    (found,) = json.loads(printed(capsys, f"list {command} --json")).values()
    lines = printed(capsys, f"list {command}").splitlines()
    assert all(any(line.startswith(f"  {name}") for line in lines) for name in found)
    return found


def test_games_that_are_listed_can_be_solved(capsys: pytest.CaptureFixture[str]) -> None:
    found = names(capsys, "games")
    assert {"chicken", "kuhn", "blotto"} <= set(found)
    for name in ("chicken", "kuhn", "pigou"):
        read_game(name)
    assert found == [*games()]


def test_suites_are_listed_and_what_they_have(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(capsys, "suites") == [*registry.SUITES]
    assert "|".join(registry.SUITES) in printed(capsys, "list environments").splitlines()[-1]
    pytest.importorskip("gymnasium")
    found = names(capsys, "environments gymnasium")
    assert "gymnasium:CartPole-v1" in found
    registry.make("gymnasium:CartPole-v1")


HIDDEN = """
import importlib.machinery
import importlib.util
import sys

hidden = {"gymnasium", "pettingzoo", "mpe2", "gymnasium_robotics"}
hidden |= {"jaxmarl", "jumanji", "gymnax", "mujoco_playground"}

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in hidden:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hide())
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in hidden else there(name, *rest)

from shoal import registry
from shoal.cli.main import run

for suite in registry.SUITES:
    assert run(["list", "environments", suite]) == 2
"""


def test_a_suite_that_is_missing_is_told_with_its_install_line() -> None:
    ended = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    told = [line.partition(" is not installed: ")[2] for line in ended.stderr.splitlines()]
    assert told == [f"pip install 'shoal[{suite}]'" for suite in registry.SUITES]


def test_presets_are_listed_by_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    assert names(capsys, "presets mappo") == [*presets.tables("mappo")]
    (found,) = json.loads(printed(capsys, "list presets --json")).values()
    assert "mappo mpe/*" in found


def test_without_an_algorithm_presets_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    listed = printed(capsys, "list presets")
    counts = dict(line.split()[:2] for line in listed.partition("\n\n")[0].splitlines())
    assert counts == {a: str(len(t)) for a in registry.ALGORITHMS if (t := presets.tables(a))}
    assert printed(capsys, "info") == listed
