"""What policies of a game tree are worth: values, best responses, and how far from equilibrium.

    NashConv(policy) = sum_i [max_p u_i(p, policy_-i) - u_i(policy)]

It is 0 in a Nash equilibrium alone. Lanctot et al., A unified game-theoretic approach (2017).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from shoal.core.errors import require
from shoal.games.extensive.sequence_arrays import sequence_arrays
from shoal.games.extensive.sequences import (
    backward,
    improvements,
    reach,
    sequence_gains,
    split,
    take_best,
)
from shoal.games.extensive.tree import ExtensiveForm, check_policy


@dataclass(frozen=True)
class BestResponse:
    """A player's best response to a policy."""

    value: float
    """What it gains for the player."""
    policy: Float[np.ndarray, "I A"]
    """The others' policies, and the player's best actions; the first one of equals."""


def value(game: ExtensiveForm, policy: Any) -> Float[np.ndarray, "N"]:
    """What each player gains when all follow `policy`, `[I, A]`. Recall need not be perfect.

    Raises:
        UserError: it is no policy of the game.

    >>> from shoal.games.extensive.kuhn import kuhn
    >>> value(kuhn(), kuhn().uniform()).round(9).tolist()
    [0.125, -0.125]
    """
    policy = check_policy(game, policy)
    up, probs = game.parent, game.chance.copy()
    moved = 1 + np.flatnonzero(game.infoset[up[1:]] >= 0)
    probs[moved] = policy[game.infoset[up[moved]], game.action[moved]]
    for lo, hi in zip(game.depths[1:-1], game.depths[2:]):
        probs[lo:hi] *= probs[up[lo:hi]]
    return probs[game.terminals] @ game.payoffs


def best_response(game: ExtensiveForm, policy: Any, player: int) -> BestResponse:
    """A best response of `player` (from 0) to the others' part of `policy`, `[I, A]`: best also at
    information sets that the player's own moves rule out.

    Raises:
        UserError: there is no such player, it is no policy of the game, or a player forgets.
    """
    policy = check_policy(game, policy)
    require(
        0 <= player < game.num_players,
        f"there is no player {player}: they are 0 to {game.num_players - 1}",
    )
    form = sequence_arrays(game)
    reaches = [reach(c, p) for c, p in zip(form.choices, split(form, policy))]
    mine = form.choices[player]
    gains = sequence_gains(form.gains[player], reaches)
    actions, _, best = backward(mine, gains, take_best(mine.legal))
    out = policy.copy()
    out[mine.infosets] = 0
    out[mine.infosets, np.where(mine.legal, actions, -np.inf).argmax(1)] = 1
    return BestResponse(float(best), out)


def nash_conv(game: ExtensiveForm, policy: Any) -> float:
    """The sum of what the players could gain by best responses, each alone: 0 in equilibrium.

    Raises:
        UserError: it is no policy of the game, or a player forgets.

    >>> from shoal.games.extensive.kuhn import kuhn
    >>> round(nash_conv(kuhn(), kuhn().uniform()), 9) == round(11 / 12, 9)
    True
    """
    form = sequence_arrays(game)
    return float(improvements(form, split(form, check_policy(game, policy))).sum())


def exploitability(game: ExtensiveForm, policy: Any) -> float:
    """`nash_conv` for each player, on average; in a zero-sum game of two, what a best opponent
    gains beyond the value. Raises what `nash_conv` does."""
    return nash_conv(game, policy) / game.num_players
