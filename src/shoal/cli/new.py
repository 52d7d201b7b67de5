"""shoal new environment|algorithm NAME: a file to start from, and its test."""

import keyword
import re
import sys
from importlib import resources
from pathlib import Path

from shoal.cli.arguments import Arguments
from shoal.cli.parse import take_all
from shoal.core.errors import UserError, may_fail_to, require, unknown

USAGE = "shoal new environment|algorithm NAME"
KINDS = {
    "environment": (
        "shoal check {address}",
        "shoal train ippo {address} --steps 200000 --algo.learning-rate 0.003",
    ),
    "algorithm": ("shoal train {address} mpe/simple_spread --steps 200000",),
}
TAKEN = ("jax", "numpy", "equinox", "shoal", "pytest", "optax")


def run(arguments: Arguments) -> int:
    """Writes NAME.py and test_NAME.py into the current folder, and says what to do with them."""
    kind, name = take_all(arguments, ["environment|algorithm", "NAME"], USAGE)
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    _check_name(kind, name)
    files = {f"{name}.py": f"{kind}.py.txt", f"test_{name}.py": f"test_{kind}.py.txt"}
    for file in files:
        if Path(file).exists():
            raise UserError(f"{file} is there already: choose another name, or remove it")
    words = {"NAME": name, "CLASS": "".join(word.capitalize() for word in name.split("_"))}
    for file, template in files.items():
        _write(Path(file), template, words)
    address = f"{name}.py:{words['CLASS']}"
    print(f"wrote {' and '.join(files)}; now:")
    for line in KINDS[kind]:
        print(f"  {line.format(address=address)}")
    print(f"  pytest test_{name}.py")
    return 0


def _check_name(kind: str, name: str) -> None:
    """Raises `UserError` where NAME.py could not be imported, or would hide another module."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+", name)
    better = re.sub(r"^[0-9_]+", "", "_".join(words).lower()) or f"my_{kind}"
    usable = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) and not keyword.iskeyword(name)
    if keyword.iskeyword(better):
        better = f"{better}_{kind}"
    require(
        bool(usable),
        f"'{name}' cannot name an {kind}: expected small letters, digits and underscores, "
        f"such as '{better}'",
    )
    hides = name in sys.stdlib_module_names or name in TAKEN
    require(not hides, f"{name}.py would hide the module '{name}': try '{name}_{kind}'")


def _write(path: Path, template: str, words: dict[str, str]) -> None:
    """Fills a template in; a file that appeared in the meantime is not overwritten."""
    text = resources.files("shoal.cli").joinpath("templates", template).read_text("utf-8")
    for word, value in words.items():
        text = text.replace(f"{{{{{word}}}}}", value)
    with may_fail_to(f"write {path}"), path.open("x", encoding="utf-8") as file:
        file.write(text)
