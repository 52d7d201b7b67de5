"""The curve of logit equilibria as compiled functions: its equations and steps along it.

    log x_i(a) - log softmax_a(rationality u_i(a, x_-i) + prior_i(a)) = 0

A predictor goes along the tangent, Newton's method comes back across it, so that the rationality
may rise or fall (Allgower and Georg 1990). All are pure functions of one game's arrays.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.games.normal_form import deviations

MAX_STEPS = 3000
"""Along a curve; a few hundred are enough but for nearly singular ones."""
CORRECTIONS = 5
"""Newton steps back to the curve from a guess."""


class Point(NamedTuple):
    """Where on the curve, which way, and how far to go next."""

    at: Float[Array, " m"]
    """The logarithms of all probabilities, and the rationality."""
    tangent: Float[Array, " m"]
    step: Float[Array, ""]


def logit_error(
    payoffs: Float[Array, "N *A"],
    logs: Float[Array, " n"],
    rationality: Float[Array, ""],
    prior: Float[Array, " n"] | None = None,
) -> Float[Array, " n"]:
    """`log x_i - log softmax(rationality u_i + prior_i)` of all players: 0 on the curve."""
    counts = payoffs.shape[1:]
    profile = [jnp.exp(part) for part in split(logs, counts)]
    base = split(jnp.zeros_like(logs) if prior is None else prior, counts)
    answers = [
        jax.nn.log_softmax(rationality * deviations(payoffs, profile, i) + base[i])
        for i in range(len(counts))
    ]
    return logs - jnp.concatenate(answers)


def split(values: Any, counts: tuple[int, ...]) -> list[Any]:
    """One array over all actions as one for each player."""
    return jnp.split(values, np.cumsum(counts)[:-1])


def uniform(counts: tuple[int, ...], dtype: Any) -> Float[Array, " n"]:
    """The logarithms of uniform strategies."""
    return jnp.concatenate([jnp.full(n, -np.log(n), dtype) for n in counts])


def widest(payoffs: Array) -> Array:
    """The widest range of a player's payoffs; 1 where nothing matters."""
    flat = payoffs.reshape(len(payoffs), -1)
    width = (flat.max(1) - flat.min(1)).max()
    return jnp.where(width > 0, width, 1.0)


def begin(payoffs: Array, prior: Array) -> Point:
    """At rationality 0, from where the curve leads to higher ones."""
    start = jnp.append(prior, 0.0)
    forward = jnp.zeros_like(start).at[-1].set(1.0)
    tangent = _tangent(_on(payoffs, prior), start, forward)
    return Point(start, tangent, jnp.asarray(0.1, start.dtype))


def advance(payoffs: Array, prior: Array, point: Point) -> Point:
    """One step along the curve; or, where the guess was too far off, the same point and a
    shorter step."""
    error = _on(payoffs, prior)
    guess = point.at + point.step * point.tangent

    def correct(_, at):
        residual = jnp.append(error(at), point.tangent @ (at - guess))
        slope = jnp.vstack([jax.jacfwd(error)(at), point.tangent])
        return at - jnp.linalg.solve(slope, residual)

    new = jax.lax.fori_loop(0, CORRECTIONS, correct, guess)
    tangent = _tangent(error, new, point.tangent)
    missed = jnp.abs(new - guess).max()
    left = jnp.abs(error(new)).max()
    enough = 1e4 * jnp.finfo(new.dtype).eps * (1.0 + jnp.abs(new[-1]))
    good = (missed <= 0.3) & (left <= enough) & (tangent @ point.tangent > 0.7)
    factor = jnp.where(good, jnp.clip(jnp.sqrt(0.1 / (missed + 1e-6)), 0.7, 2.0), 0.4)
    return Point(
        jnp.where(good, new, point.at),
        jnp.where(good, tangent, point.tangent),
        point.step * factor,
    )


def follow(payoffs: Array, prior: Array, target: Array) -> Float[Array, " n"]:
    """The logarithms on the curve where it first reaches `target`, nearly."""

    def going(state):
        count, _, point = state
        return (count < MAX_STEPS) & (point.at[-1] < target) & (point.step > 1e-9)

    def step(state):
        count, _, point = state
        new = advance(payoffs, prior, point)
        moved = (new.at != point.at).any()
        return count + 1, jnp.where(moved, point.at, state[1]), new

    first = begin(payoffs, prior)
    _, before, last = jax.lax.while_loop(going, step, (0, first.at, first))
    width = last.at[-1] - before[-1]
    share = jnp.where(width > 0, (target - before[-1]) / jnp.where(width > 0, width, 1.0), 1.0)
    return (before + share * (last.at - before))[:-1]


def settled(
    payoffs: Array, logs: Array, target: Array | float, prior: Array | None = None
) -> Float[Array, " n"]:
    """Newton's method at one rationality."""

    def error(at):
        return logit_error(payoffs, at, jnp.asarray(target, at.dtype), prior)

    def step(_, at):
        move = jnp.linalg.solve(jax.jacfwd(error)(at), error(at))
        return jnp.where(jnp.isfinite(move).all(), at - move, at)

    return jax.lax.fori_loop(0, 2 * CORRECTIONS, step, logs)


def _on(payoffs: Array, prior: Array) -> Callable[[Array], Array]:
    return lambda at: logit_error(payoffs, at[:-1], at[-1], prior)


def _tangent(error: Callable[[Array], Array], at: Array, along: Array) -> Array:
    """The curve's direction, of length 1, that makes an acute angle with `along`."""
    slope = jnp.vstack([jax.jacfwd(error)(at), along])
    direction = jnp.linalg.solve(slope, jnp.zeros_like(at).at[-1].set(1.0))
    return direction / jnp.linalg.norm(direction)
