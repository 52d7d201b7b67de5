"""Value decomposition networks: the values of a team's agents add up to the team's value.

    sum_i Q_i(o_i, a_i)  ->  r + gamma sum_i max_a Q_i(o'_i, a)

with r the mean reward of the team. The team learns as one and each agent acts alone.
Sunehag et al. 2017, arXiv:1706.05296.
"""

from typing import Any

from shoal.agents.cooperative.q_learning import QLearning


def vdn(**overrides: Any) -> QLearning:
    """Q-learning of summed values from the team's reward. `overrides` are fields of `QLearning`."""
    return QLearning(**{"mixer": "sum", **overrides})
