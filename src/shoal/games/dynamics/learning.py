"""Rules by which players learn in repeated play: fictitious play and the no-regret learners.

fictitious play   x[t+1] = argmax_a u_i(a, mean of x_-i)              Brown 1951
regret matching   x[t+1] ~ [sum_t v(a) - v.x]+                        Hart, Mas-Colell 2000
hedge             x[t+1] ~ x[0] exp(eta sum_t v(a))                   Freund, Schapire 1997
ascent            x[t+1] = nearest distribution to x + eta v          Zinkevich 2003
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.core.errors import require
from shoal.games.dynamics.simulate import AbstractDynamic, Mixed, Values
from shoal.games.dynamics.trajectory import Trajectory, run_dynamics
from shoal.games.normal_form import TOLERANCE, NormalForm


class FictitiousPlay(AbstractDynamic):
    """Each answers the mean of the others' play so far; the start counts as the first play."""

    temperature: Any = None
    """Of a logit answer, stochastic fictitious play (Fudenberg, Kreps 1993); None is the best
    answer, the first of several."""
    stochastic: ClassVar[bool] = True

    def init(self, start: Mixed) -> Any:
        return start, start, jnp.zeros((), start[0].dtype)

    def play(self, state: Any) -> Mixed:
        return state[1]

    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        beliefs, _, t = state
        beliefs = tuple(b + (x - b) / (t + 1) for b, x in zip(beliefs, played))
        return beliefs, tuple(answer(v, self.temperature) for v in values(beliefs)), t + 1


class RegretMatching(AbstractDynamic):
    """Each plays actions in proportion to how much they would have gained more."""

    plus: bool = eqx.field(static=True, default=False)
    """Sums of regrets never fall below 0 (Tammelin 2014)."""
    optimistic: bool = eqx.field(static=True, default=False)
    """The last regret is expected once more (Farina, Kroer, Sandholm 2021, arXiv:2007.14358)."""
    alternating: bool = eqx.field(static=True, default=False)
    """Players learn in turn, from what those before have just learnt (Burch, Moravcik, Schmid
    2019, arXiv:1810.11542); else all at once."""

    @property
    def stochastic(self) -> bool:
        return not self.alternating

    def init(self, start: Mixed) -> Any:
        return tuple(jnp.zeros_like(x) for x in start), start

    def play(self, state: Any) -> Mixed:
        return state[1]

    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        sums, profile, met = list(state[0]), list(played), list(played)
        for i, x in enumerate(played):
            value = values(tuple(met))[i]
            regret = value - value @ x
            sums[i] = jnp.maximum(sums[i] + regret, 0) if self.plus else sums[i] + regret
            profile[i] = matching(sums[i] + regret if self.optimistic else sums[i])
            if self.alternating:
                met[i] = profile[i]
        return tuple(sums), tuple(profile)


class Hedge(AbstractDynamic):
    """Each weighs actions by the exponential of what they would have gained: multiplicative
    weights."""

    rate: Any
    """Eta, one number or one for each player."""
    decay: Any = 0.0
    """Play at step t = 1, 2, ... has rate eta / t ** decay; 1/2 serves where the end is unknown."""
    optimistic: bool = eqx.field(static=True, default=False)
    """The last values are expected once more (Rakhlin, Sridharan 2013, arXiv:1311.1869)."""
    stochastic: ClassVar[bool] = True

    def init(self, start: Mixed) -> Any:
        none = tuple(jnp.zeros_like(x) for x in start)
        return tuple(jnp.log(x) for x in start), none, start, jnp.zeros((), start[0].dtype)

    def play(self, state: Any) -> Mixed:
        return state[2]

    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        prior, sums, _, t = state
        now = values(played)
        sums = tuple(s + v for s, v in zip(sums, now))
        ahead = [s + v for s, v in zip(sums, now)] if self.optimistic else sums
        rates = self.rate / (t + 2) ** self.decay * jnp.ones(len(sums), t.dtype)
        profile = tuple(jax.nn.softmax(p + e * s) for p, e, s in zip(prior, rates, ahead))
        return prior, sums, profile, t + 1


class ProjectedAscent(AbstractDynamic):
    """Each climbs the gradient of their gain; as the rate goes to 0, the projection dynamic
    (Nagurney, Zhang 1996)."""

    rate: Any
    """Eta, one number or one for each player."""
    optimistic: bool = eqx.field(static=True, default=False)
    """The last gradient is expected once more (Popov 1980)."""
    stochastic: ClassVar[bool] = True

    @property
    def duration(self) -> Any:
        return 1.0 if np.ndim(self.rate) else self.rate

    def init(self, start: Mixed) -> Any:
        return start, start

    def play(self, state: Any) -> Mixed:
        return state[1]

    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        now = values(played)
        rates = self.rate * jnp.ones(len(now), now[0].dtype)
        at = tuple(nearest_distribution(x + e * v) for x, e, v in zip(state[0], rates, now))
        if not self.optimistic:
            return at, at
        return at, tuple(nearest_distribution(x + e * v) for x, e, v in zip(at, rates, now))


