"""How diverse a population of strategies is, from what they gain from each other.

expected cardinality   Tr(I - (M M' + I)**-1)         Perez-Nieves et al. 2021, arXiv:2103.07927
effective diversity    p' [A]+ p                      Balduzzi et al. 2019, arXiv:1901.08106
"""

from typing import Any

import numpy as np
from scipy.optimize import nnls

from shoal.core.errors import require
from shoal.games.checks import finite
from shoal.games.evolutionary.nash_averaging import nash_averaging
from shoal.games.normal_form import TOLERANCE


def expected_cardinality(payoffs: Any) -> float:
    """The mean size of a set drawn from the determinantal point process of the rows: how many
    strategies differ in what they gain. Between 0 and the number of rows.

    >>> round(expected_cardinality([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), 12)
    1.5

    Args:
        payoffs: `[S, K]`: the gains of S strategies against K others.
    """
    values = np.linalg.svd(finite("payoffs", payoffs, 2), compute_uv=False) ** 2
    return float((values / (1 + values)).sum())


def effective_diversity(payoffs: Any, strategy: Any | None = None) -> float:
    """How much the strategies that matter exploit each other: 0 where one is best.

    >>> round(effective_diversity([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), 12)
    0.333333333333

    Args:
        payoffs: antisymmetric, `[S, S]`.
        strategy: the weights p; by default the optimal strategy of greatest entropy.

    Raises:
        UserError: the payoffs are not antisymmetric, or the weights no distribution.
    """
    gains = finite("payoffs", payoffs, 2)
    p = nash_averaging(gains).strategy if strategy is None else np.asarray(strategy, float)
    require(
        p.shape == (len(gains),), f"strategy has shape {list(p.shape)}, expected [{len(gains)}]"
    )
    require(
        bool((p >= 0).all()) and abs(float(p.sum()) - 1) <= TOLERANCE * len(p),
        f"the strategy is not a distribution: least entry {p.min():g}, sum {p.sum():.12g}",
    )
    return float(p @ np.maximum(gains, 0) @ p)


def response_diversity(payoffs: Any, row: Any) -> float:
    """How far a new strategy's gains lie from every mixture of the old ones': 0 where it brings
    nothing new. Liu et al. 2021, arXiv:2106.04958.

    >>> response_diversity([[1, 0], [0, 1]], [1, 1])  # half of each has (1/2, 1/2)
    0.7071067811865476

    Args:
        payoffs: `[S, K]`: the gains of the old strategies.
        row: `[K]`: those of the new one.

    Raises:
        UserError: the shapes do not fit.
    """
    old, new = finite("payoffs", payoffs, 2), finite("row", row, 1)
    require(
        new.shape == old.shape[1:], f"row has shape {list(new.shape)}, expected [{old.shape[1]}]"
    )
    away = old - new
    # The least |w.away|^2 + (sum w - 1)^2 over w >= 0 is at a multiple of the nearest mixture.
    unit = away.T / (float(np.abs(away).max()) or 1.0)
    weights, _ = nnls(np.vstack([unit, np.ones(len(old))]), np.append(np.zeros(len(new)), 1.0))
    return float(np.linalg.norm(weights @ away / weights.sum()))
