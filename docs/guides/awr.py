r"""Advantage-weighted regression: imitate yourself, most of all where it went better than expected.

    maximise  E[ w log pi(a|o) ] - c_v E[ (V - R)^2 ] + c_e E[ H(pi) ],    w = min(exp(A / beta), W)

Peng et al. 2019, arXiv:1910.00177, here from the newest rollout alone.
"""

import equinox as eqx
import jax.numpy as jnp

from shoal.agents.actor_critic import ActorCritic
from shoal.core.limits import Count, Positive
from shoal.core.parallel import weighted_mean


class AWR(ActorCritic):
    """A regression onto actions that were taken: no ratio of probabilities, no trust region."""

    learning_rate: Positive = 5e-3
    """Adam's step size."""
    beta: Positive = 0.5
    """Temperature: the advantage, in standard deviations of its batch, that counts e times."""
    largest_weight: Positive = 20.0
    """The most that one sample counts."""
    epochs: Count = eqx.field(static=True, default=4)
    """Passes over each rollout."""
    minibatches: Count = eqx.field(static=True, default=4)
    """Parts of a pass; environments are shared out among them."""

    def targets(self, state, trajectory):
        """Once for each rollout: how much each action counts."""
        batch, kept = super().targets(state, trajectory)
        weight = jnp.minimum(jnp.exp(batch.advantage / self.beta), self.largest_weight)
        return eqx.tree_at(lambda b: b.advantage, batch, weight), kept

    def loss(self, params, batch, carry, entropy_weight):
        """Once for each minibatch: a scalar to descend, and what to report."""
        policy = params["actor"].unroll(batch.timestep, carry[0], batch.starts)
        value = params["critic"].unroll(batch.timestep, carry[1], batch.starts)

        likelihood = policy.log_prob(batch.action) * batch.advantage
        policy_loss = -weighted_mean(likelihood, batch.weight)
        value_loss, metrics = self.value_loss((value - batch.target) ** 2, batch)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        metrics = {"policy_loss": policy_loss, **metrics, "entropy": entropy}
        return policy_loss + value_loss - entropy_weight * entropy, metrics
