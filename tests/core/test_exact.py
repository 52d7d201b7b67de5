"""Numbers as they are written, and those that no memory holds."""

import random
import time
from fractions import Fraction

import pytest

from shoal.core.errors import UserError
from shoal.core.exact import exact_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", Fraction(2)),
        ("-.5", Fraction(-1, 2)),
        ("+3.", Fraction(3)),
        ("1/3", Fraction(1, 3)),
        ("1e-3", Fraction(1, 1000)),
        ("1.5E2/3", Fraction(50)),
        ("0e999", Fraction(0)),
        (".1234567", Fraction(1234567, 10**7)),
        ("1e300", Fraction(10**300)),
    ],
)
def test_a_number_is_what_is_written(text, value):
    assert exact_number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1/0", "1/0.0", "1//2", "1e", "--1", "nan", "inf", "1_000", "\u0663"),
        *("1e400", "1e-400", "1e9999999999", "-1e-9999999999", "1e" + "9" * 5000, "9" * 5000),
        *("1" * 400, "." + "0" * 400 + "1", "1/" + "9" * 999),
    ],
)
def test_what_is_none_or_out_of_bounds_is_one_line(text):
    before = time.monotonic()
    with pytest.raises(UserError) as error:
        exact_number(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 150
    assert time.monotonic() - before < 1


def test_whatever_is_written_is_a_number_or_refused():
    rng = random.Random(0)
    for _ in range(20_000):
        text = "".join(rng.choice("0123456789+-.eE/ ") for _ in range(rng.randrange(1, 14)))
        try:
            assert abs(exact_number(text)) <= 10**300
        except UserError as error:
            assert "\n" not in str(error)
