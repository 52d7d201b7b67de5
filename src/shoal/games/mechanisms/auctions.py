r"""Auctions of one item to n bidders whose values are drawn alike: how they bid in equilibrium.

    With B(v) the mean of the best of the others' values and r, given that it is below v, where r is
    the reserve price or the least value, and G = F^(n-1), the chance of that:
    second-price  b(v) = v            first-price  b(v) = B(v) = v - int_r^v G / G(v)
    all-pay       b(v) = G(v) B(v)    third-price  b(v) = v + F(v) / ((n-2) f(v))

All sell to the highest value, and so bring the same revenue. Means over the best of k values are
integrals over t, with u = exp(-t / k) the best one's rank: as sharp for a million as for two.
Vickrey 1961; Myerson 1981; Riley, Samuelson 1981; third price: Kagel, Levin 1993.
"""

import functools
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
LONGEST = 45.0
"""Where integrals over t end: exp(-45) is 3e-20."""


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
    """What the seller gets on average; infinite where the second highest value has no mean."""
    regret: float
    """The most that a bidder could gain by bidding as if it had another value, over a grid of
    both: computed from what the rule makes it pay, not from the formula of the bid."""


def second_price(
    bidders: int, distribution: Any = STANDARD, reserve: float | int | None = None
) -> AuctionEquilibrium:
    """The highest bidder pays the second highest bid: bid your value (Vickrey 1961).

    Raises:
        UserError: `bidders` is no whole number, or less than 1; the reserve is out of range.

    >>> round(second_price(2, reserve=0.5).revenue * 12, 9)
    5.0
    """
    n, start = _entry(bidders, 1, distribution, reserve)
    best = _best_of_others(n, distribution, start)

    def price(q: float) -> float:
        return q ** (n - 1) * best(q)

    return _certified("second-price", n, distribution, reserve, lambda v: v, price)


def first_price(
    bidders: int, distribution: Any = STANDARD, reserve: float | int | None = None
) -> AuctionEquilibrium:
    """The highest bidder pays its bid: bid what the best of the others is expected to value, if
    that is below yours.

    Raises:
        UserError: `bidders` is no whole number, or less than 1; the reserve is out of range.

    >>> float(first_price(4).bid(0.8).round(9))
    0.6
    """
    n, start = _entry(bidders, 1, distribution, reserve)
    best = _best_of_others(n, distribution, start)

    def bid(value: float) -> float:
        return best(float(distribution.cdf(value)))

    def price(q: float) -> float:
        return q ** (n - 1) * bid(float(distribution.ppf(q)))

    return _certified("first-price", n, distribution, reserve, bid, price)


def all_pay(bidders: int, distribution: Any = STANDARD) -> AuctionEquilibrium:
    """The highest bidder wins and everyone pays its own bid.

    Raises:
        UserError: `bidders` is no whole number, or less than 1; values may be negative or are
            unbounded below.

    >>> float(all_pay(3).bid(0.5).round(9))
    0.083333333
    """
    n, start = _entry(bidders, 1, distribution, None)
    best = _best_of_others(n, distribution, start)

    def bid(value: float) -> float:
        rank = float(distribution.cdf(value))
        return rank ** (n - 1) * best(rank)

    def price(q: float) -> float:
        return bid(float(distribution.ppf(q)))

    return _certified("all-pay", n, distribution, None, bid, price)


def third_price(bidders: int, distribution: Any = STANDARD) -> AuctionEquilibrium:
    """The highest bidder pays the third highest bid: bid above your value (Kagel, Levin 1993).

    An equilibrium where that bid rises with the value, as it does where log F is concave.

    Raises:
        UserError: `bidders` is no whole number, or less than 3; the bid falls somewhere.

    >>> float(third_price(4).bid(0.5).round(9))
    0.75
    """
    n, _ = _entry(bidders, 3, distribution, None)

    def bid(value: float) -> float:
        rank = float(distribution.cdf(value))
        return value + (rank / ((n - 2) * float(distribution.pdf(value))) if rank > 0 else 0.0)

    def of_rank(u: Any) -> Any:
        return distribution.ppf(u) + u / ((n - 2) * distribution.pdf(distribution.ppf(u)))

    bids = of_rank(ranks_up(0.0, GRID)[1:])
    require(
        bool((np.diff(bids) >= 0).all()),
        "the third-price bid v + F / ((n-2) f) falls somewhere: no increasing equilibrium",
    )

    def price(q: float) -> float:
        # The second highest of the n-1 others, while the highest of them is below q.
        mean = _mean_of_best(lambda u, below: of_rank(u) * below, n - 2, 0.0, q)
        return (n - 1) * q ** (n - 1) * mean

    return _certified("third-price", n, distribution, None, bid, price)


