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
FINE = 1e-3
"""What may be left where they are, as a share of the finest step."""
DECIMALS = 1e4
"""Tables of at most four decimals have steps of a common size."""
EXACT, LARGEST = 2.0**53, 2.0**61
"""Below these, floats hold whole numbers exactly, and differences fit in 64 bits."""


def tied(one: Any, other: Any) -> Bool[np.ndarray, "..."]:
    """Whether payoffs are the same but for their last bits; whole numbers only where equal."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    size = np.maximum(np.abs(one), np.abs(other))
    whole = (one % 1 == 0) & (other % 1 == 0) & (size < EXACT)
    return np.asarray((one == other) | (~whole & (np.abs(one - other) <= 4 * BIT * size)))


def is_wide(*tables: Any) -> bool:
    """Whether some table has payoffs that differ by so little, for the range of all, that a
    program in floats may take different ones for one."""
    return any(bool(are_wide(np.asarray(table, np.float64).reshape(1, -1))[0]) for table in tables)


def are_wide(tables: Float[np.ndarray, "K P"]) -> Bool[np.ndarray, " K"]:
    """`is_wide` of each of many tables of P payoffs."""
    finest, even = finest_steps(tables)
    near = min(NEAR, 1e-4 / tables.shape[1] ** 2)  # not by chance, of many random numbers
    return finest < np.where(even, NEAR, near) * np.ptp(tables, axis=1)


def finest_steps(
    tables: Float[np.ndarray, "K P"],
) -> tuple[Float[np.ndarray, " K"], Bool[np.ndarray, " K"]]:
    """The least difference that matters in each table, and whether it is a common step of all.

    In a table of whole numbers, or of few decimals, that is all that mixtures can be compared by:
    their greatest common divisor. Otherwise it is from one payoff to the next, or to 0.
    """
    values = np.sort(np.asarray(tables, np.float64), axis=1)
    sizes, steps = np.abs(values), np.diff(values)
    steps[tied(values[:, :-1], values[:, 1:])] = np.inf
    finest = steps.min(axis=1, initial=np.inf)
    finest = np.minimum(finest, sizes.min(axis=1, initial=np.inf, where=sizes > 0))
    common = np.zeros(len(values), bool)
    for unit in (1.0, DECIMALS):
        even = (values * unit % 1 == 0).all(axis=1) & (sizes.max(axis=1) * unit < LARGEST) & ~common
        whole = np.diff((values[even] * unit).astype(np.int64))
        finest[even] = np.gcd.reduce(whole, axis=1) / unit
        common |= even
    return finest, common


def is_equilibrium(game: NormalForm, profile: Profile, wide: bool = True) -> bool:
    """Whether nobody gains by leaving the profile, but for rounding: a share of the player's range
    of payoffs, or if that is `wide`, of what meets in each gain and of the finest step."""
    payoffs = centred(game)
    flat = payoffs.reshape(len(payoffs), -1)
    steps, _ = finest_steps(flat)
    for i, x in enumerate(profile):
        rounding = LOOSE * np.ptp(flat[i])
        values = deviations(payoffs, profile, i)
        if wide:
            about = deviations(np.abs(payoffs), profile, i)
            rounding = np.minimum(4 * BIT * (about + about @ x), FINE * steps[i])
        if (values - values @ x > rounding).any():
            return False
    return True
