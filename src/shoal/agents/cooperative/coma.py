r"""COMA: credit each agent for the difference that its own action made.

$$
\begin{aligned}
A_i &= Q_i(s, a) - \sum_b \pi_i(b|o_i)\, Q_i(s, (a_{-i}, b)) \\
\max\ & E[\log \pi_i(a_i|o_i)\, A_i] + c_e\, E[H(\pi_i)] \\
\min\ & E[(Q_i(s, a) - y_i)^2]
\end{aligned}
$$

A central critic reads the state and what the others do, and values all of agent i's own actions at
once; the sum is the counterfactual baseline, which leaves the gradient's expectation as it is. In a
team with a common payoff that is the paper's. Elsewhere each agent is credited with its own reward.

The targets y are TD(lambda) of each agent's reward. A successor is worth the mean of Q_i over i's
own policy, with actions of the others that are drawn from theirs: so there is one also where a time
limit lets no action follow. It is valued by the critic as it was before the update: that does what
the paper's target network is for, which stands still while another learns from it. The critic goes
over a rollout first; advantages are of what it has then become, and the actor uses a sample once.
Foerster et al. 2018, arXiv:1705.08926.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.agents.on_policy import Batch, OnPolicy, OnPolicyState
from shoal.core.algorithm import Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Frozen, Params
from shoal.core.env import Action, EnvSpec, TimeStep, cut_now
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction
from shoal.core.parallel import shard_index, weighted_mean
from shoal.core.running_statistics import RunningStatistics
from shoal.core.sequence import starts_of
from shoal.core.spaces import Discrete
from shoal.math.td import action_value, settled_returns
from shoal.nn.critics import QCritic, StateAction, global_state, pixels_of


def counterfactual_advantage(
    q: Float[Array, "*B A"], probs: Float[Array, "*B A"], action: Int[Array, "*B"]
) -> Float[Array, "*B"]:
    """How much better an agent's action is than its policy's mean, the others' actions as they are.

    Args:
        q: the values of all its own actions.
        probs: the policy's probabilities, 0 for an action that is not legal.
        action: what it did.
    """
    return action_value(q, action) - (probs * q).sum(-1)


class Kept(eqx.Module):
    """The scale of returns, and the key of the actions that are drawn in successors."""

    returns: RunningStatistics
    key: PRNGKeyArray


class COMA(OnPolicy):
    """Actors with counterfactual advantages of a central critic."""

    td_lambda: Fraction = 0.8
    """Mixing of horizons in the critic's targets."""
    critic_epochs: Count = eqx.field(static=True, default=4)
    """The critic's passes over each rollout for one of the actor's, which comes last."""
    normalise_values: bool = eqx.field(static=True, default=True)
    """Whether the critic learns returns scaled to mean 0, deviation 1, group by group; advantages
    are in its units."""

    def targets(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Batch, Kept]:
        steps, kept = trajectory.transitions, state.kept
        now, then = steps.timestep, steps.successor
        actor, critic = state.params["actor"], state.params["critic"]
        actor_carry, critic_carry = trajectory.carry
        starts, cut = starts_of(then.done), cut_now(now, then)
        key, key_draw = jax.random.split(kept.key)

        pair = critic.pair(now, steps.action, now.active)
        out = actor.network.after(now.obs, then.obs, actor_carry, starts)
        policy, gone = actor.distribution(out, then), then.ended & ~cut
        present = (then.active | cut) & ~gone
        drawn = policy.sample(jax.random.fold_in(key_draw, shard_index()))
        next_pair = critic.pair(then, drawn, present)
        next_q = critic.q.after(pair, next_pair, critic_carry, starts)[0]
        value = (policy.probs * next_q).sum(-1)
        if self.normalise_values:
            value = kept.returns.restore(value[..., None])[..., 0]
        target, settled = settled_returns(
            then.reward,
            self.discount * (1.0 - gone),
            jnp.where(present, value, 0.0),
            present | gone,
            then.ended,
            self.td_lambda,
        )
        batch = self.batch_of(trajectory, self.advantage(state.params, trajectory), target)
        # What the rollout's end leaves open is no target: out of turn there is nothing to value.
        batch = eqx.tree_at(lambda b: b.alive, batch, batch.weight * settled)
        if not self.normalise_values:
            return batch, Kept(kept.returns, key)
        returns = kept.returns.update(target[..., None], batch.alive)
        target = returns.normalise(target[..., None])[..., 0]
        return eqx.tree_at(lambda b: b.target, batch, target), Kept(returns, key)

    def advantage(self, params: Params, trajectory: Trajectory) -> Float[Array, "T B N"]:
        """What the actions were worth, by these networks."""
        steps, (actor_carry, critic_carry) = trajectory.transitions, trajectory.carry
        starts = starts_of(steps.successor.done)
        pair = params["critic"].pair(steps.timestep, steps.action, steps.timestep.active)
        q = params["critic"].q.unroll(pair, critic_carry, starts)[0]
        policy = params["actor"].unroll(steps.timestep, actor_carry, starts)
        return counterfactual_advantage(q, policy.probs, steps.action)

    def descend(
        self,
        state: OnPolicyState,
        batch: Batch,
        trajectory: Trajectory,
        key: PRNGKeyArray,
        frozen: Frozen | None = None,
    ) -> tuple[OnPolicyState, Metrics]:
        """The critic's passes, then the actor's."""
        all_of = lambda name: jnp.ones(len(state.optimizers[name].skipped), bool)  # noqa: E731
        key_critic, key_actor = jax.random.split(key)
        still = {"actor": all_of("actor")}
        one_pass = lambda s, k: OnPolicy.descend(self, s, batch, trajectory, k, still)  # noqa: E731
        keys = jax.random.split(key_critic, self.critic_epochs)
        state, of_critic = jax.lax.scan(one_pass, state, keys)
        advantage = self.advantage(state.params, trajectory)
        batch = eqx.tree_at(lambda b: b.advantage, batch, advantage)
        state, metrics = super().descend(
            state, batch, trajectory, key_actor, {"critic": all_of("critic")}
        )
        names = ("value_loss", "critic_grad_norm")
        return state, metrics | {name: of_critic[name].mean() for name in names}

    def loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        policy = params["actor"].unroll(batch.timestep, carry[0], batch.starts)
        pair = params["critic"].pair(batch.timestep, batch.action, batch.timestep.active)
        q = params["critic"].q.taken(pair, carry[1], batch.starts)[0]

        gain = policy.log_prob(batch.action) * batch.advantage
        policy_loss = -weighted_mean(gain, batch.weight)
        value_loss = weighted_mean((q - batch.target) ** 2, batch.alive)
        entropy = weighted_mean(policy.entropy(), batch.weight)
        metrics = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
        return policy_loss + value_loss - entropy_weight * entropy, metrics

    # Networks and acting.

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        require(
            isinstance(spec.action, Discrete),
            f"coma compares discrete actions and {spec.name} has others: use mappo or masac, or "
            "the environment's discrete actions",
        )

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> tuple[Params, dict[str, int], Kept]:
        assert isinstance(spec.action, Discrete)
        key_actor, key_critic, key_drawn = jax.random.split(key, 3)
        params, counts, _ = super().start(spec, key_actor)
        groups = self.groups(spec)
        q = QCritic.of(
            spec, spec.action, groups, "global", keys=key_critic[None], **self.architecture
        )
        returns = RunningStatistics.empty(groups.of_agent, 1, rate=0.01, least=1e-4)
        params = {**params, "critic": CentralCritic(q, pixels_of(spec))}
        return params, {**counts, "critic": groups.count}, Kept(returns, key_drawn)

    def initial_carry(self, acting: Any) -> Carry:
        return acting.params["actor"].initial_carry(), acting.params["critic"].q.initial_carry()

    def choose(
        self, params: Params, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        """Also what a recurrent critic remembers of the step."""
        action, actor_carry, extras = super().choose(params, timestep, carry[0], key)
        pair = params["critic"].pair(timestep, action, timestep.active)
        critic_carry = params["critic"].q.step(pair, carry[1])[1]
        return action, (actor_carry, critic_carry), extras


class CentralCritic(eqx.Module):
    """The values of every agent's own actions, given the state and what the others do."""

    q: QCritic
    pixels: int = eqx.field(static=True)  # of the images of one observation

    def pair(
        self, timestep: TimeStep, action: Int[Array, "*B N"], active: Bool[Array, "*B N"]
    ) -> StateAction:
        """What it reads of a step in which those who are active do that."""
        return StateAction(timestep.obs, global_state(timestep, self.pixels), action, active)


def coma(**overrides: Any) -> COMA:
    """COMA. `overrides` are fields of `COMA`.

    When to use it:
        A lesson in credit assignment, and a reference, with few discrete actions.

    What breaks it:
        Samples are used once by the actor, and the advantage is as good as the critic of all joint
        actions: in simple_spread it ended far behind value decomposition after 3,000,000 steps.
    """
    return COMA(**overrides)
