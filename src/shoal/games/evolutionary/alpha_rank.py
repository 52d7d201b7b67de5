"""Alpha-rank: strategies ranked by how long evolution keeps them.

    rho = (1 - e**-u) / (1 - e**-mu),   u = alpha (gain of the mutant - gain of the residents)

With one population, l mutants among m meet all others, so that u depends on l (Traulsen 2006),

    rho = 1 / sum_{k<m} prod_{l<=k} e**-u_l

or with `selection="pair"` a mutant meets a resident, u = alpha (A[mutant, resident] - A[resident,
mutant]), and the first formula holds.

The chain of takeovers between pure profiles, one population for each player or one for all, has a
stationary distribution: the rank. For alpha = inf it is the limit, exactly, not a large number.
Omidshafiei et al. 2019, arXiv:1903.01373.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from scipy.special import logsumexp

from shoal.core.errors import require, unknown
from shoal.games.evolutionary.finite import log_constant_fixation, mixed_gains
from shoal.games.evolutionary.markov import imbalance, limit, stationary, stationary_sparse
from shoal.games.evolutionary.populations import as_symmetric
from shoal.games.normal_form import NormalForm

DENSE, SPARSE = 1_000, 5_000
"""The most profiles that elimination takes, and a sparse factorisation at finite alpha."""
TIE = 1e-12
"""Gains this near, relative to the range of payoffs, are the same."""


@dataclass(frozen=True)
class AlphaRank:
    """The pure profiles (of one population: the actions) and their shares of time."""

    profiles: list[tuple[int, ...]]
    """The action of each population; sorted by number, as is `distribution`."""
    distribution: Float[np.ndarray, "S"]
    """The share of time in each profile."""
    residual: float
    """The certificate: how much the distribution changes in a step of the chain."""
    method: str
    parameters: dict[str, Any]

    @property
    def ranking(self) -> list[tuple[tuple[int, ...], float]]:
        """The profiles and their shares, largest first."""
        order = np.argsort(-self.distribution, kind="stable")
        return [(self.profiles[k], float(self.distribution[k])) for k in order]

    @property
    def marginals(self) -> list[np.ndarray]:
        """The share of time that each population plays each of its actions."""
        table = np.array(self.profiles)
        return [np.bincount(column, weights=self.distribution) for column in table.T]


def alpha_rank(
    game: Any,
    alpha: float = math.inf,
    population: int = 50,
    *,
    symmetric: bool | None = None,
    losses: str = "payoff",
    selection: str = "population",
) -> AlphaRank:
    """Ranks the strategies of a game.

    >>> [round(float(p), 6) for p in alpha_rank([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]).distribution]
    [0.333333, 0.333333, 0.333333]

    Args:
        game: a `NormalForm`, or the matrix `[mine, other's]` of gains in one population.
        alpha: the strength of selection, from 0; by default its limit, infinite.
        population: m, the members of each population.
        symmetric: whether one population plays all roles of a symmetric game; by default so for a
            matrix only.
        losses: at infinite alpha, what a takeover for the worse costs: by `payoff`, as the limit of
            finite alpha has it; or by `count`, each the same, the response graph alone (Muller et
            al. 2020, arXiv:1909.12823).
        selection: in one population, what a mutant's gain is measured against: by `population`, all
            whom it meets, as OpenSpiel has it with `use_local_selection_model=False`; or by `pair`,
            the resident that it meets, as OpenSpiel has it by default.

    Raises:
        UserError: alpha is negative, the population too small, the game not symmetric where it
            should be, or it has too many profiles.
    """
    require(alpha >= 0, f"alpha is {alpha}, expected at least 0")
    require(population >= 2, f"population is {population}, expected at least 2")
    if losses not in ("payoff", "count"):
        raise unknown("losses", losses, ["payoff", "count"])
    if selection not in ("population", "pair"):
        raise unknown("selection", selection, ["population", "pair"])
    one = not isinstance(game, NormalForm) if symmetric is None else symmetric
    game = as_symmetric(game) if one or not isinstance(game, NormalForm) else game
    counts = game.num_actions[:1] if one else game.num_actions
    profiles = list(product(*map(range, counts)))
    _check_size(len(profiles), alpha)
    if not one:
        ways = _ways_of_each(game, population)
    else:
        ways = (_ways_of_pairs if selection == "pair" else _ways_of_one)(game, population)
    size = len(profiles)
    if alpha == math.inf:
        costs, factors = _by_count(ways) if losses == "count" else (ways.costs, ways.factors)
        found = limit(_square(size, ways, costs, np.inf), _square(size, ways, factors, -np.inf))
        chain = _chain(size, ways, np.where(costs == 0, factors, -np.inf))
        method = "elimination of states in leading orders"
    else:
        log_rho = ways.log_rho(alpha)
        chain = _chain(size, ways, log_rho)
        if size <= DENSE:
            found = np.exp(stationary(_square(size, ways, log_rho, -np.inf)))
            method = "elimination of states in logarithms"
        else:
            found, method = stationary_sparse(chain), "sparse factorisation"
    settings = {"alpha": alpha, "population": population, "symmetric": one, "losses": losses}
    settings |= {"selection": selection} if one else {}
    return AlphaRank(profiles, found, imbalance(chain, found), method, settings)


def sink_components(game: NormalForm) -> list[list[tuple[int, ...]]]:
    """The sets of pure profiles that no player leaves without a loss, once there: the Markov-Conley
    chains, in which alpha-rank at infinite alpha stays.

    >>> sink_components(NormalForm.zero_sum([[1, -1], [-1, 1]]))
    [[(0, 0), (0, 1), (1, 0), (1, 1)]]
    """
    profiles = list(product(*map(range, game.num_actions)))
    ways = _ways_of_each(game, 2)
    kept = ways.costs == 0
    source, target = ways.source[kept], ways.target[kept]
    graph = sp.csr_array((np.ones(len(source)), (source, target)), shape=(len(profiles),) * 2)
    count, labels = connected_components(graph, connection="strong")
    left = set(labels[source][labels[source] != labels[target]].tolist())
    sinks = [np.flatnonzero(labels == c) for c in range(count) if c not in left]
    return sorted([profiles[k] for k in members] for members in sinks)


class _Ways(NamedTuple):
    """E takeovers: from which profile to which, and how likely."""

    source: np.ndarray
    target: np.ndarray
    log_rho: Callable[[float], np.ndarray]  # at a finite alpha
    costs: np.ndarray  # at infinite alpha rho is exp(factor - alpha cost)
    factors: np.ndarray


def _ways_of_each(game: NormalForm, population: int) -> _Ways:
    """One player's population changes its action; the others' do not."""
    payoffs = np.asarray(game.payoffs, np.float64)
    number = np.arange(payoffs[0].size).reshape(game.num_actions)
    sources, targets, gains = [], [], []
    for i, count in enumerate(game.num_actions):
        for shift in range(1, count):
            sources.append(number.ravel())
            targets.append(np.roll(number, -shift, axis=i).ravel())
            gains.append((np.roll(payoffs[i], -shift, axis=i) - payoffs[i]).ravel())
    if not gains:
        sources, targets, gains = [np.zeros(0, int)] * 2, [np.zeros(0, int)] * 2, [np.zeros(0)] * 2
    source, target = np.concatenate(sources), np.concatenate(targets)
    return _constant(source, target, np.concatenate(gains), payoffs, population)


def _ways_of_pairs(game: NormalForm, population: int) -> _Ways:
    """A mutant gains what it gets from a resident, less what the resident gets from it."""
    payoffs = np.asarray(game.payoffs[0], np.float64)
    resident, mutant = np.nonzero(~np.eye(len(payoffs), dtype=bool))
    gain = (payoffs.T - payoffs)[resident, mutant]
    return _constant(resident, mutant, gain, payoffs, population)


def _constant(
    source: np.ndarray, target: np.ndarray, gain: np.ndarray, payoffs: np.ndarray, population: int
) -> _Ways:
    """Takeovers whose gain is the same however many mutants there are."""
    gain = np.where(np.abs(gain) <= _rounding(payoffs), 0, gain)
    return _Ways(
        source,
        target,
        lambda alpha: log_constant_fixation(alpha * gain, population),
        (population - 1) * np.maximum(-gain, 0),
        np.where(gain == 0, -math.log(population), 0.0),
    )


def _ways_of_one(game: NormalForm, population: int) -> _Ways:
    """A mutant's action takes over the one population."""
    count = game.num_actions[0]
    pairs = [(s, r) for s in range(count) for r in range(count) if r != s]
    lead = np.zeros((len(pairs), population))  # of mutants, summed from 1 to l of them
    for row, (resident, mutant) in enumerate(pairs):
        mine, theirs = mixed_gains(game, mutant, resident, population)
        lead[row, 1:] = np.cumsum(mine - theirs)
    source, target = np.array(pairs, int).reshape(-1, 2).T
    slack = population * _rounding(np.asarray(game.payoffs))
    lead[np.abs(lead) <= slack] = 0
    least = lead.min(-1)
    ties = (lead <= least[:, None] + slack).sum(-1)
    return _Ways(
        source,
        target,
        lambda alpha: -np.asarray(logsumexp(-alpha * lead, axis=-1)),
        -least,
        -np.log(ties),
    )


