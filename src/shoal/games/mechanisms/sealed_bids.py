"""One item sold to given sealed bids: who wins, and what each pays.

    second-price  the second highest bid, or the reserve price if that is more
    first-price   the winner's own bid         all-pay  everyone pays its own bid

What one should bid is in `auctions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from shoal.core.errors import unknown
from shoal.games.checks import nonnegative

RULES = ("second_price", "first_price", "all_pay")


@dataclass(frozen=True)
class Sale:
    """Who gets the item, and who pays what."""

    winner: Any
    """The number of the winning bid, from 0, or its name; None where the item is not sold."""
    tied: tuple[Any, ...]
    """All who bid the highest, the winner first; more than one is a tie, which the first in the
    list of bids wins."""
    payments: Float[np.ndarray, "n"]
    """What each pays, in the order of the bids."""
    revenue: float
    """What the seller gets."""


def run_auction(bids: Any, rule: str = "second_price", reserve: float | int = 0) -> Sale:
    """Sells one item to the highest of these bids.

    Args:
        bids: a list of them, or a dict by the bidders' names; each 0 or more.
        rule: "second_price", "first_price" or "all_pay".
        reserve: the least bid that is accepted. Who bids less pays nothing.

    >>> sale = run_auction({"Ann": 10, "Ben": 8, "Cy": 3}, reserve=9)
    >>> sale.winner, sale.revenue
    ('Ann', 9.0)

    Raises:
        UserError: bids or the reserve are negative or no numbers, or the rule is unknown.
    """
    names = list(bids) if isinstance(bids, Mapping) else None
    offers = nonnegative("bids", bids if names is None else list(bids.values()))
    least = float(nonnegative("the reserve price", [reserve])[0])
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    accepted = np.where(offers >= least, offers, 0.0)
    payments = np.zeros(len(offers))
    if (offers < least).all():
        return Sale(None, (), payments, 0.0)
    tied = np.flatnonzero(offers == offers.max()).tolist()
    winner = tied[0]
    if rule == "all_pay":
        payments = accepted
    elif rule == "first_price":
        payments[winner] = offers[winner]
    else:
        payments[winner] = max(least, np.delete(accepted, winner).max(initial=0.0))
    who = tuple(i if names is None else names[i] for i in tied)
    return Sale(who[0], who, payments, float(payments.sum()))
