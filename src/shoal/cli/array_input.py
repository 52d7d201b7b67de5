"""Arrays of numbers on the command line: rows written out, or JSON.

"8 -12; -12 0"           rows between semicolons, numbers between spaces or commas
"3,3 0,5; 5, 0 1, 1"     where a row has both, commas join the numbers of a cell
"[[8, -12], [-12, 0]]"   JSON, of any number of dimensions
"""

import json
import re
from fractions import Fraction
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
    return [[float(cell[0]) for cell in row] for row in rows]


def read_json(text: str, what: str, exact: bool = False) -> Any:
    """Nested lists of JSON; `what` is what an error calls them. With `exact` numbers with a point
    are `Fraction`s."""

    def decimal(word: str) -> Any:
        number = exact_number(word)
        return number if exact else float(number)

    try:
        return json.loads(text, parse_int=lambda word: int(exact_number(word)), parse_float=decimal)
    except json.JSONDecodeError as error:
        raise UserError(f"{what} is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise UserError(f"{what} is nested too deeply") from None


def read_rows(text: str) -> list[list[list[Fraction]]]:
    """Rows between semicolons, cells between spaces, the numbers of a cell between commas; of a
    row without such spaces, cells between commas."""
    rows = [_cells(row) for row in re.split(r"\s*;\s*", text.strip("; \n")) if row.strip()]
    require(len(rows) > 0, "the matrix has no rows")
    for i, row in enumerate(rows):
        require(
            len(row) == len(rows[0]),
            f"row {i + 1} of the matrix has {len(row)} cells, row 1 has {len(rows[0])}",
        )
    return rows


def _cells(row: str) -> list[list[Fraction]]:
    words = re.sub(r"\s*,\s*", ",", row.strip()).split()
    if len(words) == 1:
        return [[_number(part)] for part in words[0].strip(",").split(",")]
    return [[_number(part) for part in word.split(",")] for word in words]


def _number(word: str) -> Fraction:
    require(word != "", "the matrix: a number is missing beside a comma")
    try:
        return exact_number(word)
    except UserError as error:
        raise UserError(f"the matrix: {error}") from None
