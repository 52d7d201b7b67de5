"""Proximal policy optimization, independent (IPPO) or with a critic of the whole state (MAPPO).

    maximise  E[ min(rho_i A_i, clip(rho_i, 1 - eps, 1 + eps) A_i) ]
              - c_v E[ (V - R)^2 ] + c_e E[ H(pi) ]
    with      rho_i = pi(a_i|o_i) / pi_old(a_i|o_i)

and generalised advantages A, returns R = A + V. Every agent improves its own policy and treats the
others as part of the environment; what the critic reads is used in training alone.
Schulman et al. 2017, arXiv:1707.06347; for teams de Witt et al. 2020, arXiv:2011.09533 (IPPO), and
Yu et al. 2022, arXiv:2103.01955 (MAPPO).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.agents.actor_critic import ActorCritic
from shoal.agents.on_policy import Batch
from shoal.core.algorithm import Carry, Metrics
from shoal.core.descend import Params
from shoal.core.limits import Count, Positive
from shoal.core.parallel import weighted_mean
from shoal.math.policy_loss import ppo_clip


class PPO(ActorCritic):
    """An actor-critic that uses each rollout several times, within a trust region by clipping."""

    clip: Positive = 0.2
    """Largest change of probability ratio, and of a normalised value, that is rewarded."""
    epochs: Count = eqx.field(static=True, default=4)
    """Passes over each rollout."""
    minibatches: Count = eqx.field(static=True, default=4)
    """Parts of a pass; environments are shared out among them."""
    clip_values: bool = eqx.field(static=True, default=True)
    """Whether the value loss is clipped as the surrogate is."""

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        policy = params["actor"].unroll(batch.timestep, carry[0], batch.starts)
        value = params["critic"].unroll(batch.timestep, carry[1], batch.starts)
        log_prob, old_log_prob = policy.log_prob(batch.action), batch.extras["log_prob"]

        gain = ppo_clip(log_prob, old_log_prob, batch.advantage, self.clip)
        error = (value - batch.target) ** 2
        if self.clip_values:
            old = batch.extras["value"]
            near = old + jnp.clip(value - old, -self.clip, self.clip)
            error = jnp.maximum(error, (near - batch.target) ** 2)

        policy_loss = -weighted_mean(gain, batch.weight)
        value_loss, metrics = self.value_loss(error, batch)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        kl = weighted_mean(old_log_prob - log_prob, batch.weight)
        metrics = {"policy_loss": policy_loss, **metrics, "entropy": entropy, "kl": kl}
        return policy_loss + value_loss - entropy_weight * entropy, metrics


def ippo(**overrides: Any) -> PPO:
    """PPO with critics that see what the agent sees. `overrides` are fields of `PPO`."""
    return PPO(**{"critic": "local", **overrides})


def mappo(**overrides: Any) -> PPO:
    """PPO with one critic of the global state. `overrides` are fields of `PPO`."""
    return PPO(**{"critic": "global", **overrides})
