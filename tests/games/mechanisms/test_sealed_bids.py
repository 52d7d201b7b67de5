"""Given bids, by hand."""

import pytest

from shoal.core.errors import UserError
from shoal.games.mechanisms.sealed_bids import run_auction


@pytest.mark.parametrize(
    ("rule", "reserve", "payments"),
    [
        ("second_price", 0, [0, 8, 0]),
        ("second_price", 9, [0, 9, 0]),
        ("first_price", 9, [0, 10, 0]),
        ("all_pay", 0, [3, 10, 8]),
        ("all_pay", 5, [0, 10, 8]),  # 3 is not accepted
    ],
)
def test_three_bids(rule: str, reserve: int, payments) -> None:
    sale = run_auction([3, 10, 8], rule, reserve)
    assert sale.winner == 1 and sale.tied == (1,)
    assert sale.payments.tolist() == payments and sale.revenue == sum(payments)


def test_ties_one_bidder_and_no_sale() -> None:
    tie = run_auction({"Ann": 4, "Ben": 7, "Cy": 7.0})
    assert (tie.winner, tie.tied, tie.revenue) == ("Ben", ("Ben", "Cy"), 7.0)
    assert run_auction([5], reserve=2).payments.tolist() == [2]  # a posted price
    assert run_auction([5]).revenue == 0
    nobody = run_auction([5, 4], "all_pay", reserve=6)
    assert (nobody.winner, nobody.tied, nobody.payments.tolist()) == (None, (), [0, 0])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: run_auction([1, -2]), "none below 0"),
        (lambda: run_auction([]), "bids have shape"),
        (lambda: run_auction(3), "bids have shape"),
        (lambda: run_auction({}), "bids have shape"),
        (lambda: run_auction([1, 2], "second"), "did you mean 'second_price'"),
        (lambda: run_auction([1, 2], reserve=-1), "reserve price are"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
