"""Learning over time: players who adapt to what the others play.

Runs any rule of `learning.py` and `flows.py` in a game, for a batch of starts or of random keys,
and certifies where it came by the regret. Fudenberg and Levine, The Theory of Learning in Games,
1998.
"""

from dataclasses import dataclass, fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from shoal.core.errors import require, unknown
from shoal.games.checks import finite
from shoal.games.dynamics.simulate import AbstractDynamic, simulate
from shoal.games.evolutionary.populations import check_symmetric
from shoal.games.normal_form import TOLERANCE, NormalForm
from shoal.games.solution import Equilibria, certified


@dataclass(frozen=True)
class Trajectory:
    """Play over time, at K + 1 times, of B runs where there are several.

    The certificate is the regret: in an equilibrium none, computed from the payoffs.
    """

    game: NormalForm
    times: Float[np.ndarray, "K"]
    """Steps taken, or the time of a continuous dynamic."""
    profiles: tuple[Float[np.ndarray, "*B K _"], ...]
    """The strategies of each player; of the one population where `symmetric`."""
    average: tuple[Float[np.ndarray, "*B K _"], ...]
    """The mean of all play so far."""
    regret: Float[np.ndarray, "*B K"]
    """The most that a player could gain by leaving the profile."""
    average_regret: Float[np.ndarray, "*B K"]
    """The most that a player could gain by leaving the average profile."""
    external_regret: Float[np.ndarray, "*B K N"]
    """What the best fixed action would have gained more in a step than each player's play: as it
    goes to 0, the joint play goes to the coarse correlated equilibria."""
    method: str
    parameters: dict[str, Any]
    symmetric: bool

    @property
    def last(self) -> tuple[np.ndarray, ...]:
        """The strategies at the end, `[*B, A_i]`."""
        return tuple(x[..., -1, :] for x in self.profiles)

    @property
    def last_average(self) -> tuple[np.ndarray, ...]:
        """The mean of all play, `[*B, A_i]`."""
        return tuple(x[..., -1, :] for x in self.average)

    def equilibrium(self, of: str = "average") -> Equilibria:
        """The profile reached, of each run, with its regret: an epsilon-equilibrium.

        Raises:
            UserError: `of` is neither `average` nor `last`.
        """
        choices = {"average": self.last_average, "last": self.last}
        if of not in choices:
            raise unknown("choice", of, choices)
        players = self.game.num_players if self.symmetric else 1
        rows = zip(*(x.reshape(-1, x.shape[-1]) for x in choices[of] * players))
        profiles = [tuple(_rounded(x) for x in row) for row in rows]
        return certified(self.game, profiles, self.method, False, parameters=self.parameters)


