"""Independent PPO: every agent improves its own policy and takes the others for weather.

    maximise  E[ min(rho A_i, clip(rho, 1 - eps, 1 + eps) A_i) ],    rho = pi(a_i|o_i) / pi_old

with a critic that sees what the agent sees. Agents of one kind share parameters unless told
otherwise.
Schulman et al. 2017, arXiv:1707.06347; for teams de Witt et al. 2020, arXiv:2011.09533.
"""

from typing import Any

from shoal.agents.policy_gradient.actor_critic import ActorCritic


def ippo(**overrides: Any) -> ActorCritic:
    """PPO with local critics. `overrides` are fields of `ActorCritic`."""
    return ActorCritic(**{"surrogate": "ppo_clip", "critic": "local", **overrides})
