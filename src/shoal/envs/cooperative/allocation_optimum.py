r"""The best division of goods among agents with additive valuations, exact, on the host.

    u_i = sum_j v_ij x_ij,    x_ij >= 0,    sum_i x_ij <= 1

    utilitarian   max sum_i u_i       each good to who values it most
    egalitarian   max min_i u_i       a linear programme
    nash          max prod_i u_i      a concave programme (Eisenberg and Gale 1959), by an
                                      interior-point method

Where goods cannot be divided, the last two go through all ways to add an agent's bundle T to what
the agents before it hold, with * the minimum or the product:

    f_i(S) = max over T in S of f_{i-1}(S - T) * v_i(T)

As every agent must end with a good, no bundle has more than M - N + 1 of them.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import linprog

MOST_BUNDLED = 14  # goods: 3^M pairs of a set and a part of it
GAP = 1e-10  # of the logarithm of Nash welfare, certified by prices
_STEPS = 60


def best_allocations(
    welfare: str,
    divisible: bool,
    valuations: Float[Array | np.ndarray, "*B N M"],
    wanted: Bool[Array | np.ndarray, "*B"],
) -> Float[np.ndarray, "*B N M"]:
    """Shares of each good, `[*B, N, M]`, of the greatest welfare; zeros where none is wanted, which
    costs nothing.

    Args:
        welfare: `utilitarian`, `egalitarian` or `nash`.
        divisible: whether a good can be shared.
        valuations: what each agent would gain from the whole of each good, positive.
        wanted: which of the batch to solve.
    """
    values, wanted = np.asarray(valuations, np.float64), np.asarray(wanted)
    out = np.zeros(values.shape, np.float32)
    if not wanted.any():
        return out
    chosen = values[wanted]
    if welfare == "utilitarian":
        out[wanted] = np.eye(values.shape[-2])[chosen.argmax(-2)].swapaxes(-1, -2)
    elif divisible and welfare == "nash":
        out[wanted] = nash(chosen)
    else:
        out[wanted] = [_remembered(welfare, divisible, v.shape, v.tobytes()) for v in chosen]
    return out


@lru_cache(maxsize=4096)
def _remembered(welfare: str, divisible: bool, shape: tuple[int, int], data: bytes) -> np.ndarray:
    """The optimum of one market; a controller that plays it asks for it in every round."""
    values = np.frombuffer(data).reshape(shape)
    return egalitarian(values) if divisible else bundles(values, welfare)


def egalitarian(values: Float[np.ndarray, "N M"]) -> Float[np.ndarray, "N M"]:
    """Shares of the greatest least utility, `max t` with `u_i >= t` for all agents."""
    n, m = values.shape
    worth = np.kron(np.eye(n), np.ones(m)) * values.ravel()
    rows = np.block([[-worth, np.ones((n, 1))], [np.tile(np.eye(m), n), np.zeros((m, 1))]])
    aim = np.append(np.zeros(n * m), -1.0)
    found = linprog(aim, A_ub=rows, b_ub=np.append(np.zeros(n), np.ones(m)), method="highs")
    assert found.success, found.message
    return found.x[:-1].reshape(n, m)


def nash(values: Float[np.ndarray, "B N M"]) -> Float[np.ndarray, "B N M"]:
    r"""Shares of the greatest product of utilities, for a batch of markets at once.

    Newton's method on the conditions of optimality with prices $p$ and slacks $s$,

        v_ij / u_i + s_ij = p_j,    sum_i x_ij = 1,    x_ij s_ij = mu -> 0

    of which all but the prices is eliminated, until `nash_gap` is below `GAP`.
    """
    best = np.full(values.shape, 1.0 / values.shape[-2])
    x, left = best.copy(), np.arange(len(values))  # which markets are not solved yet
    u = (values * x).sum(-1, keepdims=True)
    p = 1.1 * (values / u).max(-2, keepdims=True)
    s = p - values / u
    for _ in range(_STEPS):
        far = nash_gap(values, x, p[..., 0, :]) >= GAP
        best[left[~far]] = x[~far]
        # Beyond that their slacks vanish, and there is no step any more.
        values, x, u, p, s, left = (y[far] for y in (values, x, u, p, s, left))
        if not len(left):
            return best
        mu = 0.1 * (x * s).mean((-1, -2), keepdims=True)
        dx, dp, ds = _newton(values, x, s, p, u, mu)
        step = np.minimum(_room(x, dx), _room(s, ds))
        x, p, s = x + step * dx, p + step * dp, s + step * ds
        x = x / x.sum(-2, keepdims=True)
        u = (values * x).sum(-1, keepdims=True)
    raise RuntimeError(f"no Nash welfare within {GAP} of the best after {_STEPS} steps")


def _newton(v: np.ndarray, x: np.ndarray, s: np.ndarray, p: np.ndarray, u: np.ndarray, mu):
    """Newton's step `(dx, dp, ds)` towards `x s = mu`."""
    residual = p - v / u - s
    c = (mu - x * s - x * residual) / s
    d = x / s
    vd = v * d
    k = u**2 + (v * vd).sum(-1, keepdims=True)
    a = (v * c).sum(-1, keepdims=True)
    schur = d.sum(-2)[..., None] * np.eye(v.shape[-1]) - (vd / k).swapaxes(-1, -2) @ vd
    right = (c - vd * a / k).sum(-2)
    dp = np.linalg.solve(schur, right[..., None])[..., 0][..., None, :]
    du = u**2 * (a - (vd * dp).sum(-1, keepdims=True)) / k
    ds = dp + v * du / u**2 + residual
    return c - d * (ds - residual), dp, ds