def _entry(
    bidders: Any, fewest: int, distribution: Any, reserve: float | int | None
) -> tuple[int, float]:
    """The number of bidders and the least value that bids."""
    require(
        isinstance(bidders, int | np.integer) and not isinstance(bidders, bool),
        f"bidders is {bidders}, expected how many there are, a whole number; "
        "run_auction sells to given bids",
    )
    require(bool(bidders >= fewest), f"there are {bidders} bidders, expected at least {fewest}")
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
    return int(bidders), lowest if reserve is None else max(lowest, float(reserve))


def _best_of_others(n: int, distribution: Distribution, start: float) -> Callable[[float], float]:
    """The mean of the best of the n-1 others' values and `start`, given that all are below rank q;
    as a function of q."""
    q0 = float(distribution.cdf(start))

    def best(q: float) -> float:
        if n == 1 or q <= q0:
            return start
        none = start * (q0 / q) ** (n - 1)
        return none + _mean_of_best(lambda u, _: distribution.ppf(u), n - 1, q0, q)

    return best


def _mean_of_best(function: Callable[[Any, Any], Any], k: int, low: float, high: float) -> float:
    """The integral of `function(u, 1 - u / high)`, of arrays, from `low` to `high` over the rank u
    of the best of k values, all of which are below `high`: over d (u / high)^k.

    Infinite where the function grows as 1 / t towards the top, or faster. By Gauss's rule in log t;
    where fewer points do not say the same, step by step.
    """
    if high <= low:
        return 0.0
    longest = LONGEST if low == 0 else min(LONGEST, k * math.log(high / low))

    def weighted(t: Any) -> Any:
        return function(high * np.exp(-t / k), -np.expm1(-t / k)) * np.exp(-t)

    first = min(1e-10 * k, 1e-6, longest / 100)  # nearer to the top, ranks are too near to 1
    near, far = (float(weighted(t)) for t in (first, 100 * first))
    growth = math.log(near / far, 100) if near > 0 and far > 0 else 0.0  # as t^-growth
    if growth > 0.999:
        return math.inf
    ends = math.log(first), math.log(longest)
    middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2

    def of_log(x: Any) -> Any:
        t = np.exp(middle + half * x)
        return weighted(t) * t * half

    rough, total = (float(w @ of_log(x)) for x, w in map(_gauss, (192, 256)))
    if abs(total - rough) > 1e-8 * abs(total):
        total = quad(lambda x: float(of_log(x)), -1, 1, epsabs=0, epsrel=1e-8, limit=200)[0]
    return total + near * first / (1 - growth)


@functools.cache
def _gauss(points: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(points)


def _revenue(n: int, distribution: Distribution, start: float) -> float:
    """What the seller gets, whatever the rule: the second highest value, or the least that bids
    where nobody else does."""
    q0 = float(distribution.cdf(start))
    alone = start * n * (1 - q0) * q0 ** (n - 1)
    if n == 1:
        return alone
    return alone + _mean_of_best(lambda u, below: distribution.ppf(u) * n * below, n - 1, q0, 1.0)


def _certified(
    rule: str,
    bidders: int,
    distribution: Distribution,
    reserve: float | int | None,
    bid: Callable[[float], Any],
    price: Callable[[float], float],
) -> AuctionEquilibrium:
    """Adds the revenue and the regret. `price(q)` is what one who bids like rank q pays on
    average."""
    start = reserve if reserve is not None else float(distribution.ppf(0.0))
    # Spread by the chance to win, which with many bidders only the highest values have.
    fewer = max(1, bidders - 1)
    ranks = ranks_up(float(distribution.cdf(start)) ** fewer, GRID) ** (1 / fewer)
    values = np.array([float(distribution.ppf(q)) for q in ranks])
    paid = np.array([price(q) for q in ranks])
    payoff = values[:, None] * ranks ** (bidders - 1) - paid
    regret = float((np.maximum(payoff.max(1), 0.0) - payoff.diagonal()).max())

    def bids(values: Any) -> Float[np.ndarray, "*V"]:
        values = np.asarray(values, np.float64)
        out = np.array([float(bid(v)) if v >= start else np.nan for v in values.flat])
        return out.reshape(values.shape)

    revenue = _revenue(bidders, distribution, max(start, float(distribution.ppf(0.0))))
    return AuctionEquilibrium(rule, bidders, distribution, reserve, bids, revenue, max(0.0, regret))
