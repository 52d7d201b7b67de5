r"""Soft actor-critic: learn the value of actions and of staying random, and climb it.

    critic    minimise  E[ sum_k (Q_k(o, a) - y)^2 ]
              with      y = r + gamma (min_k Q'_k(o', a') - alpha log pi(a'|o')),    a' ~ pi(.|o')
    actor     minimise  E[ alpha log pi(a|o) - min_k Q_k(o, a) ],                    a ~ pi(.|o)
    alpha     minimise  E[ -alpha (log pi(a|o) + H) ]

from a replay, with a squashed normal for a policy and H the entropy that is aimed at. Every agent
learns for itself and treats the others as part of the environment.
Haarnoja et al. 2018, arXiv:1812.05905.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.off_policy import Experience, Learned, OffPolicy, OffPolicyState
from shoal.agents.policies import SquashedActor, box_of
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.limits import Count, Positive
from shoal.core.parallel import weighted_mean
from shoal.math.td import settled_returns
from shoal.nn.critics import QCritic
from shoal.nn.mlp import Activation


class SAC(OffPolicy):
    """Off-policy actor-critic with twin critics and a learned temperature, for box actions."""

    learning_rate: Positive = 3e-4
    """Adam's step size, of actor, critics and temperature."""
    max_grad_norm: Positive = 1e3
    """Largest norm of a gradient, of each network and each group that shares parameters."""
    target_entropy: float = -1.0
    """The entropy that the temperature aims at, in nats for each dimension of an action that is
    scaled to [-1, 1]."""
    init_alpha: Positive = 1.0
    """The temperature at first: what a nat of entropy is worth."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(256, 256))
    """Widths of the layers."""
    activation: Activation = eqx.field(static=True, default="relu")
    """Non-linearity of the layers."""
    anneal_learning_rate: bool = eqx.field(static=True, default=False)
    """Whether the learning rate falls linearly to 0."""
    critics: Count = eqx.field(static=True, default=2)
    """How many critics there are; the lowest counts."""

    with_target = ("critic",)

    def step(
        self,
        learned: Learned,
        batch: Experience,
        key: PRNGKeyArray,
        learning_rate: Float[Array, ""] | float,
    ) -> tuple[Learned, Metrics]:
        """One step of the critics, of the actor and of the temperature."""
        key_next, key_now = jax.random.split(key)
        actor, space = learned.params["actor"], learned.params["actor"].space
        of_agent = jnp.array(actor.network.groups.of_agent)
        alpha = jnp.exp(learned.params["log_alpha"])[of_agent]
        goal = self.target_entropy * space.mask.sum(1) + jnp.log(space.half_width).sum(1)
        actor_carry, critic_carry = batch.first_carry
        rates: Any = dict(learning_rate=learning_rate, max_grad_norm=self.max_grad_norm)

        following = actor.after(batch.obs, batch.next_obs, actor_carry, batch.starts)
        next_action, next_log_prob = following.sample_and_log_prob(key_next)
        now, then = (batch.obs, batch.action), (batch.next_obs, next_action)
        q = learned.target["critic"].after(now, then, critic_carry, batch.starts).min(0)
        value = jnp.where(batch.present, q - alpha * next_log_prob, 0.0)
        ends = jnp.broadcast_to(batch.done[..., None], value.shape)
        known = batch.present | batch.gone
        discount = self.discount * (1.0 - batch.gone)
        y, settled = settled_returns(batch.reward, discount, value, known, ends, 0.0)
        y, weight = jax.lax.stop_gradient(y), self.weight_of(batch)

        def critic_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            q = params["critic"].unroll(batch.obs, batch.action, critic_carry, batch.starts)
            error = ((q - y) ** 2).sum(0)
            return weighted_mean(error, weight * settled), {"q_mean": weighted_mean(q[0], weight)}

        learned, metrics = learned.descend(critic_loss, "critic", **rates)
        critic = learned.params["critic"]

        def actor_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            policy = params["actor"].unroll(batch.obs, actor_carry, batch.starts)
            action, log_prob = policy.sample_and_log_prob(key_now)
            q = critic.unroll(batch.obs, action, critic_carry, batch.starts).min(0)
            loss = weighted_mean(alpha * log_prob - q, weight)
            return loss, {"entropy": -weighted_mean(log_prob, weight), "log_prob": log_prob}

        learned, of_actor = learned.descend(actor_loss, "actor", **rates)
        excess = jax.lax.stop_gradient(of_actor.pop("log_prob") + goal)

        def alpha_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            alpha = jnp.exp(params["log_alpha"])[of_agent]
            return -weighted_mean(alpha * excess, weight), {"alpha": alpha.mean()}

        learned, of_alpha = learned.descend(alpha_loss, "log_alpha", **rates)
        return learned, metrics | of_actor | of_alpha

    # Networks and acting.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        box_of(spec, "sac chooses")

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        space = box_of(spec, "sac chooses")
        key_actor, *keys = jax.random.split(key, 1 + self.critics)
        size = space.size
        network = self.network(spec, 2 * size, head_gain=0.01, key=key_actor)
        critics = tuple(self.network(spec, 1, beside=size, key=k) for k in keys)
        return {
            "actor": SquashedActor(network, space),
            "critic": QCritic(critics, space),
            "log_alpha": jnp.full(self.groups(spec).count, jnp.log(self.init_alpha)),
        }

    def remembering_critic(self, params: Params) -> QCritic | None:
        return params["critic"] if self.recurrent else None

    def learned_policy(self, state: OffPolicyState) -> SquashedActor:
        return state.learned.params["actor"]

    def explorer(self, state: OffPolicyState) -> SquashedActor:
        return state.learned.params["actor"]


def sac(**overrides: Any) -> SAC:
    """Soft actor-critic. `overrides` are fields of `SAC`."""
    return SAC(**overrides)
