"""Logit quantal response: players choose better actions more often, the more so the more rational.

    x_i(a) = exp(rationality u_i(a, x_-i)) / sum_b exp(rationality u_i(b, x_-i))

(McKelvey and Palfrey 1995). From the uniform profile at 0 one curve, the principal branch, leads to
a Nash equilibrium; it is followed by arclength, through turning points (Turocy 2005), in logarithms
of probabilities. Solutions are differentiated by the implicit function theorem.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.core.errors import require
from shoal.games.logit_curve import (
    MAX_STEPS,
    advance,
    begin,
    follow,
    logit_error,
    settled,
    split,
    uniform,
    widest,
)
from shoal.games.normal_form import NormalForm, deviations, from_least
from shoal.games.scaling import payoff_range

FAR = 1e6
"""How rational players become at the end of a path, by default, over the range of payoffs."""


@dataclass(frozen=True)
class LogitEquilibrium:
    """The logit equilibrium of the principal branch at one rationality."""

    profile: tuple[np.ndarray, ...]
    """A mixed strategy for each player, `[A_i]` each; no entry is 0 but by underflow."""
    rationality: float
    residual: float
    """The certificate: how far a probability is from the logit answer to the profile, at most."""
    method: str


@dataclass(frozen=True)
class LogitPath:
    """The principal branch, from the uniform profile on."""

    rationalities: Float[np.ndarray, "T"]
    """From 0; they fall where the branch turns back."""
    profiles: tuple[np.ndarray, ...]
    """For each player the strategies along the branch, `[T, A_i]`."""
    residual: float
    """The certificate: as `LogitEquilibrium.residual`, the largest along the path."""
    complete: bool
    """Whether it reached the largest rationality asked for."""
    method: str


def logit_kernel(
    payoffs: Float[Array, "N *A"], rationality: Float[Array, ""] | float | int
) -> list[Float[Array, "_"]]:
    """The strategies `[A_i]` of the principal branch at `rationality`, 0 or more.

    Pure and compiled: works under `jit` and `vmap`, and differentiates with respect to the payoffs
    and the rationality, forward and backward. Where the branch turns, the first point it reaches
    is meant: gradients are not defined at the turning point itself.
    """
    counts = payoffs.shape[1:]
    rationality = jnp.asarray(rationality, payoffs.dtype)
    # A number that all payoffs have in common changes nothing, and would cost precision.
    least = payoffs.min(axis=tuple(range(1, payoffs.ndim)), keepdims=True)
    payoffs = payoffs - jax.lax.stop_gradient(least)

    def equations(logs):
        return logit_error(payoffs, logs, rationality)

    def solve(_, start):
        scale = widest(payoffs)
        target = rationality * scale
        last = follow(payoffs / scale, start, target)
        return settled(payoffs / scale, last, target)

    def solve_tangent(linear, right):
        return jnp.linalg.solve(jax.jacfwd(linear)(right), right)

    logs = jax.lax.custom_root(equations, uniform(counts, payoffs.dtype), solve, solve_tangent)
    return [jnp.exp(part) for part in split(logs, counts)]


def logit_equilibrium(game: NormalForm, rationality: float | int) -> LogitEquilibrium:
    """The logit equilibrium of the principal branch at `rationality`, in inverse units of payoff:
    at 0 players choose at random, as it grows they answer best.

    >>> game = NormalForm.zero_sum([[1.0, -1.0], [-1.0, 1.0]])
    >>> [x.tolist() for x in logit_equilibrium(game, 3.0).profile]
    [[0.5, 0.5], [0.5, 0.5]]

    Raises:
        UserError: the rationality is negative or not finite.
    """
    require(
        bool(np.isfinite(rationality)) and rationality >= 0,
        f"rationality is {rationality}, expected a finite number, 0 or more",
    )
    with jax.enable_x64(True):
        payoffs = jnp.asarray(np.asarray(game.payoffs, np.float64))
        found = [np.asarray(x) for x in _compiled_kernel(payoffs, float(rationality))]
    profile = tuple(x / x.sum() for x in found)
    return LogitEquilibrium(
        profile=profile,
        rationality=float(rationality),
        residual=logit_residual(game, profile, float(rationality)),
        method="principal branch, by arclength",
    )


def logit_path(game: NormalForm, max_rationality: float | int | None = None) -> LogitPath:
    """The principal branch from the uniform profile to `max_rationality`, by default 10^6 over
    the range of payoffs. The last point is at `max_rationality` itself.

    Raises:
        UserError: `max_rationality` is not positive and finite.
    """
    scale = payoff_range(game)
    goal = FAR / scale if max_rationality is None else float(max_rationality)
    require(
        bool(np.isfinite(goal)) and goal > 0,
        f"max_rationality is {max_rationality}, expected a finite number above 0",
    )
    points = list(trace(game, goal * scale))
    rationalities = np.array([point[-1] for point in points]) / scale
    cuts = np.cumsum(game.num_actions)[:-1]
    profiles = tuple(np.split(np.exp(np.array(points)[:, :-1]), cuts, axis=1))
    profiles = tuple(x / x.sum(1, keepdims=True) for x in profiles)
    errors = [
        logit_residual(game, tuple(x[t] for x in profiles), float(r))
        for t, r in enumerate(rationalities)
    ]
    return LogitPath(
        rationalities=rationalities,
        profiles=profiles,
        residual=max(errors),
        complete=bool(rationalities[-1] >= goal * (1 - 1e-12)),
        method="principal branch, by arclength",
    )


def logit_residual(game: NormalForm, profile: Any, rationality: float) -> float:
    """How far a probability is from the logit answer to the others' strategies, at most."""
    payoffs = from_least(game)
    worst = 0.0
    for i, x in enumerate(profile):
        value = rationality * deviations(payoffs, profile, i)
        answer = np.exp(value - value.max())
        worst = max(worst, float(np.abs(answer / answer.sum() - x).max()))
    return worst


def trace(game: NormalForm, goal: float, prior: Any = None) -> Iterator[Float[np.ndarray, " m"]]:
    """The points of the curve as they are found: logarithms of probabilities and rationality.

    Payoffs are divided by their range, and so rationalities are multiplied by it. Ends at `goal`,
    or where it cannot go on. With `prior`, `[n]` logarithms, choices are proportional to the
    prior too, and the curve starts there.
    """
    payoffs = from_least(game) / payoff_range(game)
    level = np.concatenate([np.full(n, -np.log(n)) for n in game.num_actions])
    start = level if prior is None else prior
    point = _in_double(_compiled_begin, payoffs, start)
    yield point.at
    for _ in range(MAX_STEPS):
        new = _in_double(_compiled_advance, payoffs, start, point)
        if new.step < 1e-9 or np.isnan(new.at).any():
            return
        moved = bool((new.at != point.at).any())
        if moved and new.at[-1] >= goal:
            share = (goal - point.at[-1]) / (new.at[-1] - point.at[-1])
            guess = point.at + share * (new.at - point.at)
            yield np.append(_in_double(_compiled_settled, payoffs, guess[:-1], goal, start), goal)
            return
        point = new
        if moved:
            yield point.at


def _in_double(compiled: Callable[..., Any], *arguments: Any) -> Any:
    """The result on the host. The caller of a generator must not find itself in double precision,
    so that it is entered for each call alone."""
    with jax.enable_x64(True):
        return jax.device_get(compiled(*arguments))


_compiled_kernel = jax.jit(logit_kernel)
_compiled_begin = jax.jit(begin)
_compiled_advance = jax.jit(advance)
_compiled_settled = jax.jit(settled)