def _rounding(payoffs: np.ndarray) -> float:
    """Gains this near are the same."""
    largest = float(np.abs(payoffs).max())
    return max(TIE * float(np.ptp(payoffs)), 8 * np.finfo(float).eps * largest)


def _by_count(ways: _Ways) -> tuple[np.ndarray, np.ndarray]:
    """Each loss costs 1; half of the ties are taken over."""
    worse, tie = ways.costs > 0, (ways.costs == 0) & (ways.factors < 0)
    return worse.astype(float), np.where(tie, -math.log(2), 0.0)


def _square(size: int, ways: _Ways, values: np.ndarray, never: float) -> np.ndarray:
    out = np.full((size, size), never)
    out[ways.source, ways.target] = values
    return out


def _chain(size: int, ways: _Ways, log_rho: np.ndarray) -> sp.csr_array:
    """The chances of a step: each mutation is as likely."""
    kinds = max(1, len(ways.source) // size)
    rho = np.exp(log_rho) / kinds
    moves = sp.csr_array((rho, (ways.source, ways.target)), shape=(size, size))
    return sp.csr_array(moves + sp.diags_array(1 - np.asarray(moves.sum(axis=1)).ravel()))


def _check_size(size: int, alpha: float) -> None:
    most = DENSE if alpha == math.inf else SPARSE
    other = "a finite alpha" if size <= SPARSE else "fewer strategies"
    require(size <= most, f"the game has {size} profiles, at most {most} fit: take {other}")
