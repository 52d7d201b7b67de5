"""Lists and tables of numbers: what is taken, and what is said of the rest."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.checks import finite, nonnegative
from shoal.games.normal_form import NormalForm, from_least
from shoal.games.scaling import normalised, payoff_range


def test_numbers_come_as_doubles() -> None:
    assert finite("rates", range(3), 1).tolist() == [0.0, 1.0, 2.0]
    assert finite("rates", [[1], [2]], 1, 2).dtype == np.float64
    assert nonnegative("bids", (0, 2)).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: finite("rates", [1, "a"], 1), "^rates are ragged or not numbers, expected a list"),
        (lambda: finite("rates", [[1, 2], [3]], 2), "ragged .* expected a matrix of numbers"),
        (lambda: finite("rates", 3, 1, 2), r"shape \[\], expected a list of numbers or a matrix"),
        (lambda: finite("rates", [], 1), r"rates have shape \[0\], expected a list"),
        (lambda: finite("rates", [[0, np.inf]], 2), r"not all finite numbers, .* at \[0, 1\]"),
        (lambda: nonnegative("bids", [1, -2]), r"bids are \[1.0, -2.0\], expected none below 0"),
    ],
)
def test_others_are_refused(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()


def test_units_are_taken_off_player_by_player() -> None:
    game = NormalForm([[[3, 5], [4, 7]], [[1e9, 1e9], [1e9, 1e9]]])
    assert from_least(game).tolist() == [[[0, 2], [1, 4]], [[0, 0], [0, 0]]]
    assert normalised(game).tolist() == [[[0, 0.5], [0.25, 1]], [[0, 0], [0, 0]]]
    assert payoff_range(game) == 4 and payoff_range(NormalForm([[2.0, 2.0]])) == 1
