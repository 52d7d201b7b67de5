"""Zero-sum games of two players, solved exactly: one linear program of the size of the tree.

    max w_0   s.t.  E x = e,  F' w <= A' x,  x >= 0

x is how often the first player's plan reaches its sequences, E and F say that the flow into an
information set is the flow out of it, and the duals are the second player's plan. Koller, Megiddo &
von Stengel, Fast algorithms for finding randomized strategies in game trees (1994). Payoffs that
span too many orders of magnitude for floats go to `double_oracle` instead.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog
from scipy.sparse import block_array, coo_array

from shoal.core.errors import UserError, require
from shoal.games.extensive.double_oracle import double_oracle
from shoal.games.extensive.policy_values import nash_conv, value
from shoal.games.extensive.sequence_arrays import sequence_arrays
from shoal.games.extensive.sequences import Choices, normalized
from shoal.games.extensive.tree import ExtensiveForm
from shoal.games.rounding import is_wide

WHOLE = 2_000
"""The most ends of a tree that whole numbers solve."""


@dataclass(frozen=True)
class SequenceSolution:
    """An equilibrium in behaviour policies."""

    policy: Float[np.ndarray, "I A"]
    """The equilibrium; uniform where a player's own moves rule an information set out."""
    value: Float[np.ndarray, "N"]
    """What it gains for each player."""
    nash_conv: float
    """The certificate: what the players could gain by best responses, computed from the tree."""
    method: str = "sequence form"
    """The name of the method."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What it was given."""


def sequence_form(game: ExtensiveForm) -> SequenceSolution:
    """Solves a zero-sum (or constant-sum) game of two players with perfect recall.

    >>> from shoal.games.extensive.kuhn import kuhn
    >>> round(float(sequence_form(kuhn()).value[0] * 18), 9)
    -1.0

    Raises:
        UserError: there are not two players, or their payoffs do not add up to a constant, or one
            forgets, or HiGHS gives up; or there are more than 2,000 ends and payoffs span too many
            orders of magnitude for floats.
    """
    require(
        game.num_players == 2,
        f"the sequence form's linear program is for 2 players, not {game.num_players}: cfr takes "
        "any number",
    )
    sums = game.payoffs.sum(1)
    require(
        bool(np.ptp(sums) <= 1e-9 * max(1.0, np.abs(game.payoffs).max())),
        f"payoffs add up to {sums.min():g} at one end and {sums.max():g} at another: the linear "
        "program needs a constant sum",
    )
    form = sequence_arrays(game)
    wide = is_wide(game.payoffs[:, 0])
    exact = wide and len(form.ends) <= WHOLE
    worth = form.payoffs[:, 0]
    plans = double_oracle(form) if exact else _solve(form.ends, worth, *form.choices)
    policy = np.zeros(game.legal.shape)
    for choices, plan in zip(form.choices, plans):
        weights = np.where(plan > (0 if exact else 1e-12), plan, 0.0)[:-1].astype(float)
        weights = weights.reshape(choices.legal.shape)
        policy[choices.infosets, : choices.legal.shape[1]] = normalized(weights, choices.legal)
    gap = nash_conv(game, policy)
    met = np.abs(worth) * plans[0][form.ends[:, 0]] * plans[1][form.ends[:, 1]]
    require(
        exact or not wide or gap <= 1e-9 * met.sum(),
        "payoffs span too many orders of magnitude for floats, and whole numbers take trees of at "
        f"most {WHOLE:,} ends, not {len(form.ends):,}",
    )
    method = "double oracle in whole numbers" if exact else "sequence form"
    return SequenceSolution(policy, value(game, policy), gap, method)


def _solve(
    ends: np.ndarray, payoffs: np.ndarray, first: Choices, second: Choices
) -> tuple[np.ndarray, np.ndarray]:
    """Both players' plans: the probability of each sequence, `[S + 1]`."""
    shape = first.legal.size + 1, second.legal.size + 1
    payoffs = payoffs / (np.abs(payoffs).max(initial=0) or 1.0)  # HiGHS takes 10^15 for infinite
    gains = coo_array((payoffs, (ends[:, 0], ends[:, 1])), shape).tocsr()
    flow, other_flow = _flow(first), _flow(second)
    num_w = other_flow.shape[0]
    known = np.zeros(flow.shape[0])
    known[0] = 1
    # Entries that are no actions are in no row of the flow: they would be free.
    most = np.append(np.where(first.legal.ravel(), 1.0, 0.0), 1.0)
    found = linprog(
        -np.eye(1, shape[0] + num_w, shape[0])[0],
        A_ub=block_array([[-gains.T, other_flow.T]], format="csr"),
        b_ub=np.zeros(shape[1]),
        A_eq=block_array([[flow, coo_array((flow.shape[0], num_w))]], format="csr"),
        b_eq=known,
        bounds=[*((0, top) for top in most), *[(None, None)] * num_w],
        method="highs",
    )
    if found.x is None or found.status != 0:
        raise UserError(f"HiGHS did not solve the sequence form: {found.message}")
    return found.x[: shape[0]], -found.ineqlin.marginals


def _flow(choices: Choices) -> Any:
    """`[I + 1, S + 1]`: row 0 is the empty sequence's; below, what leaves each information set
    less what enters it."""
    sets, actions = np.nonzero(choices.legal)
    num_sets, width = choices.legal.shape
    rows = np.concatenate([[0], sets + 1, np.arange(num_sets) + 1])
    columns = np.concatenate([[num_sets * width], sets * width + actions, choices.before])
    signs = np.concatenate([np.ones(1 + len(sets)), -np.ones(num_sets)])
    return coo_array((signs, (rows, columns)), (num_sets + 1, num_sets * width + 1)).tocsr()
