"""Writes the pages that follow from the registry, in each build of the documentation. Files that
stay the same are not touched."""

from pathlib import Path
from types import ModuleType

from generate import algorithms, curves, environments, gallery, replays
from shoal.registry import ALGORITHMS, ENVIRONMENTS

DOCS = Path(__file__).parents[1]


def write() -> None:
    """All pages, episodes and pictures."""
    files = {environments.file_name(name): name for name in ENVIRONMENTS}
    replays.save(files)
    curves.save()
    _pages("algorithms", {name: name for name in ALGORITHMS}, algorithms)
    _pages("environments", files, environments)
    _write(DOCS / "gallery.md", gallery.page(list(files.values())))


def _pages(folder: str, names: dict[str, str], pages: ModuleType) -> None:
    """A page for each name, by the name of its file, and the index; others go."""
    texts = {file: pages.page(name) for file, name in names.items()}
    texts["index"] = pages.index(list(names.values()))
    place = DOCS / folder
    place.mkdir(exist_ok=True)
    for file, text in texts.items():
        _write(place / f"{file}.md", text)
    for other in set(place.glob("*.md")) - {place / f"{file}.md" for file in texts}:
        other.unlink()


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
