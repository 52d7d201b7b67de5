"""Indifference on given supports: the equations of a Nash equilibrium once its supports are known,

    u_i(a, x_-i) = v_i  (a in S_i),   x_i(a) = 0  (a not in S_i),   sum_a x_i(a) = 1,

for many supports and many starts at once by damped Newton steps (Levenberg 1944, Marquardt 1963).
"""

import string
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

STEPS = 25
"""Newton steps from one start; from near a solution about six are enough."""
MORE = 50
"""Steps more where they come near one but slowly, as where several roots meet in one."""
NEAR = 1e-4
"""Equations that are off by so little are near a solution."""
SOLVED = 1e-11
"""Equations that are off by so little are solved."""
CONVERGED = 1e-14
"""Where steps end."""
SAME, BLURRED = 1e-5, 1e-2
"""Solutions this close are one: those that steps came to, and those that they came near to."""
FLAT, SINGULAR = 1e-2, 1e-7
"""Slopes whose least singular value is below these are all but singular, and are."""
ASIDE = 1e-2
"""How far from such a solution steps begin once more."""
OUTSIDE = 2.0
"""A start whose probabilities leave [-2, 2] is given up."""


def indifference_solutions(
    payoffs: np.ndarray,
    supports: Sequence[tuple[tuple[int, ...], ...]],
    starts: int,
    rng: np.random.Generator,
    chunk: int = 8192,
) -> Iterator[tuple[tuple[np.ndarray, ...], bool]]:
    """Distributions that use just these supports and make each player indifferent on its own,
    each with whether it is isolated among them, as roots that meet in one still are.

    Whether unused actions do better is not asked. `payoffs` are `[N, A1, ..., AN]`, of order 1.
    Starts are uniform in the simplices; a support of one action each needs none.
    """
    counts = payoffs.shape[1:]
    masks = np.stack([_mask(s, counts) for s in supports])
    tries = 1 if masks[0].sum() == len(counts) else starts
    masks = np.repeat(masks, tries, 0)
    for at in range(0, len(masks), chunk):
        mask = masks[at : at + chunk]
        x = _random_profiles(mask, counts, rng)
        x, error = newton(payoffs, mask, x)
        good = (error < SOLVED) & np.where(mask, x > 1e-9, True).all(1)
        x, mask = np.where(mask, x, 0.0)[good], mask[good]
        kept = _distinct(x, mask, error[good])
        x, mask, error = x[kept], mask[kept], error[good][kept]
        alone, row, beside, off = _beside(payoffs, x, mask)
        x, mask, alone = np.r_[x, beside], np.r_[mask, mask[row]], np.r_[alone, alone[row]]
        for k in _distinct(x, mask, np.r_[error, off]):
            parts = np.split(x[k], np.cumsum(counts)[:-1])
            yield tuple(p / p.sum() for p in parts), bool(alone[k])


def polished(
    payoffs: np.ndarray, profile: Sequence[np.ndarray], supports: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...] | None:
    """The solution on these supports (masks `[A_i]`) that Newton reaches from `profile`, or None
    where there is none near by with positive probabilities."""
    counts = payoffs.shape[1:]
    mask = np.concatenate(list(supports))[None]
    x, error = newton(payoffs, mask, np.where(mask, np.concatenate(list(profile)), 0.0))
    if error[0] > 1e-10 or (x[0][mask[0]] < -1e-12).any():
        return None
    row = np.maximum(np.where(mask[0], x[0], 0.0), 0.0)
    return tuple(p / p.sum() for p in np.split(row, np.cumsum(counts)[:-1]))


def newton(
    payoffs: np.ndarray, mask: Bool[np.ndarray, "B n"], x: Float[np.ndarray, "B n"]
) -> tuple[Float[np.ndarray, "B n"], Float[np.ndarray, "B"]]:
    """Damped Newton steps on the equations; the profiles and their largest errors.

    The damping is the squared error: the steps stay defined where solutions form a continuum, and
    converge quadratically (Yamashita and Fukushima 2001). Finished rows leave the batch.
    """
    counts = payoffs.shape[1:]
    rows = np.arange(len(x))
    z = np.concatenate([x, _levels(payoffs, x, mask)], 1)
    error = np.full(len(x), np.inf)
    for step in range(STEPS + MORE):
        residual, slope = _system(payoffs, mask[rows], z[rows], counts)
        error[rows] = np.abs(residual).max(1)
        inside = (np.abs(z[rows, : x.shape[1]]) <= OUTSIDE).all(1)
        going = (
            (error[rows] > CONVERGED) & inside & (error[rows] < (np.inf if step < STEPS else NEAR))
        )
        rows, residual, slope = rows[going], residual[going], slope[going]
        if not len(rows):
            break
        square = (residual**2).sum(1)
        turned = np.swapaxes(slope, 1, 2)
        normal = turned @ slope
        # At the least above what rounding leaves of a sum, or a continuum's matrix is singular.
        least = 1e-14 * np.diagonal(normal, axis1=1, axis2=2).max(1)
        normal += (square + least)[:, None, None] * np.eye(z.shape[1])
        move = np.linalg.solve(normal, -(turned @ residual[..., None]))[..., 0]
        longest = np.abs(move).max(1, keepdims=True)
        z[rows] += move / np.maximum(1.0, longest / 0.5)
    return z[:, : x.shape[1]], error


