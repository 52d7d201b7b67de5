"""What takes long and follows from the code: kept until the code changes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import shoal

BUILD = Path(__file__).parents[1] / "_build"


def source(*places: str) -> str:
    """A hash of the files in those packages of Shoal's, or at those paths."""
    found, root = hashlib.sha256(), Path(shoal.__file__).parent
    for place in places:
        for file in sorted([root / place, *(root / place).rglob("*")]):
            if file.suffix in (".py", ".html", ".toml"):
                found.update(file.read_bytes())
    return found.hexdigest()


def kept(file: Path, stamp: str, make: Callable[[], object]) -> object:
    """What `make` gives, plain data, made anew where `file` is of another stamp."""
    if file.is_file():
        old = json.loads(file.read_text())
        if old["stamp"] == stamp:
            return old["made"]
    made = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"stamp": stamp, "made": made}))
    return made
