"""Advertising positions by generalised second price: each pays the next bid, for a click.

    the bidder in position k pays  b_(k+1)  a click, and is clicked at rate  alpha_k

Not truthful; its envy-free equilibria: Edelman, Ostrovsky, Schwarz 2007; Varian 2007.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from shoal.core.errors import require
from shoal.games.checks import nonnegative


@dataclass(frozen=True)
class PositionOutcome:
    """Who gets which advertising position, at which price."""

    positions: Int[np.ndarray, "N"]
    """The position of each bidder, 0 the best, or -1."""
    prices: Float[np.ndarray, "N"]
    """What each pays for a click."""
    payments: Float[np.ndarray, "N"]
    """What each pays in all: price times click rate."""
    method: str = "generalised second price"


def generalized_second_price(bids: Any, click_rates: Any) -> PositionOutcome:
    """Positions go in the order of bids; each pays the next bid for a click. Not truthful.

    Args:
        bids: what each bidder offers for a click, `[N]`; of equal bids the first goes first.
        click_rates: of each position, `[M]`, falling.

    Raises:
        UserError: a number is negative or not finite; click rates rise.
    """
    offers, rates = nonnegative("bids", bids), _rates(click_rates)
    order = np.argsort(-offers, kind="stable")
    following = np.append(offers[order], 0.0)[1:]
    filled = min(len(offers), len(rates))
    positions, prices, payments = (
        np.full(len(offers), -1),
        np.zeros(len(offers)),
        np.zeros(len(offers)),
    )
    winners = order[:filled]
    positions[winners] = np.arange(filled)
    prices[winners] = following[:filled]
    payments[winners] = following[:filled] * rates[:filled]
    return PositionOutcome(positions, prices, payments)


def envy_free_bids(values: Any, click_rates: Any) -> Float[np.ndarray, "N"]:
    """Bids in the equilibrium of the generalised second price auction in which none would rather
    have the next position up at its price, and all pay as in VCG (Edelman et al. 2007).

    Args:
        values: what a click is worth to each bidder, `[N]`.
        click_rates: of each position, `[M]`, falling and positive.

    Raises:
        UserError: a number is negative or not finite; click rates rise.
    """
    worth, rates = nonnegative("values", values), _rates(click_rates)
    require(bool((rates > 0).all()), "a click rate is 0, expected positive ones")
    order = np.argsort(-worth, kind="stable")
    ranked = worth[order]
    after = np.append(rates, 0.0)
    bids = ranked.copy()  # those who win no position bid their value, and so does the first
    payment = 0.0
    for k in reversed(range(1, len(worth))):
        if k <= len(rates):  # the bid that the holder of position k-1 pays
            payment += (rates[k - 1] - after[k]) * ranked[k]
            bids[k] = payment / rates[k - 1]
    out = np.empty_like(bids)
    out[order] = bids
    return out


def _rates(click_rates: Any) -> Float[np.ndarray, "M"]:
    rates = nonnegative("click rates", click_rates)
    require(
        bool((np.diff(rates) <= 0).all()),
        f"click rates {rates.tolist()} rise, expected them falling",
    )
    return rates
