r"""Deep deterministic policy gradient: learn the value of actions, and climb it with a policy that
draws nothing.

$$
\begin{aligned}
\text{critic:} \quad & \min\ E\Big[\sum_k (Q_k(o, a) - y)^2\Big] \\
& y = r + \gamma \min_k Q'_k(o', \mu'(o') + \epsilon),
  \quad \epsilon \sim \mathrm{clip}(N(0, s^2), -c, c) \\
\text{actor:} \quad & \min\ E[-Q_1(o, \mu(o))] \quad \text{at every } d \text{-th step}
\end{aligned}
$$

from a replay that mu and noise have filled, with slow copies Q' and mu'. DDPG has one critic, d = 1
and s = 0; TD3 has two, d = 2 and s > 0, so that no error of a critic is climbed for long. Every
agent learns for itself and treats the others as part of the environment.
Lillicrap et al. 2015, arXiv:1509.02971; Fujimoto et al. 2018, arXiv:1802.09477.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned, OffPolicyState
from shoal.agents.off_policy_actor_critic import OffPolicyActorCritic
from shoal.agents.policies import NoisyPolicy, SoftActor, box_of
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.limits import Count, NonNegative, Positive
from shoal.core.parallel import cond, weighted_mean
from shoal.core.spaces import Box, Discrete


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
    valuing: ClassVar[tuple[str, ...]] = ("critic",)
    """The networks that the critics' loss trains."""

    def step(
        self,
        learned: Learned,
        batch: Experience,
        key: PRNGKeyArray,
        learning_rate: Float[Array, ""] | float,
    ) -> tuple[Learned, Metrics]:
        """One step of the critics, and where it is due one of the actor."""
        key_next, key_now = jax.random.split(key)
        actor_carry, rates = batch.first_carry[0], self.rates(learning_rate)
        slow, space = learned.params | learned.target, learned.params["critic"].space

        steps = (batch.obs, batch.next_obs, actor_carry, batch.starts)
        next_out = slow["actor"].after(*steps)
        next_action = self.next_action(space, next_out, batch.next_legal, key_next)

        def critic_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            return self.error(params, slow, batch, next_action)

        learned, metrics = learned.descend(critic_loss, *self.valuing, **rates)
        learned = self.remember(learned, metrics.pop("seen"))
        judges = learned.params

        def actor_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            out = params["actor"].unroll(batch.obs, actor_carry, batch.starts)
            q, weight = self.worth(judges, batch, self.action(space, out, batch.legal, key_now))
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

    def error(
        self, params: Params, slow: Params, batch: Experience, next_action: Array
    ) -> tuple[Float[Array, ""], Metrics]:
        """The critics' loss, with what follows valued by slow networks at that action."""
        q, next_q, seen = self.critic_values(params, slow, batch, next_action)
        y, settled = self.td_targets(batch, next_q.min(0)[..., 0])
        errors = (q - y).mean(0) * (settled > 0)
        q_mean = weighted_mean(q[0], self.weight_of(batch))
        metrics = {"q_mean": q_mean, "errors": errors, "seen": seen}
        return weighted_mean(((q - y) ** 2).sum(0), settled), metrics

    def worth(
        self, params: Params, batch: Experience, action: Array
    ) -> tuple[Float[Array, "L M K"], Float[Array, "L M K"]]:
        """What the actor climbs, and the weight of each: the value of each agent's action, where
        the others do what they did."""
        here, carry = batch.now(batch.action), batch.first_carry[1]
        q = params["critic"].unroll(here, carry, batch.starts, action)[0, ..., 0]
        return q, self.weight_of(batch)

    def action(
        self, space: Any, out: Float[Array, "*B A"], legal: Bool[Array, "*B A"], key: PRNGKeyArray
    ) -> Float[Array, "*B A"]:
        """What the actor does now, with a gradient to its output."""
        del legal, key
        return space.from_unit(jnp.tanh(out))

    def next_action(
        self, space: Any, out: Float[Array, "*B A"], legal: Bool[Array, "*B A"], key: PRNGKeyArray
    ) -> Array:
        """What values a successor, of the slow actor's output."""
        del legal
        e = self.smoothing * jax.random.normal(key, out.shape)
        e = jnp.clip(e, -self.smoothing_clip, self.smoothing_clip)
        return space.from_unit(jnp.clip(jnp.tanh(out) + e, -1.0, 1.0))

    # Networks and acting.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        self.space_of(spec)

    def space_of(self, spec: EnvSpec) -> Box | Discrete:
        """The actions of an environment, or `UserError` if it cannot choose them."""
        return box_of(spec, "ddpg and td3 choose")

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        space = self.space_of(spec)
        keys = jax.random.split(key, 1 + self.critics)
        actor = self.network(spec, space.size, head_gain=0.01, key=keys[0])
        critic = self.make_critic(spec, space, keys[1:], reads_own=True)
        return {"actor": actor, "critic": critic}

    def learned_policy(self, state: OffPolicyState) -> NoisyPolicy | SoftActor:
        params = state.learned.params
        return NoisyPolicy(params["actor"], params["critic"].space, jnp.float32(self.noise))


TD3 = dict(critics=2, actor_interval=2, target_interval=2, smoothing=0.2)
"""What TD3 adds, as in its paper; the targets follow when the actor moves."""


def ddpg(**overrides: Any) -> DDPG:
    """Deep deterministic policy gradient. `overrides` are fields of `DDPG`.

    When to use it:
        A reference for what builds on it; a box of actions and a policy that draws nothing.

    What breaks it:
        Errors of the one critic are climbed as if they were values; exploration is noise alone.
        Discrete actions are refused: see `iddpg`.
    """
    return DDPG(**overrides)


def td3(**overrides: Any) -> DDPG:
    """Twin critics, a delayed actor and smoothed targets. `overrides` are fields of `DDPG`.

    When to use it:
        As `sac`, where a policy that draws nothing is wanted.

    What breaks it:
        Exploration is noise of one width in each direction. Discrete actions are refused.
    """
    return DDPG(**{**TD3, **overrides})
