r"""IMPALA's learner: an actor-critic for steps that an older policy made, by V-trace.

$$
\begin{aligned}
\rho_i &= \min(\bar\rho,\ \pi(a_i|o_i) / \mu(a_i|o_i))
  \qquad \mu \text{ acted, } \pi \text{ learns} \\
\max\ & E[\rho_i \log \pi(a_i|o_i)\, (r + \gamma G' - V)] - c_v\, E[(V - G)^2] + c_e\, E[H(\pi)]
\end{aligned}
$$

where V-trace's targets G are values of a policy between mu and pi. Actors may thus be some updates
behind: their steps weigh less where the policy has moved away from what they did. Where none is
behind, this is A2C. The paper steps by RMSProp on sums; here by Adam on means, as everything else.
Espeholt et al. 2018, arXiv:1802.01561.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.agents.on_policy import Batch, OnPolicyState
from shoal.agents.policy_gradient.a2c import A2C
from shoal.core.algorithm import Carry, Metrics, Trajectory
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.limits import Fraction, Positive
from shoal.core.parallel import weighted_mean
from shoal.core.running_statistics import Moments
from shoal.core.sequence import starts_of
from shoal.math.policy_loss import sample_kl
from shoal.math.vtrace import vtrace


class IMPALA(A2C):
    """A2C whose advantages and targets allow for the policy that acted. An agent's ratio is its
    own: others' moves are part of its environment."""

    gae_lambda: Fraction = 1.0
    """Mixing of horizons, beside what V-trace cuts."""
    rho_clip: Positive = 1.0
    """Largest ratio by which a step counts: at 1 the values are of a policy between the two."""
    c_clip: Positive = 1.0
    """Largest ratio that passes on what later steps found, at most `rho_clip`."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        swept = not isinstance(self.rho_clip, float) or not isinstance(self.c_clip, float)
        require(
            swept or self.c_clip <= self.rho_clip,
            f"c_clip is {self.c_clip}, expected at most rho_clip, which is {self.rho_clip}",
        )

    def worth(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Batch, Moments | None]:
        return super().worth(state, self.revalue(state.params, trajectory))

    def estimate(
        self,
        params: Params,
        trajectory: Trajectory,
        value: Float[Array, "T B N"],
        after: Float[Array, "T B N"],
    ) -> tuple[Float[Array, "T B N"], Float[Array, "T B N"]]:
        steps = trajectory.transitions
        starts = starts_of(steps.successor.done)
        policy = params["actor"].unroll(steps.timestep, trajectory.carry[0], starts)
        log_rho = policy.log_prob(steps.action) - steps.extras["log_prob"]
        log_rho = jnp.where(steps.timestep.active, log_rho, 0.0)  # who did nothing did it surely
        reward, discount, value, after, ends, mixing = self.returns_of(trajectory, value, after)
        clips = {"rho_clip": self.rho_clip, "c_clip": self.c_clip}
        target, advantage = vtrace(reward, discount, value, after, ends, log_rho, mixing, **clips)
        return advantage, target

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
        apart = sample_kl(log_prob, batch.extras["log_prob"])  # of who learns from who acted
        metrics["kl"] = weighted_mean(apart, batch.weight)
        return policy_loss + value_loss - entropy_weight * entropy, metrics


def impala(**overrides: Any) -> IMPALA:
    """Actor-critic by V-trace. `overrides` are fields of `IMPALA`.

    When to use it:
        Actors that are some updates behind the learner, as with `--workers`: V-trace weighs their
        steps by how likely the new policy makes them.

    What breaks it:
        Nothing is gained where no actor is behind: it is `a2c` then. A policy that has moved far
        from the one that acted leaves little weight to learn from.
    """
    return IMPALA(**overrides)