def answer(values: Float[Array, "A"], temperature: Any = None) -> Float[Array, "A"]:
    """The first best action, or with a temperature the logit answer exp(v / T)."""
    if temperature is None:
        return jax.nn.one_hot(values.argmax(), len(values), dtype=values.dtype)
    return jax.nn.softmax(values / temperature)


def matching(sums: Float[Array, "A"]) -> Float[Array, "A"]:
    """The positive parts, made a distribution; uniform where there are none."""
    positive = jnp.maximum(sums, 0)
    total = positive.sum()
    some = total > 0
    return jnp.where(some, positive / jnp.where(some, total, 1), 1 / len(sums))


def nearest_distribution(x: Float[Array, "A"]) -> Float[Array, "A"]:
    """The Euclidean projection onto the distributions: x - c where positive, for the c that makes
    the sum 1 (Held, Wolfe, Crowder 1974)."""
    falling = -jnp.sort(-x)
    levels = (jnp.cumsum(falling) - 1) / jnp.arange(1, len(x) + 1, dtype=x.dtype)
    last = (falling > levels).sum() - 1
    return jnp.maximum(x - levels[last], 0)


def fictitious_play(
    game: NormalForm, steps: int, temperature: float | None = None, **options: Any
) -> Trajectory:
    """Fictitious play, or with a temperature stochastic fictitious play.

    >>> pennies = NormalForm.zero_sum([[1, -1], [-1, 1]])
    >>> float(fictitious_play(pennies, 10_000).average_regret[-1]) < 0.02
    True

    `options` are those of `run_dynamics`, which says what is raised.
    """
    require(temperature is None or temperature > 0, f"temperature is {temperature}, expected > 0")
    return run_dynamics(game, FictitiousPlay(temperature), steps, **options)


def regret_matching(
    game: NormalForm,
    steps: int,
    plus: bool = False,
    optimistic: bool = False,
    alternating: bool | None = None,
    **options: Any,
) -> Trajectory:
    """Regret matching, regret matching+, and their optimistic forms.

    >>> pennies = NormalForm.zero_sum([[1, -1], [-1, 1]])
    >>> played = regret_matching(pennies, 3000, start=([0.9, 0.1], [0.2, 0.8]))
    >>> float(played.average_regret[-1]) < 1e-3
    True

    By default players learn in turn (`alternating`) where there are two, their gains have a
    constant sum and no actions are drawn: average play then comes near equilibrium much sooner, in
    practice like 1 / steps. Elsewhere all learn at once, and the external regret is at most the
    payoffs' range times sqrt(A / steps) in any game.

    `options` are those of `run_dynamics`, which says what is raised; with `plus`, `averaging=1.0`
    is usual.
    """
    if alternating is None:
        total = np.asarray(game.payoffs, np.float64).sum(0)
        constant = bool(np.ptp(total) <= TOLERANCE * np.abs(game.payoffs).max())
        alternating = game.num_players == 2 and constant and options.get("key") is None
    return run_dynamics(game, RegretMatching(plus, optimistic, alternating), steps, **options)


def hedge(
    game: NormalForm,
    steps: int,
    rate: Any = None,
    decay: float = 0.0,
    optimistic: bool = False,
    **options: Any,
) -> Trajectory:
    """Hedge. The default rate of a player with A actions whose payoffs span a range R is the
    one of least bound, sqrt(8 ln A / steps) / R: regret at most R sqrt(ln A / (2 steps)). With
    `optimistic` it is 1 / (2 R (N-1)): in self-play the players' regrets, summed, stay within
    2 R N (N-1) ln A / steps (Syrgkanis et al. 2015, arXiv:1507.00407).

    `options` are those of `run_dynamics`, which says what is raised.
    """
    require(rate is None or bool(np.all(np.asarray(rate) > 0)), f"rate is {rate}, expected > 0")
    if rate is None:
        players = 1 if options.get("symmetric") else game.num_players
        spans = [np.ptp(np.asarray(game.payoffs[i])) or 1.0 for i in range(players)]
        if optimistic:
            rates = [0.5 / max(1, game.num_players - 1)] * players
        else:
            rates = [np.sqrt(8 * np.log(n) / max(1, steps)) for n in game.num_actions[:players]]
        rate = np.array(rates) / np.array(spans)
    return run_dynamics(game, Hedge(rate, decay, optimistic), steps, **options)


def projection(
    game: NormalForm, steps: int, rate: float = 0.01, optimistic: bool = False, **options: Any
) -> Trajectory:
    """Projected gradient ascent, the projection dynamic in steps of `rate`.

    `options` are those of `run_dynamics`, which says what is raised.
    """
    require(rate > 0, f"rate is {rate}, expected > 0")
    return run_dynamics(game, ProjectedAscent(rate, optimistic), steps, **options)
