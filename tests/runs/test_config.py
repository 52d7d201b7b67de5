"""A run's configuration, and files that say they are one."""

import json
import math
import random

import pytest

from shoal.core.errors import UserError
from shoal.runs.config import Config
from shoal.runs.run_directory import RunDirectory

GOOD = {
    "algorithm": "mappo",
    "algorithm_fields": {"hidden": [64, 64], "rate": 0.1, "none": None},
    "environment": "mpe/simple",
    "environment_fields": {},
    "total_steps": 1000,
    "num_envs": 8,
    "unroll": 5,
    "sweep": {"rate": [0.1, 1]},
    "seeds": 2,
}


def test_a_configuration_comes_back():
    config = Config.from_json(GOOD | {"versions": {"jax": "0.10.2"}})
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert [m["seed"] for m in config.members()] == [0, 1, 0, 1]


def test_what_changes_no_parameter_makes_no_other_run():
    config = Config.from_json(GOOD)
    for same in ({"pictures": False}, {"total_steps": 2000}):
        assert Config.from_json(GOOD | same).hash == config.hash
    assert Config.from_json(GOOD | {"seed": 1}).hash != config.hash


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("total_steps", "many", "config.json.total_steps is 'many', expected a whole number"),
        ("total_steps", None, "total_steps is None, expected a whole number"),
        ("total_steps", 10**400, "total_steps is about 10^400, expected at most 9007199254740992"),
        ("total_steps", True, "total_steps is True, expected a whole number"),
        ("num_envs", 8.5, "num_envs is 8.5, expected a whole number"),
        ("seed", "0", "seed is '0', expected a whole number"),
        ("seeds", 10**9, "make 2000000000 members, expected 1 to 1,000,000"),
        ("sweep", [1], "sweep is [1], expected an object"),
        ("sweep", {"rate": 1}, "sweep is {'rate': 1}, expected an object"),
        ("sweep", {"rate": []}, "make 0 members"),
        ("algorithm_fields", [1], "algorithm_fields is [1], expected an object"),
        (
            "num_envs",
            10**9,
            "num_envs times unroll is 5,000,000,000, expected at most 2",
        ),
        ("environment", None, "environment is None, expected text"),
        ("devices", 0, "devices is 0, expected at least 1"),
        ("checkpoint_seconds", "x", "checkpoint_seconds is 'x', expected a number"),
    ],
)
def test_what_is_no_configuration_is_refused_in_a_line(tmp_path, name, value, said):
    (tmp_path / "config.json").write_text(json.dumps(GOOD | {name: value}))
    with pytest.raises(UserError) as error:
        RunDirectory.open(tmp_path).read_config()
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_missing_setting_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"algorithm": "mappo", "unroll": 5}))
    with pytest.raises(UserError, match="it lacks algorithm_fields, environment, environment_fi"):
        RunDirectory.open(tmp_path).read_config()


def test_whatever_a_file_says_is_read_or_refused_in_a_line(tmp_path):
    """Values of every kind in the place of every setting, and bytes that were changed."""
    rng, path, refused = random.Random(0), tmp_path / "config.json", 0
    values = [None, True, -1, 0, 1e300, math.nan, 10**30, "", "x" * 10**5, [], [[]], {}, {"a": {}}]
    texts = [json.dumps(GOOD | {name: value}) for name in GOOD for value in values]
    whole = bytearray(json.dumps(GOOD).encode())
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        texts.append(damaged[: rng.choice([len(whole), rng.randrange(len(whole))])])
    for text in texts:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            Config.from_json(RunDirectory.open(tmp_path).read_config()).members()
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1000
    assert refused > 200
