"""What the pages on games and the docstrings of their modules print is what comes out."""

import ast
import doctest
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "games"
SOURCE = ROOT / "src"
FILES = [
    *SOURCE.glob("shoal/games/**/*.py"),
    *SOURCE.glob("shoal/envs/game/*.py"),
    SOURCE / "shoal/training/empirical_game.py",
]
MODULES = {
    ".".join(file.relative_to(SOURCE).with_suffix("").parts): file
    for file in sorted(FILES)
    if re.search(r">>> (?!.*\+SKIP)", file.read_text())
}


def run(text: str, names: dict[str, Any], where: str) -> int:
    """Runs the examples of a text, which share `names`, and says how many there are; fails with
    what they print where it is not what they say."""
    test = doctest.DocTestParser().get_doctest(text, names, where, where, 0)
    said: list[str] = []
    found = doctest.DocTestRunner().run(test, out=said.append)
    assert found.failed == 0, "".join(said)
    return found.attempted


def blocks(page: Path) -> Iterator[str]:
    """The examples of a page, less those of OpenSpiel's where it is not installed."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        if "open_spiel" not in block or importlib.util.find_spec("pyspiel"):
            yield block


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PAGES)  # for bluff.py
    assert run("\n".join(blocks(page)), {"__name__": page.stem}, page.name) > 10


@pytest.mark.parametrize("name", MODULES)
def test_a_docstring_prints_what_it_says(name: str) -> None:
    """Docstrings are read from the source: functions whose types are checked hide theirs."""
    module = importlib.import_module(name)
    nodes = ast.walk(ast.parse(MODULES[name].read_text()))
    places = [n for n in nodes if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    texts = [ast.get_docstring(node) or "" for node in places]
    assert sum(run(text, vars(module), name) for text in texts) > 0


def test_pages_show_pictures_that_exist_and_are_small() -> None:
    shown = {
        PAGES / name
        for page in PAGES.glob("*.md")
        for name in re.findall(r"\{image\} (\S+)", page.read_text())
    }
    assert shown == set(PAGES.glob("*.png"))
    assert max(picture.stat().st_size for picture in shown) < 80_000
