"""Auctions: bids and revenues in closed form, revenue equivalence, and regrets that tell."""

import numpy as np
import pytest
from scipy import special, stats

from shoal.core.errors import UserError
from shoal.games.mechanisms import auctions
from shoal.games.mechanisms.auctions import all_pay, first_price, second_price, third_price
from shoal.games.mechanisms.private_values import STANDARD, Uniform

VALUES = np.array([0.05, 0.3, 0.5, 0.8, 1.0])
SQUARE = stats.beta(2, 1)
"""F(v) = v^2 on [0, 1]."""


@pytest.mark.parametrize("bidders", [2, 3, 6])
@pytest.mark.parametrize(
    ("auction", "bid"),
    [
        pytest.param(first_price, lambda n, v: (n - 1) * v / n, id="first"),
        pytest.param(second_price, lambda n, v: v, id="second"),
        pytest.param(third_price, lambda n, v: (n - 1) * v / (n - 2), id="third"),
        pytest.param(all_pay, lambda n, v: (n - 1) * v**n / n, id="all pay"),
    ],
)
def test_uniform_values(auction, bid, bidders: int) -> None:
    if auction is third_price and bidders == 2:
        bidders = 4
    found = auction(bidders)
    assert np.allclose(found.bid(VALUES), bid(bidders, VALUES), rtol=0, atol=1e-9)
    assert np.isclose(found.revenue, (bidders - 1) / (bidders + 1), rtol=0, atol=1e-9)
    assert found.regret <= 1e-9


@pytest.mark.parametrize(
    ("auction", "bidders", "bid", "revenue"),
    [
        # n = 2: G = v^2, so the integral is v^3 / 3; the lower of two values is 8/15 on average.
        pytest.param(first_price, 2, lambda v: 2 * v / 3, 8 / 15, id="first"),
        pytest.param(second_price, 2, lambda v: v, 8 / 15, id="second"),
        pytest.param(all_pay, 2, lambda v: 2 * v**3 / 3, 8 / 15, id="all pay"),
        # n = 3: the second of three values is 24/35 on average.
        pytest.param(third_price, 3, lambda v: 1.5 * v, 24 / 35, id="third"),
        pytest.param(first_price, 3, lambda v: 4 * v / 5, 24 / 35, id="first of three"),
    ],
)
def test_values_that_lean_high(auction, bidders: int, bid, revenue: float) -> None:
    found = auction(bidders, SQUARE)
    assert np.allclose(found.bid(VALUES), bid(VALUES), rtol=0, atol=1e-9)
    assert np.isclose(found.revenue, revenue, rtol=0, atol=1e-9) and found.regret <= 1e-9


@pytest.mark.parametrize("auction", [first_price, second_price, all_pay])
def test_unbounded_values(auction) -> None:
    # Of two exponential values the lower has mean 1/2.
    found = auction(2, stats.expon())
    assert np.isclose(found.revenue, 0.5, rtol=0, atol=1e-9) and found.regret <= 1e-9


@pytest.mark.parametrize("auction", [first_price, second_price])
@pytest.mark.parametrize(
    ("bidders", "reserve", "revenue"),
    [
        (2, 0.5, 5 / 12),
        # n r (1 - r) r^(n-1) + E[the second value where it is above r], for n = 3 by hand.
        (3, 0.5, 0.375 * 0.5 + 11 / 32),
        (2, 0.0, 1 / 3),
    ],
)
def test_reserve_prices(auction, bidders: int, reserve: float, revenue: float) -> None:
    found = auction(bidders, reserve=reserve)
    assert np.isclose(found.revenue, revenue, rtol=0, atol=1e-9) and found.regret <= 1e-9
    assert found.bid(reserve) == pytest.approx(reserve, abs=1e-12)
    assert np.isnan(found.bid(np.array([-0.1, 0.49]))[int(reserve > 0)])


def test_bids_above_a_reserve_by_hand() -> None:
    # v - (v^2 - r^2) / (2 v)
    assert np.isclose(first_price(2, reserve=0.5).bid(0.8), 0.8 - 0.39 / 1.6, rtol=0, atol=1e-12)
    assert first_price(2, Uniform(1.0, 2.0)).bid(1.5) == pytest.approx(1.25, abs=1e-12)
    assert first_price(3).bid(np.array([[0.3], [0.6]])).shape == (2, 1)


def test_revenue_by_simulation() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.random((200_000, 4)), axis=1)
    kept = [
        (first_price(4), 0.75 * values[:, -1]),
        (third_price(4), 1.5 * values[:, -3]),
        (all_pay(4), (0.75 * values**4).sum(1)),
    ]
    for auction, paid in kept:
        error = paid.std() / np.sqrt(len(paid))
        assert abs(paid.mean() - auction.revenue) < 5 * error


def test_wrong_bids_have_regret() -> None:
    # All bid their value in a first-price auction: one of value 1 would gain 1/4 by bidding 1/2.
    found = auctions._certified("first-price", 2, STANDARD, None, lambda v: v, lambda q: q * q)
    assert found.regret == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: first_price(0), "0 bidders, expected at least 1"),
        (lambda: auctions._entry(2.5, 1, STANDARD, None), "bidders is 2.5, expected how many"),
        (lambda: auctions._entry([10, 8, 3], 1, STANDARD, None), r"\[10, 8, 3\].*run_auction"),
        (lambda: third_price(2), "2 bidders, expected at least 3"),
        (lambda: second_price(2, reserve=1.0), "reserve is 1.0, expected .* below .* 1"),
        (lambda: second_price(2, reserve=-0.5), "reserve is -0.5"),
        (lambda: all_pay(2, stats.norm()), "values start at -inf"),
        (lambda: first_price(2, Uniform(-1.0, 1.0)), "values start at -1"),
        (lambda: second_price(2, stats.poisson(3)), "expected a continuous one"),
        # A density that jumps up makes F / f fall.
        (lambda: third_price(3, stats.beta(4, 0.2)), "falls somewhere"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()


@pytest.mark.parametrize("auction", [first_price, second_price, all_pay, third_price])
@pytest.mark.parametrize("bidders", [30, 30_000, 10**6])
def test_many_bidders(auction, bidders: int) -> None:
    found = auction(bidders)
    assert found.revenue == pytest.approx((bidders - 1) / (bidders + 1), abs=1e-12)
    assert found.regret <= 1e-9
    top = {"third-price": (bidders - 1) / (bidders - 2), "second-price": 1.0}
    assert found.bid(1.0) == pytest.approx(top.get(found.rule, (bidders - 1) / bidders), abs=1e-9)


def test_one_bidder_is_a_posted_price() -> None:
    for auction in (first_price, second_price):
        found = auction(1, reserve=0.5)
        assert found.revenue == 0.25 and found.regret == 0  # sold at 1/2 in half of the cases
    assert first_price(1, reserve=0.5).bid(0.8) == 0.5


@pytest.mark.parametrize("bidders", [2, 3])
def test_heavy_tails(bidders: int) -> None:
    """P(value > v) = v^-a: the second of n has mean n (n-1) B(n-1, 2 - 1/a), none if a = 1/2."""
    share = special.beta(bidders - 1, 2 - 1 / 0.6) * bidders * (bidders - 1)
    for auction in (first_price, second_price):
        assert auction(bidders, stats.pareto(0.5)).revenue == np.inf
        assert auction(bidders, stats.pareto(0.6)).revenue == pytest.approx(share, rel=1e-7)
