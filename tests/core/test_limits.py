"""Fields hold what their types admit, and nothing else."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import pytest

from shoal.core.errors import UserError
from shoal.core.limits import (
    Count,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    PositiveFraction,
    Seed,
    Several,
    check_fields,
    check_value,
    read_value,
)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Count, [1, 10**9], [0, -1]),
        (Several, [2], [1]),
        (Natural, [0, 7], [-1]),
        (Seed, [0, 2**32 - 1], [-1, 2**32]),
        (Positive, [1e-300, 5.0], [0.0, -1.0, float("inf"), float("nan")]),
        (NonNegative, [0.0, 5.0], [-1e-9, float("nan")]),
        (Fraction, [0.0, 0.5, 1.0], [-0.1, 1.1, float("nan")]),
        (PositiveFraction, [1e-9, 1.0], [0.0, 1.1]),
        (Literal["tanh", "relu"], ["tanh"], ["tan"]),
        (int, [-5], []),
    ],
)
def test_limits(kind, good, bad) -> None:
    for value in good:
        check_value("x", value, kind)
    for value in bad:
        with pytest.raises(UserError):
            check_value("x", value, kind)


@dataclass(frozen=True)
class Settings:
    rate: Positive = 0.1
    activation: Literal["tanh", "relu"] = "tanh"

    def __post_init__(self) -> None:
        check_fields(self)


def test_a_dataclass_refuses_what_its_fields_do_not_admit() -> None:
    Settings(rate=0.5, activation="relu")
    with pytest.raises(UserError, match=r"^rate is -1, expected a positive number$"):
        Settings(rate=-1)
    with pytest.raises(UserError, match=r"^unknown activation 'tan': did you mean 'tanh'\?$"):
        Settings(activation="tan")  # pyright: ignore[reportArgumentType]


def test_arrays_pass_for_they_may_be_traced() -> None:
    Settings(rate=jnp.array(-1.0))  # pyright: ignore[reportArgumentType]


def test_words_are_read_as_their_type_says() -> None:
    assert read_value("x", "3", Count) == 3 and read_value("x", "1e-3", Positive) == 1e-3
    assert read_value("x", "False", bool) is False and read_value("x", "a b", str) == "a b"
    with pytest.raises(UserError, match=r"^x is '1.5', expected a whole number$"):
        read_value("x", "1.5", Count)
    with pytest.raises(UserError, match=r"^x is '0', expected True or False$"):
        read_value("x", "0", bool)
