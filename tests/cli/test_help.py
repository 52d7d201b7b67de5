"""`shoal VERB --help`: each verb has a screen, and what is printed there can be typed."""

import dataclasses
import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shoal import registry
from shoal.cli.arguments import Arguments
from shoal.cli.declared import NOTHING, declared
from shoal.cli.help import options_of
from shoal.cli.main import run
from shoal.cli.verbs import VERBS

CLI = Path(importlib.import_module("shoal.cli.main").__file__ or "").parent
EXAMPLES = [(verb, line) for verb, known in VERBS.items() for line in known.examples]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that succeeds prints on standard output."""
    assert run(list(words)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_every_verb_has_its_screen() -> None:
    modules = {
        path.stem
        for path in CLI.glob("*.py")
        if "def run(arguments: Arguments)" in path.read_text()
    }
    assert modules == VERBS.keys()


@pytest.mark.parametrize("verb", VERBS)
def test_a_screen_says_what_a_verb_does_takes_and_shows(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    said = printed(capsys, verb, "--help")
    assert said == printed(capsys, "help", verb)
    known, lines = VERBS[verb], said.splitlines()
    assert lines[0].startswith(f"usage: shoal {verb} ")
    for word, _ in known.names:
        assert f"  {word}" in said
    for word in known.options:
        assert options_of(verb)[word].meaning, word
        assert f"  {word}" in said
    assert set(known.examples) <= {line.strip() for line in lines}
    assert len(lines) < 50


def test_a_screen_tells_defaults_and_how_to_see_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = " ".join(printed(capsys, "train", "mappo", "--help").split())
    assert "--steps N Environment steps of a training" in said
    assert "[1_000_000 or as the preset says]" in said and "train together [1]" in said
    assert "--pictures True|False" in said
    assert "Add an algorithm and an environment to see their fields" in said
    assert "--format html|gif|mp4|heat-map" in printed(capsys, "render", "--help")


@pytest.mark.parametrize(("verb", "line"), EXAMPLES)
def test_every_option_of_an_example_exists(verb: str, line: str) -> None:
    shoal, named, *words = shlex.split(line)
    assert (shoal, named) == ("shoal", verb)
    given = Arguments.of(words)
    fields = {option: "" for option in options_of(verb)}
    algorithms = [name for name in given.names if name in registry.ALGORITHMS] or ["mappo"]
    worlds = [name for name in given.names if name in dict(registry.ENVIRONMENTS)]
    entries = {"--algo.": registry.ALGORITHMS[algorithms[0]]}
    entries["--env."] = registry.ENVIRONMENTS[(worlds or ["mpe/simple_spread"])[0]]
    for prefix, entry in entries.items():
        fields |= {f"{prefix}{name.replace('_', '-')}": "" for name in declared(entry.target)}
    assert {option.name for option in given.options} <= fields.keys()
    some = len([word for word, _ in VERBS[verb].names if not word.startswith("[")])
    assert len(given.names) >= some - (verb == "bench")
    known = {*dict(registry.ENVIRONMENTS), *registry.ALGORITHMS}
    assert {name for name in given.names if name.startswith(("mpe/", "mappo"))} <= known


def test_all_fields_of_algorithms_and_environments_have_a_meaning() -> None:
    makers = dict.fromkeys(registry.ALGORITHMS, registry.make_algorithm)
    makers |= dict.fromkeys(registry.ENVIRONMENTS, registry.make)
    entries = {**registry.ALGORITHMS, **registry.ENVIRONMENTS}
    bare = {
        f"{name}: {field.name}"
        for name, make in makers.items()
        for field in dataclasses.fields(make(name))
        if field.metadata.get("saved", True)
        and not declared(entries[name].target).get(field.name, NOTHING).meaning
    }
    assert bare == set()


def test_help_of_a_verb_does_not_import_jax() -> None:
    verbs = "; ".join(f"run([{verb!r}, '--help'])" for verb in VERBS)
    script = f"import sys; from shoal.cli.main import run; {verbs}"
    check = f"{script}; assert not {{'jax', 'numpy', 'rich', 'tyro'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, stdout=subprocess.DEVNULL)
