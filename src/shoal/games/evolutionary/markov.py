"""Stationary distributions of Markov chains, also of rates that no float can hold.

    sum_i pi_i P_ij = pi_j

Elimination of states one by one (Grassmann, Taksar, Heyman 1985) only adds, multiplies and
divides: so it runs on logarithms, where e**-10000 is a number like others, and on leading orders
c e**(-k/T) as T goes to 0, where it gives the limit exactly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from shoal.core.errors import require

SLACK = 1e-10
"""Costs this near, relative to the largest, are the same."""


def stationary(log_rates: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S"]:
    """The logarithm of the stationary distribution, -inf where it is 0.

    >>> [float(p) for p in np.exp(stationary(np.log([[0.7, 0.3], [0.1, 0.9]]))).round(12)]
    [0.25, 0.75]

    Args:
        log_rates: logarithms of the chances, or rates, to go from i to j; -inf is never. The
            diagonal is not read, a common factor does not matter.

    Raises:
        UserError: several sets of states are never left, so that there are several answers.
    """
    members = _recurrent(log_rates > -np.inf)
    out = np.full(len(log_rates), -np.inf)
    weights = _eliminate(log_rates[np.ix_(members, members)], _LOGARITHMS)
    out[members] = weights - np.logaddexp.reduce(weights)
    return out


def limit(
    costs: Float[np.ndarray, "S S"], log_factors: Float[np.ndarray, "S S"]
) -> Float[np.ndarray, "S"]:
    """The stationary distribution's limit as T goes to 0, for rates factor x e**(-cost / T).

    The states where it is not 0 are the stochastically stable ones (Freidlin, Wentzell; Young
    1993).

    Args:
        costs: at least 0, inf where there is no way. The diagonal is not read.
        log_factors: the logarithms of the factors.

    Raises:
        UserError: as `stationary`.
    """
    members = _recurrent(costs < np.inf)
    both = np.stack([costs, np.where(costs < np.inf, log_factors, -np.inf)])
    slack = SLACK * float(np.abs(costs[np.isfinite(costs)]).max(initial=0.0))
    with np.errstate(invalid="ignore"):  # inf - inf, where there are no two ways to compare
        weights = _eliminate(both[:, members][:, :, members], _leading_orders(slack))
    near = np.where(weights[0] <= weights[0].min() + slack, weights[1], -np.inf)
    out = np.zeros(len(costs))
    out[members] = np.exp(near - np.logaddexp.reduce(near))
    return out


def stationary_sparse(transitions: Any) -> Float[np.ndarray, "S"]:
    """The stationary distribution of a large chain, by a sparse factorisation in float64.

    Args:
        transitions: any sparse matrix of scipy `[S, S]`; rows sum to 1.

    Raises:
        UserError: as `stationary`.
    """
    chain = sp.csr_array(transitions)
    members = _recurrent(chain)
    inner = chain[members][:, members]
    # Weights relative to one state: the likeliest, found at the second go, keeps numbers small.
    weights = _relative_to(inner, 0)
    weights = _relative_to(inner, int(weights.argmax()))
    out = np.zeros(transitions.shape[0])
    out[members] = weights / weights.sum()
    return out


def imbalance(transitions: Any, distribution: Float[np.ndarray, "S"]) -> float:
    """The certificate: how much the distribution changes in a step, at most in any state."""
    return float(np.abs(distribution @ transitions - distribution).max())


class _Numbers(NamedTuple):
    """Positive numbers in a coding of theirs, state axes last."""

    one: Any
    add: Callable[[Any, Any], Any]
    total: Callable[[Any], Any]
    times: Callable[[Any, Any], Any] = np.add
    over: Callable[[Any, Any], Any] = np.subtract


_LOGARITHMS = _Numbers(np.zeros(()), np.logaddexp, lambda x: np.logaddexp.reduce(x, axis=-1))


def _leading_orders(slack: float) -> _Numbers:
    """Numbers c e**(-k/T) as `[2]`: k and log c. Costs within `slack` are one."""

    def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        gap = b[0] - a[0]  # nan where neither is a way: both factors are -inf then
        mine = np.where(gap < -slack, -np.inf, a[1])
        theirs = np.where(gap > slack, -np.inf, b[1])
        return np.stack([np.minimum(a[0], b[0]), np.logaddexp(mine, theirs)])

    def total(x: np.ndarray) -> np.ndarray:
        least = x[0].min(-1, keepdims=True)
        kept = np.where(x[0] <= least + slack, x[1], -np.inf)
        return np.stack([least[..., 0], np.logaddexp.reduce(kept, axis=-1)])

    return _Numbers(np.zeros(2), add, total)


def _eliminate(rates: np.ndarray, numbers: _Numbers) -> np.ndarray:
    """Stationary weights, up to a factor, of a chain whose first state is reached from all."""
    p = rates.copy()
    size = p.shape[-1]
    for n in range(size - 1, 0, -1):
        # Watch the chain only while it is below n: a visit to n becomes a step from i to j.
        leave = numbers.total(p[..., n, :n])
        p[..., :n, n] = numbers.over(p[..., :n, n], leave[..., None])
        detour = numbers.times(p[..., :n, n, None], p[..., None, n, :n])
        p[..., :n, :n] = numbers.add(p[..., :n, :n], detour)
    weights = np.empty((*p.shape[:-2], size))
    weights[..., 0] = numbers.one
    for n in range(1, size):
        weights[..., n] = numbers.total(numbers.times(weights[..., :n], p[..., :n, n]))
    return weights


def _relative_to(chain: Any, state: int) -> np.ndarray:
    size = chain.shape[0]
    others = np.delete(np.arange(size), state)
    weights = np.ones(size)
    if size > 1:
        # The chance to leave a state as the sum of its ways: 1 - p would lose small ones.
        ways = chain - sp.diags_array(chain.diagonal())
        leaves = sp.diags_array(np.asarray(ways.sum(axis=1)).ravel()[others])
        inflow = ways[[state]][:, others].toarray()[0]
        balance = sp.csc_array((leaves - ways[others][:, others]).T)
        weights[others] = np.maximum(np.asarray(spsolve(balance, inflow)), 0)
    return weights


def _recurrent(ways: Any) -> np.ndarray:
    """The one set of states that is never left."""
    graph = sp.csr_array(ways)
    count, labels = connected_components(graph, connection="strong")
    sources, targets = graph.nonzero()
    left = labels[sources][labels[sources] != labels[targets]]
    closed = np.setdiff1d(np.arange(count), left)
    sets = [np.flatnonzero(labels == c) for c in closed]
    require(
        len(sets) == 1,
        f"the chain has {len(sets)} sets of states that are never left, such as "
        f"{[s[:5].tolist() for s in sets[:2]]}: expected one",
    )
    return sets[0]
