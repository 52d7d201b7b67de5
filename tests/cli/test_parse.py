"""Arguments as types: switches alone, with a value, behind an equals sign, and nested."""

from dataclasses import dataclass, field

import pytest

from shoal.cli.arguments import Arguments
from shoal.cli.main import run
from shoal.cli.parse import parse
from shoal.core.errors import Failure, UserError


@dataclass(frozen=True)
class World:
    walls: bool = False


@dataclass(frozen=True)
class Options:
    json: bool = False
    keep_best: bool = False
    pictures: bool = True
    seed: int = 0
    env: World = field(default_factory=World)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--json", Options(json=True)),
        ("--json True", Options(json=True)),
        ("--json False", Options()),
        ("--json=False --pictures False", Options(pictures=False)),
        ("--keep-best --seed 3", Options(keep_best=True, seed=3)),
        ("--keep_best --seed=-3", Options(keep_best=True, seed=-3)),
        ("--env.walls --json", Options(json=True, env=World(walls=True))),
    ],
)
def test_a_switch_alone_is_true(words: str, expected: Options) -> None:
    assert parse(Options(), Arguments.of(words.split()), "shoal") == expected


@pytest.mark.parametrize("words", ["--seed", "--json maybe", "--sed 1"])
def test_what_does_not_fit_is_named(words: str) -> None:
    with pytest.raises(UserError, match=words.split()[0]):
        parse(Options(), Arguments.of(words.split()), "shoal")


def test_a_failure_is_one_line_for_every_verb(monkeypatch, capsys) -> None:
    def fail(arguments):
        raise Failure("the disk is full")

    monkeypatch.setattr("shoal.cli.eval.run", fail)
    assert run(["eval", "somewhere"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err == "shoal: the disk is full\n"


def test_words_are_told_apart_once() -> None:
    words = "-1,2 a --num_envs=8 --algo.hidden 8 -8 -h --json --search=clip=0.1:0.2 clip"
    found = Arguments.of(words.split())
    assert found.names == ["-1,2", "a"] and found.help
    named = {option.name: option.values for option in found.options}
    assert named == {
        **{"--num-envs": ["8"], "--algo.hidden": ["8", "-8"], "-h": [], "--json": []},
        "--search": ["clip=0.1:0.2", "clip"],
    }
    assert found.value("--num-envs") == "8" and found.value("--algo.hidden") is None
    assert found.is_on("--json") and not found.is_on("--quiet")
    assert found.options[1].field == "hidden"


def test_names_may_stand_behind_options() -> None:
    words = "a --json b --json=maybe --at-steps 5 c --json False d"
    names, options = Arguments.of(words.split()).gather({"--json"})
    assert names == ["a", "b", "c", "d"]
    assert [option.values for option in options] == [[], ["maybe"], ["5"], ["False"]]


@pytest.mark.parametrize(
    ("word", "digits"),
    [
        ("1e6", "1000000"),
        ("--steps=2.5e6", "--steps=2500000"),
        ("1E+3", "1000"),
        ("200k", "200000"),
        ("--steps=2.3M", "--steps=2300000"),
        ("3m", "3m"),
        ("10kM", "10kM"),
        ("1e3k", "1e3k"),
        ("1e-3", "1e-3"),
        ("2.5e0", "2.5e0"),
        ("1_000_000", "1_000_000"),
        ("run1e6", "run1e6"),
        ("--out=1e6/x", "--out=1e6/x"),
    ],
)
def test_whole_numbers_may_be_written_short(word, digits) -> None:
    named = Arguments.of(["x", *(["--steps"] if word[0] != "-" else []), word])
    found = Arguments.of(["x", *(["--steps"] if word[0] != "-" else []), digits])
    assert named == found


def test_help_is_a_verb_too(capsys) -> None:
    assert run(["help"]) == run(["--help"]) == 0
    first, second = capsys.readouterr().out.split("usage: ")[1:]
    assert first == second
    assert run(["help", "list"]) == run(["list", "--help"]) == 0
    first, second = capsys.readouterr().out.split("usage: ")[1:]
    assert first == second and first.startswith("shoal list KIND [NAME]")
