"""Advantage actor-critic: one gradient step from each stretch of experience.

    maximise  E[ log pi(a_i|o_i) A_i ]

PPO before its first step has the same gradient, for its ratio is then 1: A2C is that step alone.
Mnih et al. 2016, arXiv:1602.01783.
"""

from typing import Any

from shoal.agents.policy_gradient.actor_critic import ActorCritic


def a2c(**overrides: Any) -> ActorCritic:
    """Actor-critic that uses each sample once. `overrides` are fields of `ActorCritic`."""
    defaults: dict[str, Any] = dict(
        surrogate="policy_gradient", epochs=1, minibatches=1, clip_values=False
    )
    return ActorCritic(**{**defaults, **overrides})
