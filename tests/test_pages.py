"""What the pages name is there: suites, imports, names of `shoal`, packages."""

import ast
import importlib
import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import shoal
from shoal import registry
from shoal.cli import declared
from shoal.cli.help import options_of
from shoal.cli.verbs import VERBS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = {"_build", "algorithms", "environments", "gallery.md"}  # by a build of the documentation
PAGES = [page for page in PAGES if not MADE.intersection(page.relative_to(ROOT).parts[:2])]
TEXT = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
BLOCKS = {
    page: "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    for page, text in TEXT.items()
}
WITH_CODE = [page for page, code in BLOCKS.items() if "shoal" in code]
PACKAGES = {
    ".".join(path.parent.relative_to(ROOT / "src").parts)
    for path in (ROOT / "src" / "shoal").glob("*/__init__.py")
}


@pytest.mark.parametrize("page", ["README.md", "docs/guides/other_suites.md"])
def test_suites_of_the_pages_are_in_the_registry(page):
    table = set(re.findall(r"`([a-z][a-z0-9_]*):`", TEXT[page]))
    made = set(re.findall(r"make\(\"([a-z][a-z0-9_]*):", TEXT[page]))
    assert table and table | made <= registry.SUITES.keys()


@pytest.mark.parametrize("suite", registry.SUITES)
def test_a_suite_has_its_class_and_its_page(suite):
    module, name = registry.SUITES[suite].target.split(":")
    spec = find_spec(module)
    assert spec and spec.origin
    tree = ast.parse(Path(spec.origin).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    pages = (TEXT["docs/guides/other_suites.md"], TEXT["docs/guides/host_worlds.md"])
    assert any(f"{suite}:" in text for text in pages)


def there_is(path: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    found, *rest = importlib.import_module("shoal"), *path.split(".")[1:]
    for i, name in enumerate(rest, 2):
        if not hasattr(found, name):
            module = ".".join(path.split(".")[:i])
            if not hasattr(found, "__path__") or find_spec(module) is None:
                return False
            importlib.import_module(module)
        found = getattr(found, name)
    return True


@pytest.mark.parametrize("page", WITH_CODE)
def test_names_in_code_are_there(page):
    code = BLOCKS[page]
    named = set(re.findall(r"(?<![\w./'\"])shoal(?:\.[A-Za-z_]\w*)+", code))
    for module, several, one in re.findall(
        r"from (shoal[\w.]*) import (?:\(([^)]*)\)|([^\n(#]+))", code
    ):
        names = (several or one).replace(">>>", "").replace("...", "").split(",")
        named |= {f"{module}.{name.split(' as ')[0].strip()}" for name in names if name.strip()}
    assert not [name for name in sorted(named) if not there_is(name)]


def _options() -> set[str]:
    """Every option of every verb, with the fields of all algorithms and environments, and those of
    the guide's own algorithm and of one that holds another."""
    found = {option for verb in VERBS for option in options_of(verb)} | {"--help", "--version"}
    worlds = {**registry.ENVIRONMENTS, **registry.SUITES}
    for prefix, entries in (("algo", registry.ALGORITHMS), ("env", worlds)):
        for target in {entry.target for entry in entries.values()}:
            names = declared.declared(target)
            found |= {f"--{prefix}.{name.replace('_', '-')}" for name in names} | {
                f"--{prefix}.FIELD"
            }
    inner = {f"--algo.inner.{name}" for name in ("FIELD", "learning-rate")}
    return found | inner | {"--algo.beta"}


OPTIONS = _options()


@pytest.mark.parametrize("page", [page for page, text in TEXT.items() if "shoal " in text])
def test_verbs_and_options_of_commands_are_there(page):
    commands = re.findall(r"(?:^\$ |`|&& |^)(shoal [a-z][^`\n#&|]*)", TEXT[page], re.MULTILINE)
    bare = re.findall(r"`(--[a-z][\w.-]*)", TEXT[page])
    said = {word.strip("[],;") for line in commands for word in line.split() if word[:2] == "--"}
    named = {word.partition("=")[0].replace("_", "-") for word in {*said, *bare}}
    assert not sorted(named - OPTIONS)
    verbs = {line.split()[1] for line in commands}
    assert not sorted(verbs - VERBS.keys() - {"help"})


def test_the_reference_documents_every_public_name():
    pattern = r"^\.\. auto(function|class):: shoal\.(\w+)$"
    found = {name: kind for kind, name in re.findall(pattern, TEXT["docs/api.md"], re.MULTILINE)}
    public = {name: getattr(shoal, name) for name in shoal.__all__ if not name.startswith("__")}
    kinds = {n: "class" if isinstance(x, type) else "function" for n, x in public.items()}
    assert found == kinds


@pytest.mark.parametrize("name", [n for n in shoal.__all__ if not n.startswith("__")])
def test_a_public_name_says_what_it_takes_and_raises(name):
    public = getattr(shoal, name)
    text = inspect.getdoc(public) or ""
    assert text.partition("\n")[0].strip()
    if isinstance(public, type):
        return
    told = re.findall(r"^    (\w+): \S", text.partition("Args:\n")[2].partition("\n\n")[0], re.M)
    assert told == list(inspect.signature(public).parameters)
    assert "Raises:" in text


def test_the_reference_lists_every_package():
    listed = set(re.findall(r"^ *`?(shoal\.\w[\w.]*)", TEXT["docs/packages.md"], re.MULTILINE))
    assert listed >= PACKAGES
    assert not [name for name in sorted(listed) if not there_is(name)]


def test_the_layout_has_every_package():
    table = TEXT["docs/architecture.md"].partition("## Layout")[2].partition("\n## ")[0]
    listed = {f"shoal.{name}" for name in re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)}
    assert listed >= PACKAGES
    assert not [name for name in sorted(listed) if not there_is(name)]
    imports = TEXT["CONTRIBUTING.md"].partition("Imports point")[2].partition("\n\n")[0]
    assert {f"shoal.{name}" for name in re.findall(r"`(\w+)`", imports)} >= PACKAGES
