"""How Shoal's promises hold against damage, signals, dying parents and full disks.

    python benchmarks/hostile.py WHAT [--tries N] [--only N ...]

WHAT is `altered`, `signals`, `parent`, `paused`, `disk` or `own-code`.

Each try runs the `shoal` command in a child and appends a row to hostile/results.csv: what was
tried, whether the promise held, and what was seen. A command goes on where it was stopped; `--only`
makes the tries of these numbers again, without a row. Linux only; `disk` needs the right to mount.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile_altered
import hostile_endings
import hostile_own_code
import rows

TABLE = Path(__file__).parent / "hostile" / "results.csv"
COLUMNS = ("what", "try", "setting", "held", "seconds", "detail")
TRIES: dict[str, tuple[int, Callable[[Path, int, int], Iterator[dict[str, Any]]]]] = {
    "altered": (400, hostile_altered.tries),
    "signals": (40, hostile_endings.signals),
    "parent": (10, hostile_endings.parent),
    "paused": (10, hostile_endings.paused),
    "disk": (3, hostile_endings.disk),
    "own-code": (72, hostile_own_code.tries),
}


def main() -> None:
    """Makes the tries that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=TRIES)
    parser.add_argument("--tries", type=int, help="up to which number")
    parser.add_argument("--only", type=int, nargs="*", default=[], help="these again, without rows")
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    usual, make = TRIES[options.what]
    folder = Path(tempfile.gettempdir()) / "shoal-hostile" / options.what
    if options.only:
        for number in options.only:
            for row in make(folder, number, number + 1):
                print(
                    number, row["held"], row["setting"], row["seconds"], row["detail"], flush=True
                )
        return
    known = [row for row in rows.read(options.table) if row["what"] == options.what]
    first = 1 + max((int(row["try"]) for row in known), default=-1)
    for row in make(folder, first, options.tries or usual):
        rows.append(options.table, COLUMNS, {"what": options.what, **row})
        print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
