"""Tables that grow row by row, so that a command goes on where it was stopped."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read(table: Path) -> list[dict[str, str]]:
    """The rows that there are; none without a file."""
    if not table.is_file():
        return []
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def append(table: Path, columns: Sequence[str], row: dict[str, Any]) -> None:
    """Writes one row behind the others, and the header before the first."""
    table.parent.mkdir(exist_ok=True)
    new = not table.is_file()
    with open(table, "a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
