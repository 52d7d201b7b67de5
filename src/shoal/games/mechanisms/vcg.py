r"""VCG: allot items to maximise value, and charge each bidder what its presence costs the others.

    allot  max sum_i v_i,     i pays  max_{without i} sum_{j != i} v_j  -  sum_{j != i} v_j

Vickrey 1961, Clarke 1971, Groves 1973; for one item each: Leonard 1983.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from shoal.core.errors import require
from shoal.games.checks import finite

MAX_ITEMS = 12
"""The most items whose 3^M splits into bundles are all tried."""


@dataclass(frozen=True)
class VCGOutcome:
    """Who gets what and pays what, where to report the truth is a dominant strategy."""

    bundles: tuple[tuple[int, ...], ...]
    """The items of each bidder, by number."""
    payments: Float[np.ndarray, "N"]
    """What each pays: how much its presence costs the others (Clarke's pivot)."""
    utilities: Float[np.ndarray, "N"]
    """What each gains, if it reported the truth."""
    welfare: float
    """The value of the allotment to all, the most that there is."""
    method: str
    """How the best allotment was found."""

    @property
    def revenue(self) -> float:
        return float(self.payments.sum())


def vcg(values: Any) -> VCGOutcome:
    """Allots any number of items to each bidder, by what bundles are worth to it.

    Args:
        values: `[N, 2^M]`, `values[i, mask]`: what bundle `mask`, in which bit k is item k, is
            worth to bidder i. The empty bundle is worth 0. Items may be left over.

    Raises:
        UserError: values do not fit; there are more than 12 items.

    >>> vcg([[0, 0, 0, 10], [0, 6, 0, 6], [0, 0, 7, 7]]).payments.tolist()  # two against a pair
    [0.0, 3.0, 4.0]
    """
    worth = finite("values", values, 2)
    count = worth.shape[1]
    require(
        count.bit_count() == 1,
        f"values have {count} columns, expected 2^M: one for each bundle of M items",
    )
    items = count.bit_length() - 1
    require(
        items <= MAX_ITEMS,
        f"there are {items} items, expected at most {MAX_ITEMS} to try all bundles; where each "
        "wants one item, `vcg_assignment` takes any number",
    )
    require(bool((worth[:, 0] == 0).all()), "an empty bundle has a value, expected 0 in column 0")
    splits = _splits(items)
    best, bundles = _allot(worth, splits)
    others = np.array([_allot(np.delete(worth, i, 0), splits)[0] for i in range(len(worth))])
    got = worth[np.arange(len(worth)), bundles]
    held = tuple(tuple(k for k in range(items) if mask >> k & 1) for mask in bundles)
    return _pivot(held, got, best, others, "all splits of the items, by dynamic programming")


def vcg_assignment(values: Any) -> VCGOutcome:
    """Allots at most one item to each bidder, by the Hungarian method (Leonard 1983).

    Args:
        values: `[N, M]`, what each item is worth to each bidder. None is forced on anyone.

    Raises:
        UserError: values are not a matrix of finite numbers.

    >>> vcg_assignment([[10], [7], [3]]).payments.tolist()
    [7.0, 0.0, 0.0]
    """
    worth = finite("values", values, 2)
    best, chosen = _assign(worth)
    others = np.array([_assign(np.delete(worth, i, 0))[0] for i in range(len(worth))])
    got = np.array([worth[i, k] if k >= 0 else 0.0 for i, k in enumerate(chosen)])
    held = tuple((int(k),) if k >= 0 else () for k in chosen)
    return _pivot(held, got, best, others, "Hungarian method")


def _pivot(
    bundles: tuple[tuple[int, ...], ...],
    got: Float[np.ndarray, "N"],
    best: float,
    others: Float[np.ndarray, "N"],
    method: str,
) -> VCGOutcome:
    """Payments: the others' best without each bidder, less what they have with it."""
    payments = others - (best - got)
    return VCGOutcome(bundles, payments, got - payments, best, method)


def _splits(items: int) -> tuple[Int[np.ndarray, "K"], Int[np.ndarray, "K"], Int[np.ndarray, "P"]]:
    """All 3^M pairs of a bundle and a part of it, and where each bundle's pairs start."""
    whole, part = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for k in range(items):
        bit = 1 << k
        whole = np.concatenate([whole, whole | bit, whole | bit])
        part = np.concatenate([part, part, part | bit])
    order = np.argsort(whole, kind="stable")
    whole, part = whole[order], part[order]
    return whole, part, np.searchsorted(whole, np.arange(1 << items))


def _allot(values: np.ndarray, splits: tuple[np.ndarray, ...]) -> tuple[float, list[int]]:
    """The best allotment and each bidder's bundle, by dynamic programming over bidders."""
    whole, part, starts = splits
    best = np.zeros(len(starts))
    taken = []
    for worth in values:
        total = best[whole ^ part] + worth[part]
        best = np.maximum.reduceat(total, starts)
        hits = np.flatnonzero(total == best[whole])
        taken.append(part[hits[np.searchsorted(whole[hits], np.arange(len(starts)))]])
    left, bundles = len(starts) - 1, []
    for choice in reversed(taken):
        bundles.append(int(choice[left]))
        left ^= bundles[-1]
    return float(best[-1]), bundles[::-1]


def _assign(values: np.ndarray) -> tuple[float, Int[np.ndarray, "N"]]:
    """The best assignment, and each bidder's item or -1."""
    bidders, items = values.shape
    padded = np.hstack([values, np.zeros((bidders, bidders))])  # so that all may go without
    rows, columns = linear_sum_assignment(padded, maximize=True)
    chosen = np.full(bidders, -1)
    chosen[rows] = np.where(columns < items, columns, -1)
    return float(padded[rows, columns].sum()), chosen
