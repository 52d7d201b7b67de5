"""Double auctions: buyers bid, sellers ask, and a rule says who trades at which price.

    McAfee: the last pair that would gain by trading sets the prices, and does not trade
    k-double auction: one buyer, one seller, price  k b + (1 - k) s  where b >= s

McAfee 1992; Chatterjee, Samuelson 1983; what no rule can reach: Myerson, Satterthwaite 1983.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from shoal.core.errors import require
from shoal.games.checks import nonnegative


@dataclass(frozen=True)
class DoubleAuctionOutcome:
    """Who trades, at which prices."""

    buys: Bool[np.ndarray, "B"]
    """Whether each buyer gets a unit."""
    sells: Bool[np.ndarray, "S"]
    """Whether each seller gives its unit."""
    buyer_price: float
    """What each of those buyers pays; NaN where none trades."""
    seller_price: float
    """What each of those sellers gets; NaN where none trades."""
    method: str = "McAfee's trade reduction"

    @property
    def trades(self) -> int:
        return int(self.buys.sum())

    @property
    def surplus(self) -> float:
        """What the market keeps, never below 0."""
        return self.trades * (self.buyer_price - self.seller_price) if self.trades else 0.0


def mcafee(bids: Any, asks: Any) -> DoubleAuctionOutcome:
    """A double auction for single units in which truth is dominant and the market never pays.

    The price is the mean of the first bid and ask that do not trade, if all others would trade at
    it; else the last pair that would trade does not, and sets the prices (McAfee 1992).

    Args:
        bids: the most that each buyer would pay, `[B]`.
        asks: the least that each seller would take, `[S]`.

    Raises:
        UserError: a number is negative or not finite.

    >>> outcome = mcafee([9, 8, 7, 4], [2, 3, 4, 5])
    >>> outcome.trades, outcome.buyer_price, outcome.seller_price
    (3, 4.5, 4.5)
    """
    offers, costs = nonnegative("bids", bids), nonnegative("asks", asks)
    buyers, sellers = np.argsort(-offers, kind="stable"), np.argsort(costs, kind="stable")
    most = min(len(offers), len(costs))
    high, low = offers[buyers], costs[sellers]
    k = int((high[:most] >= low[:most]).sum())
    paid = received = float("nan")
    if k > 0:
        k, paid, received = _prices(high, low, k)
    buys, sells = np.zeros(len(offers), bool), np.zeros(len(costs), bool)
    buys[buyers[:k]] = True
    sells[sellers[:k]] = True
    return DoubleAuctionOutcome(buys, sells, paid, received)


@dataclass(frozen=True)
class LinearDoubleAuction:
    """The linear equilibrium of the k-double auction, value and cost uniform on [0, 1]: the two
    trade at $k b + (1 - k) s$ if the bid b is at least the ask s."""

    k: float
    """The weight of the buyer's bid in the price."""

    def buyer(self, value: Any) -> Any:
        """The bid, $v / (1 + k) + k (1 - k) / (2 (1 + k))$."""
        return np.asarray(value) / (1 + self.k) + self.k * (1 - self.k) / (2 * (1 + self.k))

    def seller(self, cost: Any) -> Any:
        """The ask, $c / (2 - k) + (1 - k) / 2$."""
        return np.asarray(cost) / (2 - self.k) + (1 - self.k) / 2

    @property
    def gains(self) -> float:
        """The expected gains from trade."""
        # They trade where v >= slope c + start, so for costs up to `last`.
        slope, start, last = (1 + self.k) / (2 - self.k), (1 - self.k) / 2, (2 - self.k) / 2
        # int_0^last int_(slope c + start)^1 (v - c) dv dc, term by term.
        square = (1 - start**2) * last - slope * start * last**2 - slope**2 * last**3 / 3
        line = (1 - start) * last**2 / 2 - slope * last**3 / 3
        return square / 2 - line

    @property
    def first_best(self) -> float:
        """The gains if all who should trade did, E max(v - c, 0) = 1/6."""
        return 1 / 6


def chatterjee_samuelson(k: float | int = 0.5) -> LinearDoubleAuction:
    """The k-double auction; at 1/2 no mechanism reaches higher gains (Myerson, Satterthwaite 1983).

    Raises:
        UserError: k is not between 0 and 1.

    >>> chatterjee_samuelson().gains * 64
    9.0
    """
    require(0 <= k <= 1, f"k is {k}, expected between 0 and 1")
    return LinearDoubleAuction(float(k))


def _prices(high: np.ndarray, low: np.ndarray, k: int) -> tuple[int, float, float]:
    """How many trade, and what buyers pay and sellers get, where k pairs would trade."""
    if k < min(len(high), len(low)):
        price = float(high[k] + low[k]) / 2
        if low[k - 1] <= price <= high[k - 1]:
            return k, price, price
    if k == 1:
        return 0, float("nan"), float("nan")
    return k - 1, float(high[k - 1]), float(low[k - 1])
