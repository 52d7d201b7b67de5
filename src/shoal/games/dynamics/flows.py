"""Evolution of large populations in continuous time: x' = field(x, v), v(a) the gain of action a.

    replicator      x (v - x.v)                                     Taylor, Jonker 1978
    best response   argmax v - x                                    Gilboa, Matsui 1991
    logit           softmax(v / T) - x                              Fudenberg, Levine 1998
    BNN             e - x sum e,   e = [v - x.v]+                   Brown, von Neumann 1950
    Smith           inflow by [v(a) - v(b)]+ from each b, less outflow            Smith 1984

For one population or one for each player; Sandholm, Population Games, 2010.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.core.errors import require, unknown
from shoal.games.dynamics.learning import answer
from shoal.games.dynamics.simulate import AbstractDynamic, Mixed, Values, action_values
from shoal.games.dynamics.trajectory import Trajectory, run_dynamics
from shoal.games.normal_form import NormalForm

Field = Callable[[Float[Array, "A"], Float[Array, "A"]], Float[Array, "A"]]
"""The velocity of a strategy, of itself and the values of its actions."""


class Replicator(eqx.Module):
    """What gains more than the mean grows."""

    mutation: Any = 0.0
    """The share of offspring that take another action, each as likely."""

    def __call__(self, x: Float[Array, "A"], values: Float[Array, "A"]) -> Float[Array, "A"]:
        drift = self.mutation * (1 / len(x) - x)
        return x * (values - x @ values) + drift


class BestResponse(eqx.Module):
    """At any time some switch to the best action, the first of several."""

    def __call__(self, x: Float[Array, "A"], values: Float[Array, "A"]) -> Float[Array, "A"]:
        return answer(values) - x


class Logit(eqx.Module):
    """At any time some switch, to better actions more often: rest points are the logit quantal
    response equilibria."""

    temperature: Any = 0.1
    """Of the answer exp(v / T)."""

    def __call__(self, x: Float[Array, "A"], values: Float[Array, "A"]) -> Float[Array, "A"]:
        return answer(values, self.temperature) - x


class BrownVonNeumannNash(eqx.Module):
    """Some switch to actions that gain more than the mean, also to those that nobody plays."""

    def __call__(self, x: Float[Array, "A"], values: Float[Array, "A"]) -> Float[Array, "A"]:
        excess = jnp.maximum(values - x @ values, 0)
        return excess - x * excess.sum()


class Smith(eqx.Module):
    """Some compare two actions and switch to the better."""

    def __call__(self, x: Float[Array, "A"], values: Float[Array, "A"]) -> Float[Array, "A"]:
        better = jnp.maximum(values[:, None] - values[None, :], 0)  # [to, from]
        return better @ x - x * better.sum(0)


class Flow(AbstractDynamic):
    """Follows a field in steps of `dt`."""

    field: Field
    dt: Any = 0.01
    """The time that one step takes."""
    order: int = eqx.field(static=True, default=4)
    """4 is the classic Runge-Kutta scheme, 1 is Euler's, for fields that jump."""
    stochastic: ClassVar[bool] = False

    @property
    def duration(self) -> Any:
        return self.dt

    def init(self, start: Mixed) -> Any:
        return start

    def play(self, state: Any) -> Mixed:
        return state

    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        slope = self._slope(played, values)
        if self.order == 4:
            half = self._slope(_move(played, slope, self.dt / 2), values)
            again = self._slope(_move(played, half, self.dt / 2), values)
            end = self._slope(_move(played, again, self.dt), values)
            slope = tuple(
                (a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(slope, half, again, end)
            )
        # A step can leave the simplex by rounding, or by its length where that is too long.
        moved = [jnp.maximum(x, 0) for x in _move(played, slope, self.dt)]
        return tuple(x / x.sum() for x in moved)

    def _slope(self, profile: Mixed, values: Values) -> Mixed:
        return tuple(self.field(x, v) for x, v in zip(profile, values(profile)))


class DiscreteReplicator(AbstractDynamic):
    """Generations that do not overlap: x(a) (c + v(a)) / (c + x.v) (Maynard Smith 1982)."""

    background: Any = 0.0
    """c, what all have beside the game; the larger, the slower."""
    stochastic: ClassVar[bool] = False

    def init(self, start: Mixed) -> Any:
        return start

    def play(self, state: Any) -> Mixed:
        return state

    def step(self, state: Any, played: Mixed, values: Values) -> Any:
        grown = [x * (self.background + v) for x, v in zip(played, values(played))]
        return tuple(x / x.sum() for x in grown)


def _move(profile: Mixed, slope: Mixed, dt: Any) -> Mixed:
    return tuple(x + dt * s for x, s in zip(profile, slope))


def velocities(
    game: NormalForm, field: Field, profiles: Any, symmetric: bool = False
) -> tuple[np.ndarray, ...]:
    """The field at B profiles, `[B, A_i]` for each player (for one population, where `symmetric`,
    in a tuple of one), in float64."""
    with jax.enable_x64(True):
        values = action_values(jnp.asarray(np.asarray(game.payoffs, np.float64)), symmetric)
        at = tuple(jnp.asarray(np.asarray(x, np.float64)) for x in profiles)
        flow = Flow(field)
        return tuple(np.asarray(s) for s in jax.vmap(lambda p: flow._slope(p, values))(at))


def replicator(
    game: NormalForm, steps: int, dt: float = 0.01, mutation: float = 0.0, **options: Any
) -> Trajectory:
    """The replicator dynamic, of a population for each player or with `symmetric=True` of one.

    >>> hawk_dove = NormalForm.symmetric([[-1, 4], [0, 2]])  # V = 4, C = 6: hawks are V / C
    >>> played = replicator(hawk_dove, 2000, symmetric=True, start=[0.1, 0.9])
    >>> [round(float(share), 4) for share in played.last[0]]
    [0.6667, 0.3333]

    `options` are those of `run_dynamics`, which says what is raised.
    """
    require(mutation >= 0, f"mutation is {mutation}, expected at least 0")
    return follow(game, Replicator(mutation), steps, dt, **options)


def discrete_replicator(
    game: NormalForm, steps: int, background: float = 0.0, **options: Any
) -> Trajectory:
    """The replicator dynamic of generations.

    `options` are those of `run_dynamics`, which says what more is raised.

    Raises:
        UserError: a payoff and the background do not sum to more than 0.
    """
    least = float(np.min(np.asarray(game.payoffs))) + background
    require(least > 0, f"the least payoff and the background sum to {least:g}, expected > 0")
    return run_dynamics(game, DiscreteReplicator(background), steps, **options)


def best_response(game: NormalForm, steps: int, dt: float = 0.01, **options: Any) -> Trajectory:
    """The best response dynamic, by Euler's steps: the share `dt` of all switches at each.

    `options` are those of `run_dynamics`, which says what is raised.
    """
    require(0 < dt <= 1, f"dt is {dt}, expected in (0, 1]")
    return run_dynamics(game, Flow(BestResponse(), dt, 1), steps, **options)


def logit(
    game: NormalForm, steps: int, temperature: float = 0.1, dt: float = 0.01, **options: Any
) -> Trajectory:
    """The logit dynamic, smoothed best responses.

    `options` are those of `run_dynamics`, which says what is raised.
    """
    require(temperature > 0, f"temperature is {temperature}, expected > 0")
    return follow(game, Logit(temperature), steps, dt, **options)


def follow(
    game: NormalForm, field: Field, steps: int, dt: float = 0.01, order: int = 4, **options: Any
) -> Trajectory:
    """Any flow, such as `follow(game, Smith(), 1000)`.

    `options` are those of `run_dynamics`, which says what more is raised.

    Raises:
        UserError: `dt` is not positive, the order is neither 1 nor 4.
    """
    require(dt > 0, f"dt is {dt}, expected > 0")
    if order not in (1, 4):
        raise unknown("order", str(order), ["1", "4"])
    return run_dynamics(game, Flow(field, dt, order), steps, **options)
