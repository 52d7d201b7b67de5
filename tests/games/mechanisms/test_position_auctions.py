"""Generalised second price: prices by hand, truth that does not pay, and VCG's payments."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.mechanisms.position_auctions import envy_free_bids, generalized_second_price
from shoal.games.mechanisms.vcg import vcg_assignment


def test_prices_by_hand() -> None:
    # Edelman et al. 2007: values 10, 4, 2; 200 and 100 clicks.
    found = generalized_second_price([4, 10, 2], [200, 100])
    assert found.positions.tolist() == [1, 0, -1]
    assert found.prices.tolist() == [2, 4, 0] and found.payments.tolist() == [200, 800, 0]


def test_more_positions_than_bidders() -> None:
    found = generalized_second_price([3, 5], [4, 2, 1])
    assert found.positions.tolist() == [1, 0] and found.payments.tolist() == [0, 12]


def test_truth_is_no_best_reply() -> None:
    values, rates = [10, 9, 6], [10, 9]
    honest = generalized_second_price(values, rates)
    shaded = generalized_second_price([7, 9, 6], rates)
    assert 10 * 10 - honest.payments[0] == 10 < 10 * 9 - shaded.payments[0] == 36


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        pytest.param([10.0, 4.0, 2.0], [200.0, 100.0], id="fewer positions"),
        pytest.param([2.0, 9.0, 5.0, 7.0], [8.0, 5.0, 3.0, 1.0], id="as many"),
        pytest.param([3.0, 5.0], [4.0, 2.0, 1.0], id="more positions"),
    ],
)
def test_envy_free_bids_pay_as_vcg_and_are_best_replies(
    values: list[float], rates: list[float]
) -> None:
    bids = envy_free_bids(values, rates)
    found = generalized_second_price(bids, rates)
    expected = vcg_assignment(np.outer(values, rates))
    assert np.allclose(found.payments, expected.payments, rtol=0, atol=1e-9)
    clicks = np.append(rates, 0.0)
    held = np.array(values) * clicks[found.positions] - found.payments
    for i, value in enumerate(values):
        for other in np.linspace(0, 1.5 * max(values), 301):
            told = bids.copy()
            told[i] = other
            after = generalized_second_price(told, rates)
            gain = value * clicks[after.positions[i]] - after.payments[i] - held[i]
            assert gain <= 1e-9


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: generalized_second_price([1, -1], [1]), "bids are .* none below 0"),
        (lambda: generalized_second_price([1], [1, 2]), r"\[1.0, 2.0\] rise"),
        (lambda: envy_free_bids([1], [0]), "click rate is 0"),
        (lambda: envy_free_bids([], [1]), r"values have shape \[0\], expected a list"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
