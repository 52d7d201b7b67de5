r"""REINFORCE: make actions likelier by what was earned after them.

$$\max\ E[\log \pi(a_t|o_t)\, (G_t - b)] + c_e\, E[H(\pi)], \qquad G_t = \sum_k \gamma^k r_{t+k}$$

with returns of whole episodes. The baseline b is the mean return of the agent's group in the batch.
Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning", Machine Learning 8.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.agents.on_policy import Batch, OnPolicy, OnPolicyState
from shoal.core.algorithm import Carry, Metrics, Trajectory
from shoal.core.descend import Params
from shoal.core.parallel import group_mean, weighted_mean
from shoal.math.td import settled_returns


class REINFORCE(OnPolicy):
    """Monte Carlo policy gradient. Only episodes that end within a rollout are learned from: choose
    a rollout of at least the horizon, best a multiple of it."""

    def targets(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Batch, None]:
        after = trajectory.transitions.successor
        ended = after.ended
        returns, whole = settled_returns(
            after.reward,
            self.discount * (1.0 - ended),
            jnp.zeros_like(after.reward),
            known_t=ended,
            ends_t=ended,
            lambda_=1.0,
        )
        batch = self.batch_of(trajectory, returns, returns)
        weight = batch.weight * whole
        of_agent = state.params["actor"].network.groups.of_agent
        advantage = returns - group_mean(returns, weight, of_agent)
        deviation = jnp.sqrt(group_mean(advantage**2, weight, of_agent))
        advantage = advantage / (deviation + 1e-8)
        return eqx.tree_at(lambda b: (b.advantage, b.weight), batch, (advantage, weight)), None

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        policy = params["actor"].unroll(batch.timestep, carry, batch.starts)
        log_prob = policy.log_prob(batch.action)
        policy_loss = -weighted_mean(log_prob * batch.advantage, batch.weight)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        metrics = {"policy_loss": policy_loss, "entropy": entropy}
        return policy_loss - entropy_weight * entropy, metrics


def reinforce(**overrides: Any) -> REINFORCE:
    """Monte Carlo policy gradient. `overrides` are fields of `REINFORCE`.

    When to use it:
        Short episodes; a lesson, and a reference for what a critic adds.

    What breaks it:
        Long or noisy episodes, since returns of whole episodes vary with all that was drawn in
        them. Episodes that do not end within a rollout are not learned from: `unroll` must be at
        least the horizon.
    """
    return REINFORCE(**overrides)
