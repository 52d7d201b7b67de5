"""A finite population with any mutation rate: the Markov chain on all its compositions.

States are the counts (n_1, ..., n_S) that sum to Z, (Z+S-1 choose S-1) of them; in a step one
member at most changes its strategy. Sparse throughout. Imhof, Fudenberg, Nowak 2005.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from shoal.core.errors import require
from shoal.games.evolutionary.finite import AbstractProcess
from shoal.games.evolutionary.markov import imbalance, stationary_sparse
from shoal.games.evolutionary.populations import two_player_matrix

LARGEST = 200_000
"""The most states of a chain."""


@dataclass(frozen=True)
class PopulationChain:
    """K states of a population of Z members and S strategies, and how often each is seen."""

    states: Int[np.ndarray, "K S"]
    """How many play each strategy."""
    transitions: sp.csr_array
    """The chances of a step, `[K, K]`."""
    distribution: Float[np.ndarray, "K"]
    """The share of time in each state."""
    shares: Float[np.ndarray, "S"]
    """The mean share of the population that plays each strategy."""
    residual: float
    """The certificate: how much the distribution changes in a step."""
    method: str
    parameters: dict[str, Any]


def population_chain(
    game: Any, population: int, process: AbstractProcess, mutation: float
) -> PopulationChain:
    """The chain and its stationary distribution.

    >>> from shoal.games.evolutionary.finite import Moran
    >>> neutral = population_chain([[1, 1], [1, 1]], 10, Moran(1.0), mutation=0.5)
    >>> [round(float(share), 9) for share in neutral.shares]
    [0.5, 0.5]

    Args:
        game: a symmetric `NormalForm` of two players, or a matrix `[mine, other's]` of gains.
        population: Z.
        process: `PairwiseComparison(beta)` or `Moran(beta)`.
        mutation: the chance that a new strategy is any other at random, above 0.

    Raises:
        UserError: the game is not such a one, a number is out of range, or there are more than
            200,000 states.
    """
    gains = two_player_matrix(game, "the chain of a population")
    kinds = len(gains)
    require(kinds >= 2, "the game has 1 action, expected at least 2")
    require(population >= 2, f"population is {population}, expected at least 2")
    require(0 < mutation <= 1, f"mutation is {mutation}, expected in (0, 1]: see rare_mutations")
    states = compositions(population, kinds)
    met = states[:, None, :] - np.eye(kinds, dtype=int)  # nobody meets themselves
    gained = np.einsum("kij,ij->ki", met, gains) / (population - 1)
    chances = process.switches(states.astype(float), gained, mutation)
    transitions = _sparse(states, chances, population)
    distribution = stationary_sparse(transitions)
    return PopulationChain(
        states,
        transitions,
        distribution,
        distribution @ states / population,
        imbalance(transitions, distribution),
        "sparse factorisation",
        {"population": population, "process": process, "mutation": mutation},
    )


def compositions(total: int, parts: int) -> Int[np.ndarray, "K S"]:
    """All ways to write `total` as a sum of `parts` numbers from 0, in rising order.

    Raises:
        UserError: there are more than 200,000.
    """
    count = comb(total + parts - 1, parts - 1)
    require(
        count <= LARGEST,
        f"{total} members and {parts} strategies make {count} states, the chain takes at most "
        f"{LARGEST}: use rare_mutations, or a smaller population",
    )
    bars = np.array(list(combinations(range(total + parts - 1), parts - 1)), int)
    bars = bars.reshape(count, parts - 1)
    ends = np.full((count, 1), total + parts - 1)
    return np.diff(np.concatenate([np.full((count, 1), -1), bars, ends], 1), axis=1) - 1


def _sparse(states: np.ndarray, chances: np.ndarray, population: int) -> sp.csr_array:
    """The chain `[K, K]` from the chances `[K, S, S]` to change one member."""
    count, kinds = states.shape
    require(
        (population + 1) ** (kinds - 1) < 2**62,
        f"{kinds} strategies of {population} members are too many to number: use rare_mutations",
    )
    place = (population + 1) ** np.arange(kinds - 1, -1, -1)
    place[0] = 0  # the first count follows from the others
    codes = states @ place
    order = codes.argsort()
    rows, columns, values = [], [], []
    for i in range(kinds):
        for j in range(kinds):
            at = np.flatnonzero((states[:, i] > 0) & (i != j))
            target = np.searchsorted(codes[order], codes[at] - place[i] + place[j])
            rows.append(at)
            columns.append(order[target])
            values.append(chances[at, i, j])
    moves = sp.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(count, count),
    )
    stays = sp.diags_array(1 - np.asarray(moves.sum(axis=1)).ravel())
    return sp.csr_array(moves + stays)
