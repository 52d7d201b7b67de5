"""The engine of learning dynamics: one scan for every rule.

    x[t+1] = dynamic(x[t], v[t]),    v_i[t](a) = u_i(a, x_-i[t])

A rule says how it starts, what it plays and how it learns from the values of its actions.
Fudenberg and Levine, The Theory of Learning in Games, 1998.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from shoal.games.normal_form import deviations

Mixed = tuple[Array, ...]
"""A mixed strategy `[A_i]` for each player that learns, as JAX arrays."""
Values = Callable[[Mixed], Mixed]
"""What each action of each player gains against the others' strategies in a profile."""


class AbstractDynamic(eqx.Module):
    """A rule by which all players learn: pure functions of a state, which is any pytree.

    Numbers among the fields are leaves, so that another rate or temperature compiles nothing anew.
    """

    stochastic: eqx.AbstractVar[bool]
    """Whether the rule can learn from actions drawn from the strategies."""

    @property
    def duration(self) -> Any:
        """The time that one step takes."""
        return 1.0

    @abstractmethod
    def init(self, start: Mixed) -> Any:
        """The state of players who begin with `start`."""

    @abstractmethod
    def play(self, state: Any) -> Mixed:
        """The strategies played in this state."""

    @abstractmethod
    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        """The state after `played`: the strategies, or actions drawn from them as unit vectors."""


class Path(NamedTuple):
    """What `simulate` records, at K + 1 times: before the first step and after each `every`."""

    profiles: tuple[Array, ...]
    """The strategies, `[K+1, A_i]` for each player."""
    average: tuple[Array, ...]
    """The weighted mean of all play so far, `[K+1, A_i]`; at first the start."""
    regret: Array
    """The most that a player could gain by leaving the profile, `[K+1]`."""
    average_regret: Array
    """The most that a player could gain by leaving the average profile, `[K+1]`."""
    external_regret: Array
    """What the best fixed action would have gained more in a step than the play, `[K+1, N]`."""


def simulate(
    payoffs: Shaped[Array, "N *A"],
    dynamic: AbstractDynamic,
    start: Mixed,
    steps: int,
    *,
    key: Array | None = None,
    every: int = 1,
    averaging: Any = 0.0,
    symmetric: bool = False,
) -> Path:
    """Runs the dynamic as one scan: pure, in the payoffs' precision, to be compiled and `vmap`ed.

    The arguments are those of `run_dynamics`, unbatched and not checked; `start` has one strategy
    for each player, or one alone where `symmetric`.
    """
    values = action_values(payoffs, symmetric)
    start = tuple(jnp.asarray(x, payoffs.dtype) for x in start)

    def step(t, carry):
        state, tally = carry
        played = dynamic.play(state)
        if key is not None:
            played = _draw(jax.random.fold_in(key, t), played)
        return dynamic.step(state, played, values), _count(tally, played, values, averaging)

    def record(carry, k):
        state, tally = jax.lax.fori_loop(k * every, (k + 1) * every, step, carry)
        return (state, tally), _look(dynamic, state, tally, values)

    none = tuple(jnp.zeros_like(x) for x in start)
    zero = jnp.zeros((), payoffs.dtype)
    tally = _Tally(start, none, jnp.zeros(len(start), payoffs.dtype), zero, zero)
    begin = (dynamic.init(start), tally)
    first = _look(dynamic, *begin, values)
    _, rest = jax.lax.scan(record, begin, jnp.arange(steps // every))
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)


def action_values(payoffs: Array, symmetric: bool = False) -> Values:
    """The values of all actions, for N populations or, where `symmetric`, for one whose members
    meet each other N at a time."""
    players = payoffs.shape[0]
    if symmetric:
        return lambda profile: (deviations(payoffs, profile * players, 0),)
    return lambda profile: tuple(deviations(payoffs, profile, i) for i in range(players))


class _Tally(NamedTuple):
    average: Mixed
    values: Mixed  # the mean value of each action
    earned: Array  # the mean payoff of each player
    weight: Array
    steps: Array


def _count(tally: _Tally, played: Mixed, values: Values, averaging: Any) -> _Tally:
    steps = tally.steps + 1
    here = steps**averaging
    weight = tally.weight + here
    worth = values(played)
    gained = jnp.stack([v @ x for v, x in zip(worth, played)])
    return _Tally(
        tuple(a + (x - a) * here / weight for a, x in zip(tally.average, played)),
        tuple(m + (v - m) / steps for m, v in zip(tally.values, worth)),
        tally.earned + (gained - tally.earned) / steps,
        weight,
        steps,
    )


def _look(dynamic: AbstractDynamic, state: Any, tally: _Tally, values: Values) -> Path:
    profile = dynamic.play(state)
    best = jnp.stack([m.max() for m in tally.values])
    return Path(
        profile,
        tally.average,
        _regret(profile, values),
        _regret(tally.average, values),
        best - tally.earned,
    )


def _regret(profile: Mixed, values: Values) -> Array:
    gains = [v.max() - v @ x for v, x in zip(values(profile), profile)]
    return jnp.maximum(jnp.stack(gains).max(), 0)


def _draw(key: Array, profile: Mixed) -> Mixed:
    keys = jax.random.split(key, len(profile))
    drawn = [jax.random.categorical(k, jnp.log(x)) for k, x in zip(keys, profile)]
    return tuple(jax.nn.one_hot(a, len(x), dtype=x.dtype) for a, x in zip(drawn, profile))
