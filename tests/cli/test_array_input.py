"""Arrays that are written out on the command line."""

import pytest

from shoal.cli.array_input import read_array
from shoal.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ("8 -12 -12; -12 0 0", [[8, -12, -12], [-12, 0, 0]]),
        ("-1/2, 3; 1e1, 0;", [[-0.5, 3], [10, 0]]),
        ("1,2;3,4", [[1, 2], [3, 4]]),
        ("1 , 2;3,\t4", [[1, 2], [3, 4]]),
        (" [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        ("[1, 2]", [1, 2]),
    ],
)
def test_rows_and_json_become_lists(text, array):
    assert read_array(text) == array


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2; 3", "row 2 of the matrix has 1 cells, row 1 has 2"),
        ("1,2 3,4", "a cell of the matrix has 2 numbers, expected one"),
        ("1, 2 3, 4", "a cell of the matrix has 2 numbers, expected one"),
        ("1,,2", "the matrix: a number is missing beside a comma"),
        ("1 x", "the matrix: x is not a number"),
        (" ; ", "the matrix has no rows"),
        ("[[1, 2]", "the array is not JSON: Expecting ',' delimiter at character 7"),
    ],
)
def test_what_is_no_array_is_said_so(text, said):
    with pytest.raises(UserError) as error:
        read_array(text)
    assert str(error.value) == said
