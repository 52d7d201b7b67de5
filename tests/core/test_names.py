"""Names that anything may have become names of runs, and commands that are printed can be typed."""

import ast
import random
import re
import shlex
from pathlib import Path

import pytest

import shoal
from shoal.cli.main import VERBS
from shoal.core.errors import UserError
from shoal.core.names import plain_name, to_type
from shoal.runs.run_directory import check_empty, check_place, free_directory

SOURCE = Path(shoal.__file__).parent


def anything(rng: random.Random) -> str:
    """Up to 90 letters: of ASCII, accents, other scripts, spaces, quotes and path separators."""
    letters = "abcXYZ019 _-./\\'\"$\n\t" + "äéÏñ" + "\u0301日本\U0001f41f"
    return "".join(rng.choices(letters, k=rng.randint(0, 90)))


def test_any_name_gives_a_run_one_that_it_can_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    for name in ["my env", "Ünïcode", "x" * 80, "..", "", *(anything(rng) for _ in range(500))]:
        check_place(Path(plain_name(name)))
        path = free_directory("ippo", name)
        check_place(path)
        assert path.parent == Path("runs")
    assert free_directory("ippo", "my env") == Path("runs/ippo_my-env_0")
    (tmp_path / "runs/ippo_my-env_0").mkdir(parents=True)
    assert free_directory("ippo", "my env") == Path("runs/ippo_my-env_1")
    with pytest.raises(UserError, match="such as 'Unicode'"):
        check_place(Path("Ünïcode"))


def test_what_is_printed_to_be_typed_comes_back_as_it_was(tmp_path):
    rng = random.Random(1)
    for words in ([anything(rng) for _ in range(3)] for _ in range(200)):
        assert shlex.split(to_type("shoal", *words)) == ["shoal", *words]
    place = tmp_path / "my runs" / "one"
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    with pytest.raises(UserError) as told:
        check_empty(place)
    assert shlex.split(str(told.value).split("`")[1]) == ["shoal", "resume", str(place)]


def written(text: ast.JoinedStr) -> str:
    """An f-string with `{}` for what it is filled with."""
    parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in text.values)
    return "".join(map(str, parts))


def test_no_command_is_printed_but_by_to_type():
    """Of f-strings that fill in what follows `shoal VERB`, only usages for `parse` and `read`."""
    command = re.compile(rf"shoal ({'|'.join(VERBS)}) (--[\w-]+ )?{{}}|--(out|preset) {{}}")
    found = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        programs = {
            id(argument)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("parse", "read")
            for argument in call.args
        }
        for text in ast.walk(tree):
            if isinstance(text, ast.JoinedStr) and id(text) not in programs:
                said = written(text)
                if command.search(said):
                    found.append(f"{path.name}:{text.lineno}: {said}")
    assert not found
