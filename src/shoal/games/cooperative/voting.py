"""Power in weighted voting, counted exactly: who turns how many losing coalitions to winning ones.

    F(x, y) = prod_i (1 + x^w_i y);   F / (1 + x^w_i y) counts the others' coalitions

by weight (the power of x) and by size (of y). Mann, Shapley 1962; Brams, Affuso 1976. A polynomial
is kept as one whole number, whose digits are wide enough for its coefficients: to multiply it by
1 + x^w y is one shift and one sum.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Shaped

from shoal.core.errors import require
from shoal.games.checks import nonnegative
from shoal.games.cooperative.characteristic import whole_numbers
from shoal.games.exact_numbers import rational

LARGEST = 2**31
"""The most bits of a polynomial: 256 MiB."""


@dataclass(frozen=True)
class VotingPower:
    """The power of N voters, in `Fraction`s."""

    shapley: Shaped[np.ndarray, "N"]
    """Shapley, Shubik 1954: how often each is pivotal, over all orders; they add up to 1."""
    banzhaf: Shaped[np.ndarray, "N"]
    """Banzhaf 1965: the share of the others' coalitions that each makes win."""


def voting_power(quota: float | int, weights: Any) -> VotingPower:
    """The power of each voter where a coalition wins whose weights reach the quota. Exact for
    hundreds of voters, as long as weights are whole multiples of a unit and not too many of it.

    >>> power = voting_power(51, [50, 49, 1])
    >>> [str(p) for p in power.shapley], [str(p) for p in power.banzhaf]
    (['2/3', '1/6', '1/6'], ['3/4', '1/4', '1/4'])

    Raises:
        UserError: a weight is negative, the quota is not above 0 and at most the sum of the
            weights, or the sum has too many units.
    """
    nonnegative("weights", weights)
    require(math.isfinite(quota), f"the quota is {quota}, expected a finite number")
    whole = [int(n) for n in whole_numbers(rational([*rational(weights), *rational([quota])]))[0]]
    unit = math.gcd(*whole[:-1]) or 1
    heavy, needed = [n // unit for n in whole[:-1]], -(-whole[-1] // unit)
    require(
        0 < needed <= sum(heavy),
        f"the quota is {quota:g}, expected above 0 and at most the sum of the weights, "
        f"{float(sum(rational(weights))):g}",
    )
    count = len(heavy)
    digit = -(-(count + 1) // 8)  # bytes: a coefficient is at most 2^N
    row = digit * (count + 1)  # of all sizes at one weight
    require(
        8 * row * needed <= LARGEST,
        f"the quota is {needed:,} units of weight for {count} voters, at most "
        f"{LARGEST // (8 * row):,} fit: round the weights",
    )
    mask = (1 << 8 * row * needed) - 1  # what reaches the quota is not asked for
    every = 1
    for weight in heavy:
        every += every << 8 * (weight * row + digit)
        every &= mask
    by_weight = {w: _swings(every, w, needed, row, digit, mask) for w in set(heavy)}
    # The chance that exactly the members of one coalition of this size come before.
    before = [Fraction(1, count * math.comb(count - 1, size)) for size in range(count)]
    shapley = {w: sum(p * n for p, n in zip(before, swings)) for w, swings in by_weight.items()}
    banzhaf = {w: Fraction(sum(n), 2 ** (count - 1)) for w, n in by_weight.items()}
    return VotingPower(*(np.array([power[w] for w in heavy]) for power in (shapley, banzhaf)))


def _swings(every: int, weight: int, needed: int, row: int, digit: int, mask: int) -> list[int]:
    """How many losing coalitions of each size a voter of this weight makes win."""
    shift = 8 * (weight * row + digit)
    others = every - (every << shift) & mask  # 1 / (1 + z) = (1 - z) (1 + z^2) (1 + z^4) ...
    while (shift := 2 * shift) < mask.bit_length():
        others = others + (others << shift) & mask
    rows = others.to_bytes(row * needed, "little")
    first = max(0, needed - weight)
    total = sum(
        int.from_bytes(rows[k * row : (k + 1) * row], "little") for k in range(first, needed)
    )
    digits = total.to_bytes(row, "little")
    return [int.from_bytes(digits[k : k + digit], "little") for k in range(0, row, digit)]
