r"""Soft actor-critic: learn the value of actions and of staying random, and climb it.

$$
\begin{aligned}
\text{critic:} \quad & \min\ E\Big[\sum_k (Q_k(o, a) - y)^2\Big] \\
& y = r + \gamma\, E_{a' \sim \pi}[\min_k Q'_k(o', a') - \alpha \log \pi(a'|o')] \\
\text{actor:} \quad & \min\ E_{a \sim \pi}[\alpha \log \pi(a|o) - \min_k Q_k(o, a)] \\
\text{temperature:} \quad & \min\ \alpha\, (E_{a \sim \pi}[-\log \pi(a|o)] - H)
\end{aligned}
$$

from a replay, with H the entropy that is aimed at. In a box pi is a squashed normal, and one action
drawn stands for the expectation; of discrete actions it is the sum over all.

Every agent improves its own policy, with a temperature of its group. Alone (ISAC) it treats the
others as part of the environment. With central critics (MASAC) Q reads the state and everyone's
action, as in MADDPG: what the others did for the critic's loss, what their policies draw now for
the actor's, without a gradient to them, as in HASAC and not from the replay as MADDPG does.
Haarnoja et al. 2018, arXiv:1812.05905; for discrete actions Christodoulou 2019, arXiv:1910.07207;
for teams Lowe et al. 2017, arXiv:1706.02275, and Liu et al. 2023, arXiv:2306.10715 (HASAC).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned, OffPolicyState
from shoal.agents.off_policy_actor_critic import OffPolicyActorCritic
from shoal.agents.policies import SoftActor, expectation
from shoal.core.algorithm import Metrics
from shoal.core.descend import Params
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.limits import Fraction, Positive
from shoal.core.parallel import weighted_mean
from shoal.core.spaces import Box, Factored


class SAC(OffPolicyActorCritic):
    """Off-policy actor-critic with twin critics and a learned temperature."""

    target_entropy: float = -1.0
    """The entropy that the temperature aims at in a box, in nats for each dimension of an action
    that is scaled to [-1, 1]."""
    target_entropy_share: Fraction = 0.3
    """The entropy that it aims at among discrete actions: the share of the most that there can be,
    log of the number that are legal."""
    init_alpha: Positive = 1.0
    """The temperature at first: what a nat of entropy is worth."""
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
        actor = learned.params["actor"]
        of_agent = jnp.array(actor.network.groups.of_agent)
        alpha = jnp.exp(learned.params["log_alpha"])[of_agent]
        actor_carry, critic_carry = batch.first_carry
        rates = self.rates(learning_rate)

        steps = (batch.obs, batch.next_obs, batch.next_legal, actor_carry, batch.starts)
        action, p, log_p = expectation(actor.after(*steps), key_next)
        weight = self.weight_of(batch)

        def critic_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            q, next_q, seen = self.critic_values(params, learned.target, batch, action)
            v = (p * (next_q.min(0) - alpha[:, None] * log_p)).sum(-1)
            y, settled = self.td_targets(batch, v)
            errors = (q - y).mean(0) * (settled > 0)
            metrics = {"q_mean": weighted_mean(q[0], weight), "errors": errors, "seen": seen}
            return weighted_mean(((q - y) ** 2).sum(0), settled), metrics

        learned, metrics = learned.descend(critic_loss, "critic", **rates)
        learned = self.remember(learned, metrics.pop("seen"))
        critic = learned.params["critic"]

        def actor_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            policy = params["actor"].unroll(batch.obs, batch.legal, actor_carry, batch.starts)
            action, p, log_p = expectation(policy, key_now)
            here = batch.now(jax.lax.stop_gradient(action))
            q = critic.unroll(here, critic_carry, batch.starts, action).min(0)
            loss = (p * (alpha[:, None] * log_p - q)).sum(-1)
            entropy = -(p * log_p).sum(-1)
            metrics = {"entropy": weighted_mean(entropy, weight), "entropies": entropy}
            return weighted_mean(loss, weight), metrics

        learned, of_actor = learned.descend(actor_loss, "actor", **rates)
        excess = jax.lax.stop_gradient(of_actor.pop("entropies")) - self.goal(actor, batch.legal)

        def alpha_loss(params: Params) -> tuple[Float[Array, ""], Metrics]:
            alpha = jnp.exp(params["log_alpha"])[of_agent]
            return weighted_mean(alpha * excess, weight), {"alpha": alpha.mean()}

        learned, of_alpha = learned.descend(alpha_loss, "log_alpha", **rates)
        return learned, metrics | of_actor | of_alpha

    def goal(self, actor: SoftActor, legal: Bool[Array, "L M N A"]) -> Float[Array, "*L N"]:
        """The entropy that is aimed at, H, of each agent."""
        space = actor.space
        if isinstance(space, Box):
            return self.target_entropy * space.mask.sum(1) + jnp.log(space.half_width).sum(1)
        return self.target_entropy_share * jnp.log(jnp.maximum(legal.sum(-1), 1))

    # Networks and acting.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        if isinstance(spec.action, Factored):
            raise UserError(
                f"sac chooses one action or a point in a box and {spec.name} wants several choices "
                "at once: use ippo or mappo"
            )

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> Params:
        space = spec.action
        assert not isinstance(space, Factored)
        keys = jax.random.split(key, 1 + self.critics)
        outputs = 2 * space.size if isinstance(space, Box) else space.size
        network = self.network(spec, outputs, head_gain=0.01, key=keys[0])
        return {
            "actor": SoftActor(network, space),
            "critic": self.make_critic(spec, space, keys[1:]),
            "log_alpha": jnp.full(self.groups(spec).count, jnp.log(self.init_alpha)),
        }

    def learned_policy(self, state: OffPolicyState) -> SoftActor:
        return state.learned.params["actor"]


def sac(**overrides: Any) -> SAC:
    """SAC with critics that see what the agent sees. `overrides` are fields of `SAC`.

    When to use it:
        Continuous actions, and samples that are dearer than computation: it learns from a replay,
        and explores by the entropy that it is paid for.

    What breaks it:
        Several choices at once (`Factored` actions), which it does not take. Replay of what others
        did grows stale where they learn too; a gradient step for each few steps makes it slow in
        fast simulators.
    """
    return SAC(**{"critic": "local", **overrides})


def masac(**overrides: Any) -> SAC:
    """SAC with critics of the global state and of everyone's actions. `overrides` are fields of
    `SAC`.

    When to use it:
        The same for a team, and a simulator that shows its state in training: after 1,000,000 steps
        the best of our runs in simple_spread with continuous actions.

    What breaks it:
        Many agents: critics read everyone's action, so that their input grows with N.
    """
    return SAC(**{"critic": "global", **overrides})
