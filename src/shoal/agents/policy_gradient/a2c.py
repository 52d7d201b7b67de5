"""Advantage actor-critic: one gradient step from each rollout; also with a critic of the whole
state (MAA2C), as MAPPO is of PPO.

    maximise  E[ log pi(a_i|o_i) A_i ] - c_v E[(V - R)^2] + c_e E[H(pi)]

PPO before its first step has the same gradient, for its ratio is then 1: A2C is that step alone.
Mnih et al. 2016, arXiv:1602.01783.
"""

from typing import Any

from jaxtyping import Array, Float

from shoal.agents.actor_critic import ActorCritic
from shoal.agents.on_policy import Batch
from shoal.core.algorithm import Carry, Metrics
from shoal.core.descend import Params
from shoal.core.parallel import weighted_mean


class A2C(ActorCritic):
    """An actor-critic that uses each sample once."""

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        policy = params["actor"].unroll(batch.timestep, carry[0], batch.starts)
        value = params["critic"].unroll(batch.timestep, carry[1], batch.starts)
        log_prob = policy.log_prob(batch.action)

        policy_loss = -weighted_mean(log_prob * batch.advantage, batch.weight)
        value_loss, metrics = self.value_loss((value - batch.target) ** 2, batch)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        metrics = {"policy_loss": policy_loss, **metrics, "entropy": entropy}
        return policy_loss + value_loss - entropy_weight * entropy, metrics


def a2c(**overrides: Any) -> A2C:
    """Actor-critic without reuse of samples. `overrides` are fields of `A2C`."""
    return A2C(**overrides)


def maa2c(**overrides: Any) -> A2C:
    """A2C with one critic of the global state. `overrides` are fields of `A2C`."""
    return A2C(**{"critic": "global", **overrides})
