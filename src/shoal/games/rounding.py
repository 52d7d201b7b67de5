"""When payoffs tie, and when floats can be trusted with them.

A forbidden move may cost 10^9 where others gain 1 or 2. A share of the range of payoffs is then
more than what players decide by, so that two payoffs are compared by their own sizes, and a gain
with the sizes of what it is the sum of:

    rounding of u_i(b, x_-i)  ~  sum_a |u_i(b, a_-i)| prod_j x_j(a_j) / 2^52

Higham, Accuracy and stability of numerical algorithms (2002), chapter 3.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from shoal.games.normal_form import NormalForm, Profile, centred, deviations

BIT = float(np.finfo(float).eps)
NEAR = 2e-7
"""Payoffs of finer steps than this share of their range are for whole numbers."""
LOOSE = 1e-9
"""What may be left to gain, as a share of the range, where steps are not so fine."""
DECIMALS = 1e4
"""Tables of at most four decimals have steps of a common size."""
EXACT, LARGEST = 2.0**53, 2.0**61
"""Below these, floats hold whole numbers exactly, and differences fit in 64 bits."""


def tied(one: Any, other: Any) -> Bool[np.ndarray, "..."]:
    """Whether payoffs are the same but for their last bits; whole numbers only where equal."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    size = np.maximum(np.abs(one), np.abs(other))
    whole = (one % 1 == 0) & (other % 1 == 0) & (size < EXACT)
    return (one == other) | (~whole & (np.abs(one - other) <= 4 * BIT * size))


def is_wide(*tables: Any) -> bool:
    """Whether some table has payoffs that differ by so little, for the range of all, that a
    program in floats may take different ones for one."""
    return any(bool(are_wide(np.reshape(table, (1, -1)))[0]) for table in tables)


def are_wide(tables: Float[np.ndarray, "K P"]) -> Bool[np.ndarray, " K"]:
    """`is_wide` of each of many tables of P payoffs.

    Steps are those from one payoff to the next and to 0; in a table of whole numbers, or of few
    decimals, all that mixtures can be compared by: their greatest common divisor.
    """
    values = np.sort(np.asarray(tables, np.float64), axis=1)
    width, sizes = values[:, -1] - values[:, 0], np.abs(values)
    near = np.full(len(values), min(NEAR, 1e-4 / values.shape[1] ** 2))  # not by chance
    steps = np.diff(values)
    steps[tied(values[:, :-1], values[:, 1:])] = np.inf
    finest = steps.min(axis=1, initial=np.inf)
    finest = np.minimum(finest, sizes.min(axis=1, initial=np.inf, where=sizes > 0))
    for unit in (1.0, DECIMALS):
        even = (values * unit % 1 == 0).all(axis=1) & (sizes.max(axis=1) * unit < LARGEST)
        whole = np.diff((values[even] * unit).astype(np.int64))
        finest[even], near[even] = np.gcd.reduce(whole, axis=1) / unit, NEAR
    return finest < near * width


def is_equilibrium(game: NormalForm, profile: Profile, wide: bool = True) -> bool:
    """Whether nobody gains by leaving the profile, but for rounding: of the payoffs that meet in
    each gain, or with `wide` false of the range of the player's payoffs."""
    payoffs = centred(game)
    sizes = np.abs(payoffs)
    for i, x in enumerate(profile):
        values, about = deviations(payoffs, profile, i), deviations(sizes, profile, i)
        rounding = BIT * (1 + sum(game.num_actions)) * (about + about @ x)
        if not wide:
            rounding = np.maximum(rounding, LOOSE * np.ptp(payoffs[i]))
        if (values - values @ x > rounding).any():
            return False
    return True
