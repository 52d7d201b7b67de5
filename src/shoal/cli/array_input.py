"""Arrays of numbers on the command line: rows written out, or JSON.

"8 -12; -12 0"           rows between semicolons, numbers between spaces or commas
"[[8, -12], [-12, 0]]"   JSON, of any number of dimensions
"""

import json
import re
from typing import Any

from shoal.core.errors import UserError, require
from shoal.core.exact import exact_number


def read_array(text: str) -> Any:
    """An array of numbers, as nested lists.

    Raises:
        UserError: a word is not a number, rows differ in length, or it is not JSON.
    """
    text = text.strip()
    if text.startswith("["):
        return read_json(text, "the array")
    rows = read_rows(text)
    count = max(len(cell) for row in rows for cell in row)
    require(count == 1, f"a cell of the matrix has {count} numbers, expected one")
    return [[cell[0] for cell in row] for row in rows]


def read_json(text: str, what: str) -> Any:
    """Nested lists of JSON; `what` is what an error calls them."""
    try:
        return json.loads(text, parse_int=_json_number, parse_float=_json_number)
    except json.JSONDecodeError as error:
        raise UserError(f"{what} is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise UserError(f"{what} is nested too deeply") from None


def _json_number(word: str) -> int | float:
    number = exact_number(word)
    return int(number) if number.denominator == 1 and word.lstrip("-").isdigit() else float(number)


def read_rows(text: str) -> list[list[list[float]]]:
    """Rows between semicolons, cells between spaces, the numbers of a cell between commas."""
    rows = [_cells(row) for row in re.split(r"\s*;\s*", text.strip("; \n")) if row.strip()]
    require(len(rows) > 0, "the matrix has no rows")
    for i, row in enumerate(rows):
        require(
            len(row) == len(rows[0]),
            f"row {i + 1} of the matrix has {len(row)} cells, row 1 has {len(rows[0])}",
        )
    return rows


def _cells(row: str) -> list[list[float]]:
    """`1 -1` and `1, -1` are two cells of one number, `3,3 0,5` two cells of two."""
    if re.search(r",\s", row) or not re.search(r"\s", row.strip()):
        words = [word for word in re.split(r"[,\s]+", row.strip()) if word]
        return [[_number(word)] for word in words]
    return [[_number(part) for part in word.split(",")] for word in row.split()]


def _number(word: str) -> float:
    try:
        return float(exact_number(word))
    except UserError as error:
        raise UserError(f"the matrix: {error}") from None
