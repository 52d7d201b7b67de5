"""Normal-form games: what each player gains under every combination of actions.

    u_i(x) = sum_a  payoffs[i, a_1, ..., a_N]  prod_j x_j(a_j)

One array `[N, A1, ..., AN]` is the whole game, so that games are pytrees: `vmap` solves a batch of
them, and `grad` differentiates through a solution.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Shaped

from shoal.core.errors import require
from shoal.games.exact_numbers import Written, exact_array, noted, rational

Profile = Sequence[Any]
"""A mixed strategy for each of the N players: a probability vector `[A_i]` each."""

TOLERANCE = 1e-9
"""How far the entries of a distribution may be from summing to 1."""


class NormalForm(eqx.Module):
    """A game in normal form.

    >>> game = NormalForm([[[3, 0], [5, 1]], [[3, 5], [0, 1]]], title="prisoner's dilemma")
    >>> game.num_players, game.num_actions
    (2, (2, 2))
    """

    payoffs: Shaped[Array, "N *A"] | Shaped[np.ndarray, "N *A"]
    """What each player gains: `payoffs[i, a_1, ..., a_N]`; float64 unless traced by JAX."""
    actions: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    """The names of each player's actions."""
    players: tuple[str, ...] = eqx.field(static=True)
    """The names of the players."""
    title: str = eqx.field(static=True)
    written: Written = eqx.field(static=True, repr=False)
    """The payoffs as they were given, where floats do not tell."""

    def __init__(
        self,
        payoffs: Any,
        *more: Any,
        actions: Sequence[Sequence[str]] | None = None,
        players: Sequence[str] | None = None,
        title: str = "",
    ):
        """Names default to numbers, from 1.

        Raises:
            UserError: the payoffs are ragged, not finite, or their axes do not fit the number of
                players; a name is missing or there twice.
        """
        require(
            not more,
            "NormalForm takes one array of all players' payoffs: of two matrices "
            "NormalForm.bimatrix(row, column) makes a game",
        )
        if isinstance(payoffs, jax.Array):
            if not isinstance(payoffs, Tracer):
                exact_array(np.asarray(payoffs))
            self.payoffs, self.written = payoffs, Written()
        else:
            self.payoffs, self.written = noted(exact_array(payoffs))
        shape = list(self.payoffs.shape)
        require(
            len(shape) >= 2 and len(shape) == shape[0] + 1 and 0 not in shape,
            f"payoffs have shape {shape}, expected [N, A1, ..., AN] for N players"
            + (": of one matrix NormalForm.zero_sum makes a game" if len(shape) == 2 else ""),
        )
        self.players = tuple(players or (f"player {i + 1}" for i in range(shape[0])))
        self.actions = tuple(
            tuple(names) for names in actions or ([str(a + 1) for a in range(n)] for n in shape[1:])
        )
        self.title = title
        _check_names("player", self.players, shape[0])
        require(len(self.actions) == shape[0], "actions need a list of names for each player")
        for player, names, count in zip(self.players, self.actions, shape[1:]):
            _check_names(f"action of {player}", names, count)

    @staticmethod
    def bimatrix(row: Any, column: Any = None, **names: Any) -> "NormalForm":
        """Two players: `row[a, b]` and `column[a, b]` are their gains."""
        require(
            column is not None,
            "bimatrix takes the payoffs of both players, bimatrix(row, column): of one matrix "
            "NormalForm.zero_sum or NormalForm.symmetric makes a game",
        )
        row, column = exact_array(row), exact_array(column)
        require(
            row.ndim == 2 and row.shape == column.shape,
            f"payoffs have shapes {list(row.shape)} and {list(column.shape)}, "
            "expected two matrices of one shape",
        )
        return NormalForm(np.stack([row, column]), **names)

    @staticmethod
    def zero_sum(row: Any, **names: Any) -> "NormalForm":
        """Two players: one's gain is the other's loss."""
        return NormalForm.bimatrix(row, -exact_array(row), **names)

    @staticmethod
    def symmetric(row: Any, **names: Any) -> "NormalForm":
        """Two players in the same position: `row[mine, other's]` is what each gains."""
        row = exact_array(row)
        require(
            row.ndim == 2 and row.shape[0] == row.shape[1],
            f"payoffs have shape {list(row.shape)}, expected a square matrix",
        )
        return NormalForm.bimatrix(row, row.T, **names)

    @property
    def num_players(self) -> int:
        return self.payoffs.shape[0]

    @property
    def num_actions(self) -> tuple[int, ...]:
        return self.payoffs.shape[1:]

    def exact(self) -> np.ndarray:
        """The payoffs as `Fraction`s, `[N, A1, ..., AN]`: as they were given if that was in whole
        numbers, `Fraction`s or a file. Of a float, the simple fraction that it is nearest to, such
        as 1/3, or else the decimal that it prints as."""
        return self.written.of(self.payoffs)