def _system(
    payoffs: np.ndarray, mask: np.ndarray, z: np.ndarray, counts: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The equations' errors `[B, n + N]` and their derivatives, for z = (x_1, ..., x_N, v)."""
    n, num_players = sum(counts), len(counts)
    ends = np.cumsum(counts)
    parts = np.split(z[:, :n], ends[:-1], axis=1)
    blocks = [slice(e - c, e) for e, c in zip(ends, counts)]
    residual = np.zeros((len(z), n + num_players))
    slope = np.zeros((len(z), n + num_players, n + num_players))
    for i, block in enumerate(blocks):
        used = mask[:, block]
        value = _contract(payoffs[i], parts, [i])
        residual[:, block] = np.where(used, value - z[:, n + i, None], parts[i])
        slope[:, block, block] = np.where(used, 0.0, 1.0)[:, :, None] * np.eye(counts[i])
        slope[:, block, n + i] = np.where(used, -1.0, 0.0)
        residual[:, n + i] = parts[i].sum(1) - 1
        slope[:, n + i, block] = 1.0
        for j, across in enumerate(blocks):
            if j != i:
                pair = _contract(payoffs[i], parts, [i, j])
                slope[:, block, across] = np.where(used[:, :, None], pair, 0.0)
    return residual, slope


def _contract(values: np.ndarray, parts: list[np.ndarray], keep: list[int]) -> np.ndarray:
    """The expectation over all players but those kept, `[B, A_keep...]`."""
    letters = string.ascii_letters[1 : values.ndim + 1]
    others = [j for j in range(values.ndim) if j not in keep]
    inputs = ",".join([letters, *("a" + letters[j] for j in others)])
    out = "a" + "".join(letters[k] for k in keep)
    operands = [values, *(parts[j] for j in others)]
    if not others:  # two players: nothing to expect over
        pair = values if keep == sorted(keep) else values.T
        return np.broadcast_to(pair, (len(parts[0]), *pair.shape))
    return np.einsum(f"{inputs}->{out}", *operands, optimize=len(others) > 1)


def _levels(payoffs: np.ndarray, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What each player gains on its support, on average, `[B, N]`."""
    counts = payoffs.shape[1:]
    cuts = np.cumsum(counts)[:-1]
    parts, masks = np.split(x, cuts, axis=1), np.split(mask, cuts, axis=1)
    out = []
    for i, used in enumerate(masks):
        value = _contract(payoffs[i], parts, [i])
        out.append((value * used).sum(1) / np.maximum(1, used.sum(1)))
    return np.stack(out, 1)


def _mask(support: tuple[tuple[int, ...], ...], counts: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.isin(np.arange(n), s) for s, n in zip(support, counts)])


def _random_profiles(
    mask: np.ndarray, counts: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    weight = np.where(mask, rng.exponential(size=mask.shape) + 1e-6, 0.0)
    parts = np.split(weight, np.cumsum(counts)[:-1], axis=1)
    return np.concatenate([p / p.sum(1, keepdims=True) for p in parts], 1)


def _beside(
    payoffs: np.ndarray, x: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Whether each solution is isolated, `[B]`, and further ones: the row that each is beside, the
    profile, and by how much its equations are off.

    Where the equations' slope is all but singular, either another root is near, on the other side
    of which no start may have been, or roots meet, or a continuum goes through. Steps from a little
    aside tell: where they end a little aside as well, though the slope is singular, it goes on.
    """
    z = np.concatenate([x, _levels(payoffs, x, mask)], 1)
    _, sizes, ways = np.linalg.svd(_system(payoffs, mask, z, payoffs.shape[1:])[1])
    row = np.repeat(np.flatnonzero(sizes[:, -1] < FLAT), 2)
    way = ways[row, -1, : x.shape[1]]
    way = way / np.abs(way).max(1, keepdims=True) * np.tile([ASIDE, -ASIDE], len(row) // 2)[:, None]
    end, error = newton(payoffs, mask[row], x[row] + way)
    far = np.abs(end - x[row]).max(1)
    goes_on = (error < SOLVED) & (far > ASIDE / 2) & (far < 2 * ASIDE)
    alone = np.ones(len(x), bool)
    alone[row[goes_on & (sizes[row, -1] < SINGULAR)]] = False
    new = (error < SOLVED) & np.where(mask[row], end > 1e-9, True).all(1) & alone[row]
    return alone, row[new], np.where(mask[row], end, 0.0)[new], error[new]


def _distinct(rows: np.ndarray, masks: np.ndarray, errors: np.ndarray) -> list[int]:
    """The numbers of the rows that differ from those before by more than what Newton leaves: where
    two roots meet it is half the digits, and where more do its steps give out before."""
    groups: dict[bytes, list[int]] = {}
    short = errors > CONVERGED
    for at in np.argsort(short, kind="stable").tolist():
        known = groups.setdefault(masks[at].tobytes(), [])
        gaps = np.abs(rows[known] - rows[at]).max(1)
        if not (gaps < (BLURRED if short[at] else SAME)).any():
            known.append(at)
    return [at for known in groups.values() for at in known]
