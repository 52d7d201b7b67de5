r"""Auctions of one item to n bidders whose values are drawn alike: how they bid in equilibrium.

    With G = F^(n-1), the chance to outbid the others, and r the reserve price or the least value:
    second-price  b(v) = v                      first-price  b(v) = v - int_r^v G / G(v)
    all-pay       b(v) = v G(v) - int_0^v G     third-price  b(v) = v + F(v) / ((n-2) f(v))

Vickrey 1961; Riley, Samuelson 1981; third price: Kagel, Levin 1993.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad

from shoal.core.errors import require
from shoal.games.mechanisms.private_values import STANDARD, Distribution, check_continuous, ranks_up

GRID = 33
"""How many values, and as many bids, the certificate compares."""


@dataclass(frozen=True)
class AuctionEquilibrium:
    """The symmetric Bayes-Nash equilibrium of an auction. The certificate is `regret`."""

    rule: str
    """Which auction."""
    bidders: int
    """How many there are."""
    distribution: Any
    """Of each bidder's value."""
    reserve: float | int | None
    """The least bid that is accepted; None where every bid is."""
    bid: Callable[[Any], Float[np.ndarray, "*V"]]
    """What a bidder bids, from its values, an array or a number; NaN where it stays away."""
    revenue: float
    """What the seller gets on average."""
    regret: float
    """The most that a bidder could gain by bidding as if it had another value, over a grid of
    both: computed from what the rule makes it pay, not from the formula of the bid."""


def second_price(
    bidders: int, distribution: Any = STANDARD, reserve: float | int | None = None
) -> AuctionEquilibrium:
    """The highest bidder pays the second highest bid: bid your value (Vickrey 1961).

    Raises:
        UserError: there are fewer than 2 bidders; the reserve is out of range.

    >>> round(second_price(2, reserve=0.5).revenue * 12, 9)
    5.0
    """
    n, start = _entry(bidders, 2, distribution, reserve)
    q0 = float(distribution.cdf(start))

    def price(q: float) -> float:
        best_other = _integral(lambda u: distribution.ppf(u) * (n - 1) * u ** (n - 2), q0, q)
        return start * q0 ** (n - 1) + best_other

    second = _integral(lambda u: distribution.ppf(u) * n * (n - 1) * u ** (n - 2) * (1 - u), q0, 1)
    revenue = second + start * n * (1 - q0) * q0 ** (n - 1)
    return _certified("second-price", n, distribution, reserve, lambda v: v, price, revenue)


def first_price(
    bidders: int, distribution: Any = STANDARD, reserve: float | int | None = None
) -> AuctionEquilibrium:
    """The highest bidder pays its bid: bid what the best of the others is expected to value, if
    that is below yours.

    Raises:
        UserError: there are fewer than 2 bidders; the reserve is out of range.

    >>> float(first_price(4).bid(0.8).round(9))
    0.6
    """
    n, start = _entry(bidders, 2, distribution, reserve)

    def bid(value: float) -> float:
        chance = float(distribution.cdf(value)) ** (n - 1)
        if chance == 0:
            return start
        return value - _integral(lambda y: distribution.cdf(y) ** (n - 1), start, value) / chance

    def price(q: float) -> float:
        return q ** (n - 1) * bid(float(distribution.ppf(q)))

    q0 = float(distribution.cdf(start))
    revenue = _integral(lambda u: bid(float(distribution.ppf(u))) * n * u ** (n - 1), q0, 1)
    return _certified("first-price", n, distribution, reserve, bid, price, revenue)


def all_pay(bidders: int, distribution: Any = STANDARD) -> AuctionEquilibrium:
    """The highest bidder wins and everyone pays its own bid.

    Raises:
        UserError: there are fewer than 2 bidders; values may be negative or are unbounded below.

    >>> float(all_pay(3).bid(0.5).round(9))
    0.083333333
    """
    n, start = _entry(bidders, 2, distribution, None)

    def bid(value: float) -> float:
        chance = float(distribution.cdf(value)) ** (n - 1)
        return value * chance - _integral(lambda y: distribution.cdf(y) ** (n - 1), start, value)

    def price(q: float) -> float:
        return bid(float(distribution.ppf(q)))

    revenue = n * _integral(price, 0, 1)
    return _certified("all-pay", n, distribution, None, bid, price, revenue)