def deviations(payoffs: Any, profile: Profile, player: int) -> Any:
    """What each action of `player` would gain against the others' strategies, `[A_i]`.

    `payoffs` are a game's, `[N, A1, ..., AN]`; arrays of NumPy (floats or `Fraction`s) or of JAX.
    """
    traced = any(isinstance(x, jax.Array) for x in (payoffs, *profile))
    xp = jnp if traced else np
    value = payoffs[player]
    for j in reversed(range(len(profile))):  # from the last axis, so that numbers stay right
        if j != player:
            x = xp.asarray(profile[j])
            if x.dtype == object:  # fractions are slow, and most weights of a profile are 0
                used = np.flatnonzero(x)
                value, x = value.take(used, axis=j), x[used]
            value = xp.tensordot(value, x, axes=(j, 0))
    return value


def expected_payoffs(game: NormalForm, profile: Profile, exact: bool = False) -> Any:
    """The expected payoff of each player, `[N]`; with `exact` in rational numbers."""
    payoffs = game.exact() if exact else game.payoffs
    mixed = [rational(x) for x in profile] if exact else profile
    values = [deviations(payoffs, mixed, i) for i in range(len(mixed))]
    traced = any(isinstance(v, jax.Array) for v in values)
    xp = jnp if traced else np
    return xp.stack([v @ xp.asarray(x) for v, x in zip(values, mixed)])


def gains(game: NormalForm, profile: Profile, exact: bool = False) -> np.ndarray:
    """How much each player could gain by a change of strategy, alone, `[N]`; none in equilibrium.

    With `exact` in rational numbers, of the payoffs' and the profile's own values.
    """
    profile = check_profile(game, profile)
    payoffs = game.exact() if exact else centred(game)
    mixed = [rational(x) for x in profile] if exact else profile
    out = []
    for i, x in enumerate(mixed):
        values = deviations(payoffs, mixed, i)
        out.append(values.max() - values @ x)
    return np.array(out)


def regret(game: NormalForm, profile: Profile, exact: bool = False) -> Any:
    """The most that any player could gain by a change of strategy: 0 in equilibrium, at most
    epsilon in an epsilon-equilibrium. A float, or with `exact` a `Fraction`.

    >>> regret(NormalForm.zero_sum([[1, -1], [-1, 1]]), ([0.5, 0.5], [0.5, 0.5]))
    0.0
    """
    largest = gains(game, profile, exact).max()
    return largest if exact else max(0.0, float(largest))


def from_least(game: NormalForm) -> np.ndarray:
    """Payoffs of each player less its least one, `[N, A1, ..., AN]` float64: so that a large number
    that they have in common costs no precision."""
    payoffs = np.asarray(game.payoffs, np.float64)
    return payoffs - payoffs.min(axis=tuple(range(1, payoffs.ndim)), keepdims=True)


def centred(game: NormalForm) -> np.ndarray:
    """Payoffs less a large number that all of a player's have in common, `[N, A1, ..., AN]`
    float64; where there is none they stay, since one great loss would take the digits of all."""
    payoffs = np.asarray(game.payoffs, np.float64)
    axes = tuple(range(1, payoffs.ndim))
    least, most = payoffs.min(axis=axes, keepdims=True), payoffs.max(axis=axes, keepdims=True)
    common = np.maximum(np.abs(least), np.abs(most)) > 2 * (most - least)
    return payoffs - np.where(common, least, 0.0)


def check_profile(game: NormalForm, profile: Profile) -> tuple[np.ndarray, ...]:
    """The profile as float64 arrays (`Fraction`s stay).

    Raises:
        UserError: it is not a distribution over the actions of each player.
    """
    require(
        len(profile) == game.num_players,
        f"the profile has {len(profile)} strategies, expected {game.num_players}",
    )
    out = []
    for player, strategy, count in zip(game.players, profile, game.num_actions):
        x = np.asarray(strategy)
        x = x if x.dtype == object else x.astype(np.float64)
        require(
            x.shape == (count,),
            f"the strategy of {player} has shape {list(x.shape)}, expected [{count}]",
        )
        total = float(x.sum())
        require(
            bool((x >= -TOLERANCE).all()) and abs(total - 1) <= TOLERANCE * max(1, count),
            f"the strategy of {player} is not a distribution: least entry "
            f"{float(x.min()):g}, sum {total:.12g}",
        )
        out.append(x)
    return tuple(out)


def pure(game: NormalForm, actions: Sequence[int]) -> tuple[np.ndarray, ...]:
    """The profile in which each player takes one action with probability 1."""
    return tuple(np.eye(n)[a] for n, a in zip(game.num_actions, actions))


def payoff_array(values: Any) -> np.ndarray:
    """Payoffs as float64; `UserError` where they are ragged, not numbers or not finite."""
    return noted(exact_array(values))[0]


def _check_names(kind: str, names: tuple[str, ...], count: int) -> None:
    require(len(names) == count, f"there are {len(names)} names of {kind}, expected {count}")
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    require(not twice, f"{kind} '{(twice or [''])[0]}' is there twice")
