"""Files of settings, and those that are like another's."""

import dataclasses
from types import SimpleNamespace

import pytest

from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.registry import ALGORITHMS, make_algorithm
from shoal.training import presets


def test_a_file_that_is_like_another_adds_to_its_tables(tmp_path, monkeypatch):
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "mappo.toml").write_text(
        "[default]\nnum_envs = 8\nunroll = 5\n[default.algo]\nclip = 0.1\ndiscount = 0.9\n"
        '["mpe/*".algo]\nepochs = 2\n'
    )
    (folder / "happo.toml").write_text(
        'like = "mappo"\n[default]\nunroll = 7\n[default.algo]\nclip = 0.3\n'
        '["game/*"]\nunroll = 3\n'
    )
    monkeypatch.setattr(presets, "resources", SimpleNamespace(files=lambda _: tmp_path))
    assert presets.tables("happo") == {
        "default": {"num_envs": 8, "unroll": 7, "algo": {"clip": 0.3, "discount": 0.9}},
        "mpe/*": {"algo": {"epochs": 2}},
        "game/*": {"unroll": 3},
    }
    assert presets.tables("mappo")["default"]["unroll"] == 5
    assert presets.tables("a2c") == {}  # no file


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_table_is_of_an_algorithm_that_can_be_trained(name):
    discrete = EnvSpec("any", ("agent",), (3,), Discrete((2,)), 10)
    for table in presets.tables(name):
        world = table.replace("[!A]*", "Hopper").replace("*", "some")
        task, continuous = world.removesuffix(":continuous"), world.endswith(":continuous")
        settings = presets.resolve(name, task, continuous)["algo"]
        widths = {key: tuple(x) for key, x in settings.items() if isinstance(x, list)}
        algorithm = make_algorithm(name, **settings | widths)
        try:
            algorithm.check(discrete)
        except UserError as mismatch:
            assert "in a box" in str(mismatch)
            algorithm.check(dataclasses.replace(discrete, action=Box(-1.0, 1.0, (2,))))


def test_two_names_of_one_algorithm_have_one_file():
    assert presets.tables("ppo") == presets.tables("ippo") != {}


def test_a_file_of_yours_may_be_like_an_algorithms(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('like = "mappo"\n["mpe/simple"]\nunroll = 3\n')
    assert presets.of_file(path) == presets.tables("mappo") | {"mpe/simple": {"unroll": 3}}
    path.write_text('like = "mapo"\n')
    with pytest.raises(UserError, match=r"mapo.*mappo"):
        presets.of_file(path)