def third_price(bidders: int, distribution: Any = STANDARD) -> AuctionEquilibrium:
    """The highest bidder pays the third highest bid: bid above your value (Kagel, Levin 1993).

    An equilibrium where that bid rises with the value, as it does where log F is concave.

    Raises:
        UserError: there are fewer than 3 bidders; the bid falls somewhere.

    >>> float(third_price(4).bid(0.5).round(9))
    0.75
    """
    n, _ = _entry(bidders, 3, distribution, None)

    def bid(value: float) -> float:
        rank = float(distribution.cdf(value))
        return value + (rank / ((n - 2) * float(distribution.pdf(value))) if rank > 0 else 0.0)

    def of_rank(u: float) -> float:
        return bid(float(distribution.ppf(u)))

    bids = [of_rank(u) for u in ranks_up(0.0, GRID)]
    require(
        bool((np.diff(bids) >= 0).all()),
        "the third-price bid v + F / ((n-2) f) falls somewhere: no increasing equilibrium",
    )

    def price(q: float) -> float:
        # The second highest of the n-1 others, while the highest of them is below q.
        return _integral(lambda u: of_rank(u) * (n - 1) * (n - 2) * u ** (n - 3) * (q - u), 0, q)

    orders = n * (n - 1) * (n - 2) / 2
    revenue = _integral(lambda u: of_rank(u) * orders * u ** (n - 3) * (1 - u) ** 2, 0, 1)
    return _certified("third-price", n, distribution, None, bid, price, revenue)


def _entry(
    bidders: int, fewest: int, distribution: Any, reserve: float | int | None
) -> tuple[int, float]:
    """The number of bidders and the least value that bids."""
    require(bidders >= fewest, f"there are {bidders} bidders, expected at least {fewest}")
    check_continuous(distribution)
    lowest, highest = float(distribution.ppf(0.0)), float(distribution.ppf(1.0))
    require(
        math.isfinite(lowest) and lowest >= 0,
        f"values start at {lowest:g}, expected a finite number, at least 0",
    )
    require(
        reserve is None or bool(0 <= reserve < highest),
        f"the reserve is {reserve}, expected at least 0 and below the highest value, {highest:g}",
    )
    return bidders, lowest if reserve is None else max(lowest, float(reserve))


def _integral(function: Callable[[float], Any], low: float | int, high: float | int) -> float:
    if high <= low:
        return 0.0
    return quad(lambda x: float(function(x)), low, high, epsabs=1e-12, epsrel=1e-12, limit=200)[0]


def _certified(
    rule: str,
    bidders: int,
    distribution: Distribution,
    reserve: float | int | None,
    bid: Callable[[float], Any],
    price: Callable[[float], float],
    revenue: float,
) -> AuctionEquilibrium:
    """Adds the regret. `price(q)` is what one who bids like rank q pays on average."""
    start = reserve if reserve is not None else float(distribution.ppf(0.0))
    ranks = ranks_up(float(distribution.cdf(start)), GRID)
    values = np.array([float(distribution.ppf(q)) for q in ranks])
    paid = np.array([price(q) for q in ranks])
    payoff = values[:, None] * ranks ** (bidders - 1) - paid
    regret = float((np.maximum(payoff.max(1), 0.0) - payoff.diagonal()).max())

    def bids(values: Any) -> Float[np.ndarray, "*V"]:
        values = np.asarray(values, np.float64)
        out = np.array([float(bid(v)) if v >= start else np.nan for v in values.flat])
        return out.reshape(values.shape)

    return AuctionEquilibrium(
        rule, bidders, distribution, reserve, bids, float(revenue), max(0.0, regret)
    )
