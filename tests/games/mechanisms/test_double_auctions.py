"""Double auctions: McAfee's trades by hand and truthful, linear equilibria as best replies."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.mechanisms.double_auctions import chatterjee_samuelson, mcafee


@pytest.mark.parametrize(
    ("bids", "asks", "trades", "prices"),
    [
        pytest.param([9, 8, 7, 4], [2, 3, 4, 5], 3, (4.5, 4.5), id="one price"),
        # (1 + 9) / 2 = 5 does not lie between the ask 6 and the bid 7: the pair goes.
        pytest.param([9, 7, 1], [2, 6, 9], 1, (7, 6), id="a pair less"),
        pytest.param([5, 4], [6, 7], 0, None, id="no gains"),
        pytest.param([9], [2], 0, None, id="a single pair"),
        # All four would trade, so that no bid is left to make a price of.
        pytest.param([9, 8], [1, 2], 1, (8, 2), id="nobody left over"),
    ],
)
def test_mcafee_by_hand(bids: list, asks: list, trades: int, prices: tuple | None) -> None:
    found = mcafee(bids, asks)
    assert found.trades == found.sells.sum() == trades
    if prices is None:
        assert np.isnan(found.buyer_price) and found.surplus == 0
    else:
        assert (found.buyer_price, found.seller_price) == prices
        assert found.surplus == trades * (prices[0] - prices[1])


def test_mcafee_serves_the_best_in_any_order() -> None:
    found = mcafee([4, 9, 7, 8], [5, 3, 2, 4])
    assert found.buys.tolist() == [False, True, True, True]
    assert found.sells.tolist() == [False, True, True, True]


@pytest.mark.parametrize("seed", range(4))
def test_mcafee_is_truthful_and_never_pays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, costs = rng.random(4) + 0.4, rng.random(5)
    found = mcafee(values, costs)
    assert found.surplus >= 0 and found.trades > 0
    assert (values[found.buys] >= found.buyer_price).all()
    assert (costs[found.sells] <= found.seller_price).all()
    possible = int((np.sort(values)[::-1][:4] >= np.sort(costs)[:4]).sum())
    assert found.trades >= possible - 1  # at most one trade is lost
    for told in np.linspace(0, 1.5, 101):
        for i in range(4):
            after = mcafee(np.where(np.arange(4) == i, told, values), costs)
            gain = (values[i] - after.buyer_price) if after.buys[i] else 0.0
            assert gain <= (values[i] - found.buyer_price if found.buys[i] else 0) + 1e-12
        for j in range(5):
            after = mcafee(values, np.where(np.arange(5) == j, told, costs))
            gain = (after.seller_price - costs[j]) if after.sells[j] else 0.0
            assert gain <= (found.seller_price - costs[j] if found.sells[j] else 0) + 1e-12


def test_chatterjee_samuelson() -> None:
    found = chatterjee_samuelson()
    assert found.buyer(0.6) == pytest.approx(2 / 3 * 0.6 + 1 / 12, abs=1e-12)
    assert found.seller(0.6) == pytest.approx(2 / 3 * 0.6 + 1 / 4, abs=1e-12)
    assert found.gains == pytest.approx(9 / 64, abs=1e-12)
    assert found.buyer([0, 0.6]).tolist() == [found.buyer(0), found.buyer(0.6)]
    assert found.first_best == pytest.approx(1 / 6, abs=1e-12)


@pytest.mark.parametrize("k", [0, 0.3, 0.5, 1])
def test_linear_bids_are_best_replies(k: float | int) -> None:
    found = chatterjee_samuelson(k)
    grid = (np.arange(4000) + 0.5) / 4000
    asks, bids = found.seller(grid), found.buyer(grid)
    options = np.linspace(0, 1, 201)[:, None]
    for type_ in (0.1, 0.4, 0.7, 0.95):

        def buyer(bid, value=type_):
            return np.mean((bid >= asks) * (value - k * bid - (1 - k) * asks), axis=-1)

        def seller(ask, cost=type_):
            return np.mean((bids >= ask) * (k * bids + (1 - k) * ask - cost), axis=-1)

        assert buyer(options).max() <= buyer(found.buyer(type_)) + 1e-3
        assert seller(options).max() <= seller(found.seller(type_)) + 1e-3
    # A price-setter who bids its value, or a shift of the bids, does clearly worse.
    if k == 0.5:
        assert buyer(found.buyer(0.95) + 0.1) < buyer(found.buyer(0.95)) - 3e-3
    trades = found.buyer(grid[:, None]) >= found.seller(grid)
    gains = np.mean(trades * (grid[:, None] - grid))
    assert found.gains == pytest.approx(gains, abs=2e-4)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mcafee([1, -1], [1]), "bids are"),
        (lambda: mcafee([1], [float("nan")]), "asks are"),
        (lambda: chatterjee_samuelson(1.5), "k is 1.5"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
