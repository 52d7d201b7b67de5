"""The Shapley value of any number of players, from random orders of arrival, with intervals.

    phi_i = E[v(those before i, and i) - v(those before i)]

Castro et al. 2009; each order is followed by its reverse: Mitchell et al. 2022, arXiv:2104.12199.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from shoal.core.errors import require

Worths = Callable[[Bool[np.ndarray, "B N"]], Float[np.ndarray, "B"]]
"""The worth of many coalitions at once, given by who is in."""

CHUNK = 2**22
"""How many membership bits of sampled coalitions are held at once."""


@dataclass(frozen=True)
class ShapleyEstimate:
    """A Shapley value from sampled orders of arrival. The certificate is the interval."""

    values: Float[np.ndarray, "N"]
    """The estimate; it shares out v(N) exactly."""
    standard_error: Float[np.ndarray, "N"]
    """Of each estimate."""
    low: Float[np.ndarray, "N"]
    """The lower end of each player's interval."""
    high: Float[np.ndarray, "N"]
    """The upper end of each player's interval."""
    confidence: float
    """The chance that the interval of one player holds its value, by Student's t."""
    samples: int
    """How many orders were drawn."""
    method: str
    """The name of the method."""


def shapley_sampled(
    worths: Worths,
    num_players: int,
    samples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> ShapleyEstimate:
    """Estimates the Shapley value of any number of players from random orders of arrival.

    Each order is followed by its reverse: the two err in opposite ways where contributions grow or
    shrink with the coalition (Castro et al. 2009; antithetic pairs: Mitchell et al. 2022,
    arXiv:2104.12199).

    Args:
        worths: from who is in, bool `[B, N]`, to what each coalition is worth, `[B]`: `game.of`.
        num_players: N.
        samples: orders, an even number from 4.
        seed: of the random numbers.
        confidence: of each player's interval.

    Raises:
        UserError: a number is out of range; the empty coalition is worth something.

    >>> estimate = shapley_sampled(lambda members: members.sum(1) ** 2.0, 40, samples=100)
    >>> bool(abs(estimate.values.sum() - 1600) < 1e-9)
    True
    """
    require(num_players >= 1, f"there are {num_players} players, expected at least 1")
    require(
        samples >= 4 and samples % 2 == 0,
        f"samples is {samples}, expected an even number from 4: orders come in pairs",
    )
    require(0 < confidence < 1, f"confidence is {confidence:g}, expected between 0 and 1")
    rng = np.random.default_rng(seed)
    pairs, done = samples // 2, 0
    mean, spread = np.zeros(num_players), np.zeros(num_players)
    while done < pairs:
        batch = min(pairs - done, max(1, CHUNK // (2 * num_players * (num_players + 1))))
        ranks = np.argsort(rng.random((batch, num_players)), axis=1)
        drawn = (
            _contributions(worths, ranks) + _contributions(worths, num_players - 1 - ranks)
        ) / 2
        # Chan's update of the mean and of the sum of squares, which does not cancel.
        step = drawn.mean(0) - mean
        spread += ((drawn - drawn.mean(0)) ** 2).sum(0) + step**2 * done * batch / (done + batch)
        mean += step * batch / (done + batch)
        done += batch
    error = np.sqrt(spread / (pairs * (pairs - 1)))
    reach = float(stdtrit(pairs - 1, (1 + confidence) / 2)) * error
    return ShapleyEstimate(
        mean, error, mean - reach, mean + reach, confidence, samples, "antithetic permutations"
    )


def _contributions(worths: Worths, ranks: Int[np.ndarray, "B N"]) -> Float[np.ndarray, "B N"]:
    """What each player adds when it arrives, where `ranks` says as the how-many-th."""
    batch, num_players = ranks.shape
    arrived = ranks[:, None, :] < np.arange(num_players + 1)[:, None]
    values = np.asarray(worths(arrived.reshape(-1, num_players)), np.float64)
    require(
        values.shape == (batch * (num_players + 1),),
        f"the function gave shape {list(values.shape)} for {batch * (num_players + 1)} coalitions, "
        "expected one worth for each",
    )
    values = values.reshape(batch, num_players + 1)
    require(
        bool((values[:, 0] == 0).all()),
        f"the function gave {values[0, 0]:g} for the empty coalition, expected 0",
    )
    return np.take_along_axis(np.diff(values, axis=1), ranks, axis=1)
