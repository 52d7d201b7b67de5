"""Dominated actions, by pure and by mixed strategies, for any number of players.

    strictly: some y over the others with  sum_b y(b) u_i(b, a_-i) > u_i(a, a_-i)  for all a_-i

Weakly: >= for all and > for some. One linear program an action (Shoham and Leyton-Brown 2009, 4.5),
in whole numbers where payoffs span too many orders of magnitude for floats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from shoal.core.errors import require
from shoal.games.exact_programs import best_worst
from shoal.games.normal_form import NormalForm, rational
from shoal.games.rounding import is_wide, tied

MARGIN = 1e-9
"""A mixture in floats that dominates by less than this share of the player's range of payoffs
counts as none; what is less by a tenth of it counts as equal."""
LARGEST_PROGRAM = 20_000_000
"""The most coefficients of one linear program: 160 MB."""


@dataclass(frozen=True)
class Dominator:
    """A strategy that does better than an action whatever the others do: the certificate."""

    player: int
    action: int
    strategy: np.ndarray
    """The mixture that dominates, `[A_i]`; it does not use the action."""
    margin: float
    """Strict domination: the least gain over all combinations of the others' actions. Weak: the
    largest one; the least is 0 or more."""
    strict: bool
    exact: bool
    """Whether the domination also holds in rational numbers, for the rational strategy nearest."""


@dataclass(frozen=True)
class Elimination:
    """What is left of a game after the iterated elimination of dominated actions."""

    game: NormalForm
    """The reduced game; actions keep their names."""
    kept: list[list[int]]
    """For each player the numbers, in the original game, of the actions kept."""
    order: list[Dominator]
    """What was eliminated, in order, with its dominator; in numbers of the original game."""
    rounds: list[int]
    """The round, from 1, in which each was eliminated: in one round all at once."""
    method: str
    num_actions: tuple[int, ...]
    """Of the original game."""

    def lift(self, profile: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """A profile of the reduced game as one of the original game."""
        out = []
        for strategy, kept, count in zip(profile, self.kept, self.num_actions):
            full = np.zeros(count)
            full[kept] = np.asarray(strategy, np.float64)
            out.append(full)
        return tuple(out)


def dominated_actions(
    game: NormalForm, player: int, strict: bool = True, mixed: bool = True
) -> list[int]:
    """The actions of `player` that some other strategy dominates: a mixed one, or with
    `mixed=False` an action.

    >>> dominated_actions(NormalForm.symmetric([[3, 0], [5, 1]]), 0)
    [0]

    Raises:
        UserError: no such player, or the linear programs would be too large.
    """
    count = game.num_actions[_check_player(game, player)]
    found = (dominator(game, player, a, strict, mixed) for a in range(count))
    return [d.action for d in found if d is not None]


def dominator(
    game: NormalForm, player: int, action: int, strict: bool = True, mixed: bool = True
) -> Dominator | None:
    """A strategy that dominates `action`, or None.

    Raises:
        UserError: no such player or action, or the linear program would be too large.
    """
    count = game.num_actions[_check_player(game, player)]
    require(0 <= action < count, f"action {action} does not exist: there are {count}")
    values = _rows(np.asarray(game.payoffs, np.float64)[player], player)
    return dominating(values, action, strict, mixed, player)


def iterated_elimination(game: NormalForm, strict: bool = True, mixed: bool = True) -> Elimination:
    """Eliminates dominated actions of all players at once, again and again.

    With strict domination no equilibrium is lost and the order does not matter. With weak
    domination equilibria can be lost, and another order may keep other actions.

    Raises:
        UserError: a linear program would be too large.
    """
    kept = [list(range(n)) for n in game.num_actions]
    payoffs = np.asarray(game.payoffs, np.float64)
    order: list[Dominator] = []
    rounds: list[int] = []
    while True:
        block = payoffs[np.ix_(range(game.num_players), *kept)]
        found = [_all(block, i, strict, mixed) for i in range(game.num_players)]
        if not any(found):
            break
        now = max(rounds, default=0) + 1
        for i, gone in enumerate(found):
            order += [_renumbered(d, kept[i], game.num_actions[i]) for d in gone]
            rounds += [now] * len(gone)
            out = {d.action for d in gone}
            kept[i] = [a for at, a in enumerate(kept[i]) if at not in out]
    reduced = NormalForm(
        block,
        actions=[[names[a] for a in own] for names, own in zip(game.actions, kept)],
        players=game.players,
        title=game.title,
    )
    kind = f"{'strict' if strict else 'weak'} domination by {'mixed' if mixed else 'pure'}"
    return Elimination(reduced, kept, order, rounds, f"{kind} strategies", game.num_actions)


def _all(payoffs: np.ndarray, player: int, strict: bool, mixed: bool) -> list[Dominator]:
    values = _rows(payoffs[player], player)
    found = [dominating(values, a, strict, mixed, player) for a in range(len(values))]
    return [d for d in found if d is not None]


def dominating(
    values: Float[np.ndarray, "A K"], action: int, strict: bool, mixed: bool, player: int = 0
) -> Dominator | None:
    """What dominates a row of `values`: another row, if there is one, which needs no linear
    program; else a mixture."""
    gain = np.where(tied(values, values[action]), 0.0, values - values[action])
    better = (gain > 0).all(1) if strict else (gain >= 0).all(1) & (gain > 0).any(1)
    if better.any():
        strategy = np.eye(len(values))[int(np.argmax(better))]
    elif not mixed or len(values) < 3:
        return None
    elif is_wide(values):
        return _in_whole_numbers(values, action, strict, player)
    else:
        strategy = _mixture(gain, action, strict, MARGIN * float(np.ptp(values)))
    if strategy is None:
        return None
    total = strategy @ gain
    margin = float(total.min() if strict else total.max())
    exact = _holds_exactly(values, action, strategy, strict)
    return Dominator(player, action, strategy, margin, strict, exact)


def _in_whole_numbers(
    values: Float[np.ndarray, "A K"], action: int, strict: bool, player: int
) -> Dominator | None:
    exact = rational(values)
    others = np.delete(exact, action, 0) - exact[action]
    # As in floats below: the largest least gain, or the largest sum of gains.
    mix = best_worst(others.T) if strict else best_worst(others.sum(1)[None], -others.T)
    if mix is None:
        return None
    total = mix @ others
    margin = total.min() if strict else total.max()
    if margin <= 0:
        return None
    strategy = np.insert(mix.astype(float), action, 0.0)
    return Dominator(player, action, strategy, float(margin), strict, True)


def _mixture(
    gain: Float[np.ndarray, "A K"], action: int, strict: bool, enough: float
) -> Float[np.ndarray, "A"] | None:
    """Strict: the mixture of the largest least gain. Weak: of the largest sum of gains, none
    negative."""
    count, others = gain.shape
    require(
        count * others <= LARGEST_PROGRAM,
        f"the linear program for one action of {count} against {others} combinations has "
        f"{count * others:.3g} coefficients, the limit is {LARGEST_PROGRAM}: use mixed=False",
    )
    scaled = gain / (float(np.abs(gain).max()) or 1.0)
    bounds = [(0.0, 0.0 if a == action else 1.0) for a in range(count)]
    one = np.ones((1, count))
    if strict:
        rows = np.column_stack([-scaled.T, np.ones(others)])
        aim, one = np.append(np.zeros(count), -1.0), np.column_stack([one, [[0.0]]])
        bounds.append((-2.0, 2.0))
    else:
        rows, aim = -scaled.T, -scaled.sum(1)
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    solved = linprog(aim, rows, np.zeros(others), one, [1.0], bounds, method="highs", options=tight)
    if solved.x is None:
        return None
    strategy = np.maximum(solved.x[:count], 0.0)
    strategy[strategy < 1e-13] = 0.0
    strategy /= strategy.sum()
    total = strategy @ gain
    if strict:
        return strategy if total.min() > enough else None
    return strategy if total.min() >= -enough / 10 and total.max() > enough else None


def _holds_exactly(values: np.ndarray, action: int, strategy: np.ndarray, strict: bool) -> bool:
    """The domination in `Fraction`s: a proof, apart from what floats the payoffs were given as."""
    if values.size > 200_000:  # would take long; the floats have a margin
        return False
    weights = rational(strategy, 10_000)
    used = [b for b, w in enumerate(weights) if w]
    if sum(weights) == 0:
        return False
    exact = rational(values[[*used, action]])
    total = (weights[used] / weights.sum()) @ exact[:-1] - exact[-1]
    return bool(total.min() > 0 if strict else total.min() >= 0 and total.max() > 0)


def _rows(values: np.ndarray, player: int) -> np.ndarray:
    """A player's payoffs as `[A_i, combinations of the others' actions]`."""
    return np.moveaxis(values, player, 0).reshape(values.shape[player], -1)


def _renumbered(found: Dominator, kept: list[int], count: int) -> Dominator:
    strategy = np.zeros(count)
    strategy[kept] = found.strategy
    action = kept[found.action]
    return Dominator(found.player, action, strategy, found.margin, found.strict, found.exact)


def _check_player(game: NormalForm, player: int) -> int:
    count = game.num_players
    require(0 <= player < count, f"player {player} does not exist: there are {count}, from 0")
    return player
