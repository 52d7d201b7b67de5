"""The sequence form: a tree game seen by each player as a tree of its own sequences of moves.

    u_i = sum_z u_i(z) chance(z) prod_j x_j(seq_j(z)),   x_j(s a) = x_j(s) policy(a | s)

With perfect recall that is the whole game, at the size of the tree, in a few array operations for
each depth of a player's own moves. von Stengel, Efficient computation of behavior strategies
(1996).
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int


class GroupSum(eqx.Module):
    """Sums of n numbers by group, `[n] -> [G]`, by gathers of fixed width: a scatter is slower."""

    stages: tuple[Int[np.ndarray, "_ _"], ...]
    """Each row is summed; the sums are what the next stage reads. One past the end reads 0."""
    last: Int[np.ndarray, "G"]
    """The row that holds each group's sum; one past the end where a group is empty."""

    def __call__(self, x: Any) -> Any:
        for index in self.stages:
            x = _with(x, 0).take(index, mode="clip").sum(-1)
        return _with(x, 0).take(self.last, mode="clip")


class Choices(eqx.Module):
    """What one player may choose: I information sets in order of the player's own moves before
    them, D such depths, with A actions at most. Sequence `s A + a` is the player's moves up to
    action `a` at information set `s`; sequence `I A` is the empty one."""

    infosets: Int[np.ndarray, "I"]
    """Their numbers in the game."""
    legal: Bool[np.ndarray, "I A"]
    """Which entries are actions."""
    before: Int[np.ndarray, "I"]
    """The sequence that leads to each information set."""
    ancestors: Int[np.ndarray, "S_and_1 D"]
    """All moves of each sequence, filled up with the empty sequence."""
    children: tuple[GroupSum, ...]
    """For each depth but the last: sums over the information sets that follow each sequence."""
    starts: tuple[int, ...] = eqx.field(static=True)
    """The first information set of each depth, and I."""


class Gains(eqx.Module):
    """What one player's sequences gain where the play ends after them."""

    payoffs: Float[np.ndarray, "R W"]
    """What the player gains at the ends, in rows by its last sequence, filled up with 0."""
    others: tuple[Int[np.ndarray, "R W"], ...]
    """The last sequence of each other player there."""
    rows: GroupSum
    """Sums the rows by sequence."""
    who: tuple[int, ...] = eqx.field(static=True)
    """Who the others are."""


class SequenceForm(eqx.Module):
    """A game in sequence form, for N players, and for chance as one more where it is asked for."""

    choices: tuple[Choices, ...]
    """What each may choose."""
    gains: tuple[Gains, ...]
    """What each player gains."""
    ends: Int[np.ndarray, "Z P"]
    """The sequences at each end of the game; ends with the same ones are one, and ends where
    nobody gains anything are left out."""
    payoffs: Float[np.ndarray, "Z N"]
    """What each player gains there, times the probability of chance's moves."""
    chance: Float[np.ndarray, "C A"] | None = None
    """The policy of chance, where it is a player: the last one."""


def reach(choices: Choices, policy: Any) -> Any:
    """The probability that a player's policy `[I, A]` gives to each of its sequences, `[S + 1]`."""
    return _with(policy.ravel(), 1).take(choices.ancestors, mode="clip").prod(-1)


def sequence_gains(gains: Gains, reaches: Sequence[Any]) -> Any:
    """What each sequence of a player gains at the ends after it, `[S + 1]`, given how the others
    play."""
    worth = gains.payoffs
    for who, index in zip(gains.who, gains.others):
        worth = worth * reaches[who].take(index, mode="clip")
    return gains.rows(worth.sum(-1))


def backward(choices: Choices, gains: Any, choose: Callable) -> tuple[Any, Any, Any]:
    """Values from the last moves to the first: of actions `[I, A]`, of information sets `[I]`, and
    of the game. They are counterfactual: weighted by how often the others, and chance, let it come
    to the information set.

    `choose(values, lo, hi)` makes the values `[n]` of information sets `lo` to `hi` of those of
    their actions, `[n, A]`.
    """
    width, starts = choices.legal.shape[1], choices.starts
    actions, infosets, follow = [], [], None
    for depth in reversed(range(len(starts) - 1)):
        lo, hi = starts[depth], starts[depth + 1]
        q = gains[lo * width : hi * width]
        if follow is not None:
            q = q + choices.children[depth](follow)
        q = q.reshape(hi - lo, width)
        follow = choose(q, lo, hi)
        actions.insert(0, q)
        infosets.insert(0, follow)
    if follow is None:  # a player without any choice
        return gains[:0].reshape(0, width), gains[:0], gains[-1]
    xp = _namespace(gains)
    return xp.concatenate(actions), xp.concatenate(infosets), gains[-1] + follow.sum()


def follow_policy(policy: Any) -> Callable:
    """For `backward`: the values of a policy `[I, A]`."""
    return lambda q, lo, hi: (policy[lo:hi] * q).sum(-1)


def take_best(legal: Any) -> Callable:
    """For `backward`: the values of a best response."""
    return lambda q, lo, hi: _namespace(q).where(legal[lo:hi], q, -np.inf).max(-1)


def normalized(weights: Any, legal: Any) -> Any:
    """Each row divided by its sum, `[I, A]`; uniform over the actions where that is 0."""
    xp = _namespace(weights)
    total = weights.sum(-1, keepdims=True)
    uniform = legal / legal.sum(-1, keepdims=True)
    return xp.where(total > 0, weights / xp.where(total > 0, total, 1), uniform)


def improvements(form: SequenceForm, policies: Sequence[Any]) -> Any:
    """How much each player would gain by a best response to the others' policies, `[N]`. Each
    policy is `[I, A]` over the player's own information sets; that of chance comes last."""
    reaches = [reach(c, p) for c, p in zip(form.choices, policies)]
    out = []
    for mine, gains, policy in zip(form.choices, form.gains, policies):
        worth = sequence_gains(gains, reaches)
        best = backward(mine, worth, take_best(mine.legal))[2]
        out.append(best - backward(mine, worth, follow_policy(policy))[2])
    return _namespace(policies[0]).stack(out)


def split(form: SequenceForm, policy: Any) -> tuple[Any, ...]:
    """The policy of a game, `[I, A]`, as one array for each player (and for chance)."""
    own = tuple(policy[c.infosets, : c.legal.shape[1]] for c in form.choices[: len(form.gains)])
    return own if form.chance is None else (*own, form.chance)


def _namespace(x: Any) -> Any:
    return jnp if isinstance(x, jax.Array) else np


def _with(x: Any, value: int) -> Any:
    """One more number at the end."""
    return _namespace(x).concatenate([x, np.full(1, value, x.dtype)])
