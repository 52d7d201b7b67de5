"""Mixtures of policies of a tree: to draw one at the start is to follow one behaviour policy.

    policy(a | s) = sum_k w_k reach_k(s) policy_k(a | s) / sum_k w_k reach_k(s)

reach_k is how far policy k's own moves lead to s. Kuhn, Extensive games and the problem of
information (1953): so it is with perfect recall.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from shoal.core.errors import require
from shoal.games.extensive.policy_values import check_policy
from shoal.games.extensive.sequence_arrays import sequence_arrays
from shoal.games.extensive.sequences import normalized, reach, split
from shoal.games.extensive.tree import ExtensiveForm


def mixture(
    game: ExtensiveForm, policies: Sequence[Any], weights: Sequence[float] | None = None
) -> Float[np.ndarray, "I A"]:
    """The policy in which each player draws one of `policies`, `[I, A]` each, on its own and plays
    it to the end; drawn alike, or by `weights`. Uniform where none of them goes.

    Raises:
        UserError: no policies, weights that are no weights, or a player forgets.
    """
    require(len(policies) > 0, "a mixture is of one policy or more")
    shares = np.ones(len(policies)) if weights is None else np.asarray(weights, np.float64)
    require(
        shares.shape == (len(policies),) and bool((shares >= 0).all()) and shares.sum() > 0,
        f"weights are {shares.tolist()}, expected {len(policies)} numbers, 0 or more",
    )
    form = sequence_arrays(game)
    sums = [np.zeros(c.legal.size + 1) for c in form.choices]
    for share, policy in zip(shares, policies):
        parts = split(form, check_policy(game, policy))
        for total, choices, part in zip(sums, form.choices, parts):
            total += share * reach(choices, part)
    out = np.zeros(game.legal.shape)
    for total, choices in zip(sums, form.choices):
        weight = total[:-1].reshape(choices.legal.shape)
        out[choices.infosets, : choices.legal.shape[1]] = normalized(weight, choices.legal)
    return out
