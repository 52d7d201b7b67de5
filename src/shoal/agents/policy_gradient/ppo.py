r"""Proximal policy optimization, independent (IPPO) or with a critic of the whole state (MAPPO).

$$
\begin{aligned}
\max\ & E[\min(\rho_i A_i,\ \mathrm{clip}(\rho_i, 1 - \epsilon, 1 + \epsilon)\, A_i)]
  - c_v\, E[(V - R)^2] + c_e\, E[H(\pi)] \\
& \rho_i = \frac{\pi(a_i|o_i)}{\pi^{old}(a_i|o_i)}
\end{aligned}
$$

and generalised advantages A, returns R = A + V. Every agent improves its own policy and treats the
others as part of the environment; what the critic reads is used in training alone.
Schulman et al. 2017, arXiv:1707.06347; for teams de Witt et al. 2020, arXiv:2011.09533 (IPPO), and
Yu et al. 2022, arXiv:2103.01955 (MAPPO).

The paper's other surrogate is there too: rho_i A_i - beta KL(pi_old | pi), whose weight beta is
doubled after an update that moved the policy too far and halved after one that hardly moved it.
"""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.actor_critic import ActorCritic
from shoal.agents.on_policy import Batch, OnPolicyState
from shoal.core.algorithm import Carry, Metrics, Trajectory
from shoal.core.descend import Frozen, Params
from shoal.core.env import EnvSpec
from shoal.core.errors import require
from shoal.core.limits import Count, NonNegative, Positive
from shoal.core.parallel import group_mean, weighted_mean
from shoal.math.policy_loss import adapt_penalty, ppo_clip, ppo_dual_clip, ppo_penalty, sample_kl


class PPO(ActorCritic):
    """An actor-critic that uses each rollout several times, within a trust region by clipping."""

    clip: Positive = 0.2
    """Largest change of probability ratio, and of a normalised value, that is rewarded."""
    target_kl: Positive = 0.01
    """Divergence of an update, in nats, that the penalty aims at, and at 1.5 times which
    `early_stop` stops."""
    surrogate: Literal["clip", "penalty"] = eqx.field(static=True, default="clip")
    """What keeps the policy near the old one: the clipped ratio, or a penalty on the divergence
    whose weight adapts."""
    dual_clip: NonNegative = eqx.field(static=True, default=0.0)
    """Largest ratio by which a bad action counts (Ye et al. 2020: 3), 0 for no limit."""
    early_stop: bool = eqx.field(static=True, default=False)
    """Whether a group's policy stays as it is for the rest of an update once a minibatch finds it
    too far from the old one; the critic learns on."""
    epochs: Count = eqx.field(static=True, default=4)
    """Passes over each rollout."""
    minibatches: Count = eqx.field(static=True, default=4)
    """Parts of a pass."""
    clip_values: bool = eqx.field(static=True, default=True)
    """Whether the value loss is clipped as the surrogate is."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        least = 1 + self.clip if isinstance(self.clip, float) else 1  # a swept one is an array
        require(
            self.dual_clip == 0 or self.dual_clip > least,
            f"dual_clip is {self.dual_clip}, expected more than 1 + clip, or 0 for none",
        )

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        policy = params["actor"].unroll(batch.timestep, carry[0], batch.starts).given(batch.action)
        value = params["critic"].unroll(batch.timestep, carry[1], batch.starts)
        log_prob, old_log_prob = policy.log_prob(batch.action), batch.extras["log_prob"]
        kl = sample_kl(log_prob, old_log_prob)

        ratio = (log_prob, old_log_prob, batch.advantage)
        if self.surrogate == "penalty":
            gain = ppo_penalty(*ratio, kl, jnp.broadcast_to(params["kl_weight"], kl.shape))
        elif self.dual_clip:
            gain = ppo_dual_clip(*ratio, self.clip, self.dual_clip)
        else:
            gain = ppo_clip(*ratio, self.clip)
        error = (value - batch.target) ** 2
        if self.clip_values:
            old = batch.extras["value"]
            near = old + jnp.clip(value - old, -self.clip, self.clip)
            error = jnp.maximum(error, (near - batch.target) ** 2)

        policy_loss = -weighted_mean(gain, batch.weight)
        value_loss, metrics = self.value_loss(error, batch)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        metrics = {"policy_loss": policy_loss, **metrics, "entropy": entropy}
        metrics["kl"] = weighted_mean(kl, batch.weight)
        if self.early_stop:
            metrics["kl_of_agents"] = group_mean(kl, batch.weight, _groups(params).of_agent)
        return policy_loss + value_loss - entropy_weight * entropy, metrics

    def freeze(self, frozen: Frozen, params: Params, metrics: Metrics) -> tuple[Frozen, Metrics]:
        if not self.early_stop:
            return frozen, metrics
        metrics = dict(metrics)
        first = jnp.array([agents[0] for agents in _groups(params).members])
        far = metrics.pop("kl_of_agents")[first] > 1.5 * self.target_kl
        return {**frozen, "actor": frozen["actor"] | far}, metrics

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> tuple[Params, dict[str, int], Any]:
        params, groups, kept = super().start(spec, key)
        if self.surrogate == "penalty":
            params = {**params, "kl_weight": jnp.ones(spec.num_agents)}  # moved by no gradient
        return params, groups, kept

    def descend(
        self,
        state: OnPolicyState,
        batch: Batch,
        trajectory: Trajectory,
        key: PRNGKeyArray,
        frozen: Frozen | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        state, metrics = super().descend(state, batch, trajectory, key, frozen)
        if self.surrogate == "clip":
            return state, metrics
        policy = state.params["actor"].unroll(batch.timestep, trajectory.carry[0], batch.starts)
        kl = sample_kl(policy.log_prob(batch.action), batch.extras["log_prob"])
        kl = group_mean(kl, batch.weight, _groups(state.params).of_agent)
        weight = state.params["kl_weight"]
        adapted = jnp.clip(adapt_penalty(weight, kl, self.target_kl), 1e-4, 1e4)
        weight = jnp.where(kl > 0, adapted, weight)  # who has not acted has not been moved
        state = eqx.tree_at(lambda s: s.params["kl_weight"], state, weight)
        return state, {**metrics, "kl_weight": weight.mean()}


def _groups(params: Params) -> Any:
    """Which agents share a policy."""
    return params["actor"].network.groups


def ippo(**overrides: Any) -> PPO:
    """PPO with critics that see what the agent sees. `overrides` are fields of `PPO`.

    When to use it:
        One agent, mixed interests, or a team whose members see enough: nothing but each agent's own
        view is needed. As `ppo` it is the name for one agent.

    What breaks it:
        What an agent must know of the others and cannot see: in simple_speaker_listener and
        simple_reference it stays far behind `mappo`. Everyone learns at once, so that the
        environment changes for each.
    """
    return PPO(**{"critic": "local", **overrides})


def mappo(**overrides: Any) -> PPO:
    """PPO with one critic of the global state. `overrides` are fields of `PPO`.

    When to use it:
        A team, and a simulator that shows its state in training: the first to try. Policies act on
        their own views all the same.

    What breaks it:
        A state that tells the critic nothing of the single agent, such as a swarm's summary: there
        `critic` should be `both`. Where interests are opposed, the critic's values move with
        everyone's policies.
    """
    return PPO(**{"critic": "global", **overrides})
