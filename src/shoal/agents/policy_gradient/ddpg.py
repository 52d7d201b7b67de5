r"""Deep deterministic policy gradient: learn the value of actions, and climb it with a policy that
draws nothing.

    critic    minimise  E[ sum_k (Q_k(o, a) - y)^2 ]
              with      y = r + gamma min_k Q'_k(o', mu'(o') + e),    e ~ clip(N(0, s^2), -c, c)
    actor     minimise  E[ -Q_1(o, mu(o)) ]    at every d-th step

from a replay that mu and noise have filled, with slow copies Q' and mu'. DDPG has one critic, d = 1
and s = 0; TD3 has two, d = 2 and s > 0, so that no error of a critic is climbed for long. Every
agent learns for itself and treats the others as part of the environment.
Lillicrap et al. 2015, arXiv:1509.02971; Fujimoto et al. 2018, arXiv:1802.09477.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned, OffPolicyState
from shoal.agents.off_policy_actor_critic import OffPolicyActorCritic
from shoal.agents.policies import NoisyPolicy, box_of
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.limits import Count, NonNegative, Positive
from shoal.core.parallel import cond, weighted_mean


class DDPG(OffPolicyActorCritic):
    """Off-policy actor-critic with a deterministic policy, for box actions. Networks and rates are
    those of TD3's authors; noise is in half widths of the box."""

    noise: Positive = 0.1
    """Deviation of the noise that explores, in half widths of the box. Until the first gradient
    step actions are uniformly random."""
    smoothing: NonNegative = 0.0
    """Deviation of the noise on actions that value successors, in half widths (s); 0 for none."""
    smoothing_clip: Positive = 0.5
    """The most of that noise, in half widths (c)."""
    actor_interval: Count = 1
    """Gradient steps of the critics from one of the actor to the next (d)."""
    critics: Count = eqx.field(static=True, default=1)
    """How many critics there are; the lowest counts in targets, the first trains the actor."""

    with_target = ("actor", "critic")

    def step(
        self,
        learned: Learned,
        batch: Experience,
        key: PRNGKeyArray,
        learning_rate: Float[Array, ""] | float,
    ) -> tuple[Learned, Metrics]:
        """One step of the critics, and where it is due one of the actor."""
        actor_carry, critic_carry = batch.first_carry
        rates = self.rates(learning_rate)
        slow, space = learned.params | learned.target, learned.params["critic"].space

        steps = (batch.obs, batch.next_obs, actor_carry, batch.starts)
        mu = jnp.tanh(slow["actor"].after(*steps))
        e = self.smoothing * jax.random.normal(key, mu.shape)
        e = jnp.clip(e, -self.smoothing_clip, self.smoothing_clip)
        next_action = space.from_unit(jnp.clip(mu + e, -1.0, 1.0))
        weight = self.weight_of(batch)

        def critic_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            q, next_q, seen = self.critic_values(params, slow, batch, next_action)
            y, settled = self.td_targets(batch, next_q.min(0)[..., 0])
            errors = (q - y).mean(0) * (settled > 0)
            metrics = {"q_mean": weighted_mean(q[0], weight), "errors": errors, "seen": seen}
            return weighted_mean(((q - y) ** 2).sum(0), settled), metrics

        learned, metrics = learned.descend(critic_loss, "critic", **rates)
        learned = self.remember(learned, metrics.pop("seen"))
        critic = learned.params["critic"]

        def actor_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            mu = jnp.tanh(params["actor"].unroll(batch.obs, actor_carry, batch.starts))
            action = space.from_unit(mu)
            here = batch.now(batch.action)
            q = critic.unroll(here, critic_carry, batch.starts, action)[0, ..., 0]
            return -weighted_mean(q, weight), {}

        def climb(learned: Learned) -> tuple[Learned, Metrics]:
            learned, metrics = learned.descend(actor_loss, "actor", **rates)
            # Steps without one report 0: means over steps are then those of the actor's own.
            return learned, {name: x * self.actor_interval for name, x in metrics.items()}

        def wait(learned: Learned) -> tuple[Learned, Metrics]:
            shapes = jax.eval_shape(climb, learned)[1]
            return learned, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        due = (learned.updates + 1) % self.actor_interval == 0
        learned, of_actor = cond(due, climb, wait, learned)
        return learned, metrics | of_actor

    # Networks and acting.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        box_of(spec, "ddpg and td3 choose")

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        space = box_of(spec, "ddpg and td3 choose")
        keys = jax.random.split(key, 1 + self.critics)
        actor = self.network(spec, space.size, head_gain=0.01, key=keys[0])
        return {"actor": actor, "critic": self.make_critic(spec, space, keys[1:])}

    def learned_policy(self, state: OffPolicyState) -> NoisyPolicy:
        params = state.learned.params
        return NoisyPolicy(params["actor"], params["critic"].space, jnp.float32(self.noise))


def ddpg(**overrides: Any) -> DDPG:
    """Deep deterministic policy gradient. `overrides` are fields of `DDPG`."""
    return DDPG(**overrides)


def td3(**overrides: Any) -> DDPG:
    """Twin critics, a delayed actor and smoothed targets, as in the paper; the targets follow when
    the actor moves. `overrides` are fields of `DDPG`."""
    paper = dict(critics=2, actor_interval=2, target_interval=2, smoothing=0.2)
    return DDPG(**{**paper, **overrides})