def _room(x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Nearly the longest step, at most 1, that keeps `x + step * dx` positive."""
    return np.minimum(1.0, 0.99 / np.maximum((-dx / x).max((-1, -2), keepdims=True), 1e-300))


def nash_gap(
    values: Float[np.ndarray, "*B N M"],
    shares: Float[np.ndarray, "*B N M"],
    prices: Float[np.ndarray, "*B M"],
) -> Float[np.ndarray, "*B"]:
    r"""An upper bound of what `shares` lack in the mean logarithm of utilities, by duality: no
    division has a greater one than $\frac1N \sum_i \log \max_j v_ij / p_j$ at prices of sum N."""
    n = values.shape[-2]
    p = n * prices / prices.sum(-1, keepdims=True)
    most = np.log((values / p[..., None, :]).max(-1)).mean(-1)
    return most - np.log((values * shares).sum(-1)).mean(-1)


def bundles(values: Float[np.ndarray, "N M"], welfare: str) -> Float[np.ndarray, "N M"]:
    """Who gets which good, `[N, M]` of 0 and 1, of the greatest least utility or product. Needs at
    least as many goods as agents: with fewer every division is worth 0."""
    n, m = values.shape
    join = np.minimum if welfare == "egalitarian" else np.multiply
    worth = values @ _members(m)
    best = [worth[0]]
    for i in range(1, n):
        whole, part, first = _parts(n, m, i)
        found = join(best[-1][whole ^ part], worth[i, part])
        best.append(np.zeros(2**m))
        best[-1][whole[first]] = np.maximum.reduceat(found, first)
    bundle, left = np.zeros(n, np.int32), 2**m - 1
    for i in range(n - 1, 0, -1):
        whole, part, _ = _parts(n, m, i)
        start, end = np.searchsorted(whole, (left, left + 1))
        part = part[start:end]
        bundle[i] = part[join(best[i - 1][left ^ part], worth[i, part]).argmax()]
        left ^= bundle[i]
    bundle[0] = left
    return _members(m).T[bundle].astype(np.float64)


def _members(m: int) -> Int[np.ndarray, "M S"]:
    """Which goods each of the 2^M sets holds."""
    return (np.arange(2**m) >> np.arange(m)[:, None]) & 1


@lru_cache(maxsize=16)
def _parts(n: int, m: int, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sets that the first agents up to `i` can hold, in order, and what of each `i` can have, so
    that everyone has a good; and where in these lists each set begins."""
    whole = part = np.zeros(1, np.int32)
    for j in range(m):  # each good is in no set, with an agent before, or with this one
        bit = np.int32(1 << j)
        whole = np.concatenate([whole, whole | bit, whole | bit])
        part = np.concatenate([part, part, part | bit])
    size, own = _members(m).sum(0)[whole], _members(m).sum(0)[part]
    fits = (own >= 1) & (size - own >= i) & (size <= m - (n - 1 - i))
    if i == n - 1:
        fits &= size == m
    whole, part = whole[fits], part[fits]
    order = np.argsort(whole, kind="stable")
    whole, part = whole[order], part[order]
    return whole, part, np.flatnonzero(np.diff(whole, prepend=-1))