def run_dynamics(
    game: NormalForm,
    dynamic: AbstractDynamic,
    steps: int,
    start: Any = None,
    key: Any = None,
    *,
    every: int = 1,
    averaging: float = 0.0,
    symmetric: bool = False,
) -> Trajectory:
    """Plays `game` for `steps` steps, in float64.

    >>> from shoal.games.dynamics.learning import RegretMatching
    >>> pennies = NormalForm.zero_sum([[1, -1], [-1, 1]])
    >>> played = run_dynamics(pennies, RegretMatching(plus=True), 1000, start=([1, 0], [0, 1]))
    >>> float(played.average_regret[-1]) < 0.05
    True

    Args:
        game: of N players.
        dynamic: the rule, such as `Hedge(0.1)`.
        steps: how many.
        start: a strategy `[A_i]` for each player, or `[B, A_i]` for a batch; else uniform.
        key: with a key, players meet actions drawn from the strategies; else the strategies.
            A `[B]` of keys is a batch too.
        every: record one in so many steps.
        averaging: play at step t = 1, 2, ... weighs t ** averaging in the average.
        symmetric: one population plays itself; `start` is then one strategy, `[A]` or `[B, A]`.

    Raises:
        UserError: a start that is no distribution, steps that `every` does not divide, a key for a
            rule that is not stochastic, a symmetric run of a game that is not.
    """
    require(steps >= 1, f"steps is {steps}, expected at least 1")
    require(every >= 1 and steps % every == 0, f"every is {every}, expected a divisor of {steps}")
    require(
        key is None or dynamic.stochastic,
        f"{type(dynamic).__name__} with these options does not learn from drawn actions, expected "
        "no key",
    )
    require(
        key is None
        or (isinstance(key, jax.Array) and bool(jnp.issubdtype(key.dtype, jax.dtypes.prng_key))),
        f"key is {key!r}, expected one such as jax.random.key(0)",
    )
    require(not (symmetric and key is not None), "members of one population meet its mean: no key")
    if symmetric:
        check_symmetric(game)
    begin, runs = _start(game, start, symmetric)
    with jax.enable_x64(True):
        rule = jax.tree.map(lambda x: jnp.asarray(x, float), dynamic)
        payoffs = jnp.asarray(np.asarray(game.payoffs, np.float64))
        keys, runs = _keys(key, runs)
        power = jnp.asarray(averaging, float)
        path = _compiled(payoffs, rule, begin, keys, power, steps, every, symmetric, runs)
        path = jax.tree.map(lambda x: np.asarray(x, np.float64), path)
    times = np.arange(0, steps + 1, every) * float(dynamic.duration)
    settings = {f.name: getattr(dynamic, f.name) for f in fields(dynamic)}
    settings |= {"steps": steps, "averaging": averaging, "sampled": key is not None}
    name = type(dynamic).__name__
    return Trajectory(game, times, *path, method=name, parameters=settings, symmetric=symmetric)


@eqx.filter_jit
def _compiled(payoffs, dynamic, start, keys, averaging, steps, every, symmetric, runs):
    def run(start, key):
        return simulate(
            payoffs,
            dynamic,
            start,
            steps,
            key=key,
            every=every,
            averaging=averaging,
            symmetric=symmetric,
        )

    if runs is None:
        return run(start, keys)
    start = tuple(jnp.broadcast_to(x, (runs, x.shape[-1])) for x in start)
    return jax.vmap(run, in_axes=(0, None if keys is None else 0))(start, keys)


def _start(
    game: NormalForm, start: Any, symmetric: bool
) -> tuple[tuple[np.ndarray, ...], int | None]:
    """The starts as float64, and how many runs there are where there is a batch."""
    counts = game.num_actions[:1] if symmetric else game.num_actions
    if start is None:
        return tuple(np.full(n, 1 / n) for n in counts), None
    start = (start,) if symmetric else start
    require(len(start) == len(counts), f"start has {len(start)} strategies, expected {len(counts)}")
    begin = tuple(finite(f"the shares of {i}", x, 1, 2) for i, x in zip(game.players, start))
    for player, x, n in zip(game.players, begin, counts):
        require(
            x.shape[-1] == n,
            f"the start of {player} has shape {list(x.shape)}, expected [{n}] or [B, {n}]",
        )
        off = np.abs(x.sum(-1) - 1).max()
        require(
            bool((x >= 0).all()) and bool(off <= TOLERANCE * n),
            f"the start of {player} is not a distribution: least entry {x.min():g}, "
            f"sum off by {off:g}",
        )
    runs = {len(x) for x in begin if x.ndim == 2}
    require(len(runs) <= 1, f"starts are batches of sizes {sorted(runs)}, expected one size")
    return begin, (runs.pop() if runs else None)


def _keys(key: Any, runs: int | None) -> tuple[Any, int | None]:
    if key is None or key.shape == ():
        return (key if key is None or runs is None else jax.random.split(key, runs)), runs
    require(
        key.ndim == 1 and runs in (None, len(key)),
        f"keys have shape {list(key.shape)}, expected [] or {[runs or 'B']}",
    )
    return key, len(key)


def _rounded(x: np.ndarray) -> np.ndarray:
    """The distribution without rounding errors below 0 and in its sum."""
    x = np.maximum(x, 0)
    return x / x.sum()
