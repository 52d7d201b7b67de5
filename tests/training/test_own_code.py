"""Which code a run's configuration names."""

from pathlib import Path

import pytest

from shoal.core.errors import UserError
from shoal.runs.config import Config
from shoal.training.own_code import admit


def config(algorithm: str, environment: str, **fields: object) -> Config:
    return Config(algorithm, dict(fields), environment, {}, total_steps=1, num_envs=1, unroll=1)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("mpe/simple", None),
        ("jumanji:Maze", None),
        ("gymnasium:CartPole-v1", None),
        ("shoal.envs.particle.simple:Simple", None),
        ("worlds:Fish", "worlds"),
        ("worlds:make_fish", "worlds"),
        ("my.worlds:Fish.Small", "my.worlds"),
    ],
)
def test_whose_code_is_run_is_said(tmp_path: Path, capsys, name: str, code: str | None) -> None:
    for asked in (config("ippo", name), config("ippo", "mpe/simple", torso=[{"type": name}])):
        admit(asked, tmp_path, environment=True, trust=False)
        said = capsys.readouterr().err
        assert said == (
            f"shoal: runs {code}, code that {tmp_path}/config.json names\n" if code else ""
        )
    admit(config("ippo", name), tmp_path, environment=False, trust=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("file", ["worlds.py", "worlds/__init__.py"])
def test_a_module_that_came_with_the_run_needs_trust(tmp_path: Path, capsys, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    with pytest.raises(UserError, match="code run that came with it, worlds: read it"):
        admit(config("ippo", "worlds:make"), tmp_path, environment=True, trust=False)
    admit(config("ippo", "worlds:make"), tmp_path, environment=True, trust=True)
    assert "runs worlds, code that" in capsys.readouterr().err
