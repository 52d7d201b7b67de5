"""Tables in a terminal."""

import pytest

from shoal.cli.table import table


def test_numbers_end_and_names_begin_on_one_line():
    rows = [["", "seeds", "IQM"], ["mappo", "16", "-1.25"], ["ippo", "4", "10.50"]]
    assert table(rows) == [
        "         seeds    IQM",
        "  mappo     16  -1.25",
        "  ippo       4  10.50",
    ]
    assert table(rows, left=[1, 2]) == [
        "         seeds  IQM",
        "  mappo  16     -1.25",
        "   ippo  4      10.50",
    ]


def test_rows_are_of_one_length():
    with pytest.raises(ValueError, match="zip"):
        table([["a"], ["b", "c"]])
