"""Multi-agent PPO: policies act on what each agent sees, the critic learns from the whole state.

    maximise  E[ min(rho_i A_i, clip(rho_i, 1 - eps, 1 + eps) A_i) ]    with A_i from V_i(s)

The critic is there in training alone: agents act without it.
Yu et al. 2022, arXiv:2103.01955.
"""

from typing import Any

from shoal.agents.policy_gradient.actor_critic import ActorCritic


def mappo(**overrides: Any) -> ActorCritic:
    """PPO with one critic of the global state. `overrides` are fields of `ActorCritic`."""
    return ActorCritic(**{"surrogate": "ppo_clip", "critic": "global", **overrides})
