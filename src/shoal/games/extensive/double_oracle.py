"""Zero-sum trees in whole numbers, for payoffs that floats cannot tell apart: each player mixes a
few plans, and adds its best response to the other's mixture until neither gains by another.

McMahan, Gordon and Blum, Planning in the presence of cost functions controlled by an adversary
(2003).
"""

import numpy as np

from shoal.games.exact_programs import best_worst
from shoal.games.extensive.sequences import Choices, SequenceForm, backward, reach, take_best
from shoal.games.normal_form import rational


def double_oracle(form: SequenceForm) -> list[np.ndarray]:
    """How often each player's optimal plan reaches its sequences, `[S + 1]` `Fraction`s each; the
    second player's payoffs are taken to be the first one's losses.

    Raises:
        UserError: so many plans are needed that the linear program grows too large.
    """
    payoffs, ends = rational(form.payoffs[:, 0]), form.ends
    plans = [[reach(c, rational(_first(c)))] for c in form.choices]
    while True:
        xs, ys = (np.array(p) for p in plans)
        table = (xs[:, ends[:, 0]] * payoffs) @ ys[:, ends[:, 1]].T
        shares = best_worst(table.T), best_worst(-table)
        mixes = [share @ plan for share, plan in zip(shares, (xs, ys))]
        now = (payoffs * mixes[0][ends[:, 0]] * mixes[1][ends[:, 1]]).sum()
        better = 0
        for i, worth in enumerate((payoffs, -payoffs)):
            gains = np.zeros(len(mixes[i]), object)
            np.add.at(gains, ends[:, i], worth * mixes[1 - i][ends[:, 1 - i]])
            gained, plan = _best_response(form.choices[i], gains)
            if gained > (now, -now)[i]:
                better += 1
                plans[i].append(plan)
        if not better:
            return mixes


def _best_response(choices: Choices, gains: np.ndarray) -> tuple[object, np.ndarray]:
    """What the best plan gains, given what each sequence does, and how often it reaches each."""
    actions, _, gained = backward(choices, gains, take_best(choices.legal))
    if not len(actions):
        return gained, reach(choices, rational(_first(choices)))
    best = np.where(choices.legal, actions, -np.inf).argmax(1)
    return gained, reach(choices, rational(np.eye(choices.legal.shape[1])[best]))


def _first(choices: Choices) -> np.ndarray:
    """The policy of each information set's first action."""
    return np.eye(choices.legal.shape[1])[choices.legal.argmax(1)]
