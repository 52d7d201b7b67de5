"""Independent Q-learning: every agent learns its own values and takes the others for weather.

    Q_i(o_i, a_i)  ->  r_i + gamma max_a Q_i(o'_i, a)

Tan 1993, "Multi-agent reinforcement learning: independent versus cooperative agents"; with deep
networks Tampuu et al. 2017, arXiv:1511.08779.
"""

from typing import Any

from shoal.agents.cooperative.q_learning import QLearning


def iql(**overrides: Any) -> QLearning:
    """Q-learning of each agent from its own reward. `overrides` are fields of `QLearning`."""
    return QLearning(**{"mixer": "none", **overrides})
