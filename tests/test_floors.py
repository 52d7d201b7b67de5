"""The house: an import points down only, and files need each other in no circle."""

import ast
from pathlib import Path

import pytest

import shoal

ROOT = Path(shoal.__file__).parent
FLOORS = {
    "cli": 8, "__main__": 8, "__init__": 8,
    "interop": 7,
    "reports": 6, "tuning": 6, "export": 6, "distributed": 6,
    "training": 5,
    "recording": 4,
    "agents": 3, "envs": 3, "registry": 3, "trackers": 3,
    "nn": 2, "games": 2, "runs": 2, "coordination": 2,
    "core": 1, "math": 1,
}  # fmt: skip


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imports(path: Path) -> set[str]:
    """The modules of Shoal that a file imports, wherever in it that stands; but for types."""
    named, tree = set(), ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "shoal":
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names if alias.name.split(".")[0] == "shoal"}
    found = set()
    for name in named:
        parts = name.split(".")[1:]
        while parts and ".".join(parts) not in MODULES:
            parts.pop()
        found.add(".".join(parts) or "__init__")
    return found


NEEDS = {module: imports(path) - {module} for module, path in MODULES.items()}


def test_every_room_has_its_floor():
    assert {module.split(".")[0] for module in MODULES} <= set(FLOORS)


def test_an_import_points_down():
    def up(module: str, needed: str) -> bool:
        here, there = module.split(".")[0], needed.split(".")[0]
        return here != there and FLOORS[there] >= FLOORS[here] and FLOORS[here] < 8

    assert not [(m, n) for m, needs in NEEDS.items() for n in needs if up(m, n)]


def test_files_need_each_other_in_no_circle():
    left = {m: {n for n in needs if n in NEEDS} for m, needs in NEEDS.items()}
    while free := [m for m, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left


def test_games_need_errors_and_numbers_alone():
    outside = {n for m, needs in NEEDS.items() if m.startswith("games") for n in needs}
    assert {n for n in outside if not n.startswith("games")} <= {
        *("core.errors", "core.exact", "core.colors", "core.axes", "core.html_table")
    }


@pytest.mark.parametrize("module", ["core", "math", "games"])
def test_the_ground_floor_is_there(module):
    assert any(m.startswith(module) for m in MODULES)
