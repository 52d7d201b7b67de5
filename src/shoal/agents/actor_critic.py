"""The engine of actor-critics: values beside actions, and generalised advantages.

An algorithm adds its loss.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.on_policy import Batch, OnPolicy, OnPolicyState
from shoal.core.algorithm import Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Params
from shoal.core.env import Action, EnvSpec, TimeStep, cut_now
from shoal.core.limits import Fraction, NonNegative
from shoal.core.parallel import any_member, group_mean, weighted_mean
from shoal.core.running_statistics import Moments, RunningStatistics
from shoal.core.sequence import carries_after, starts_of
from shoal.math.gae import gae
from shoal.nn.critics import ValueCritic, View


class ActorCritic(OnPolicy):
    r"""Advantages $A = \sum_k (\gamma \lambda)^k \delta_k$ of a critic that learns $A + V$."""

    gae_lambda: Fraction = 0.95
    """Mixing of horizons in the advantage."""
    value_weight: NonNegative = 0.5
    """Weight of the value loss."""
    critic: View = eqx.field(static=True, default="local")
    """What the critic sees: local (each agent's own view), global (the whole state) or both."""
    normalise_values: bool = eqx.field(static=True, default=True)
    """Whether the critic learns returns scaled to mean 0, deviation 1, group by group."""
    normalise_advantages: bool = eqx.field(static=True, default=True)
    """Whether the advantages of a batch are scaled to mean 0, deviation 1, group by group. If not,
    they are in the critic's units: where rewards are rare, a batch without any teaches little
    instead of noise."""

    recompute_advantages: bool = eqx.field(static=True, default=False)
    """Whether each pass over a rollout has advantages and targets of the critic as it is then."""

    def start(self, spec: EnvSpec, key: PRNGKeyArray) -> tuple[Params, dict[str, int], Any]:
        key_actor, key_critic = jax.random.split(key)
        params, groups, _ = super().start(spec, key_actor)
        critic = self.make_critic(spec, key_critic)
        returns = RunningStatistics.empty(self.groups(spec).of_agent, 1, rate=0.01, least=1e-4)
        params = {**params, "critic": critic}
        return params, {**groups, "critic": critic.network.groups.count}, returns

    def make_critic(self, spec: EnvSpec, key: PRNGKeyArray) -> ValueCritic:
        """The critic before anything was learned."""
        return ValueCritic.of(spec, self.groups(spec), self.critic, key=key, **self.architecture)

    @property
    def recomputes(self) -> bool:
        return self.recompute_advantages

    def revalue(self, params: Params, trajectory: Trajectory) -> Trajectory:
        steps = trajectory.transitions
        starts = starts_of(steps.successor.done)
        value = params["critic"].unroll(steps.timestep, trajectory.carry[1], starts)
        extras = {**steps.extras, "value": value}
        return eqx.tree_at(lambda t: t.transitions.extras, trajectory, extras)

    def initial_carry(self, acting: Any) -> Carry:
        return tuple(acting.params[name].initial_carry() for name in ("actor", "critic"))

    def choose(
        self, params: Params, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        action, actor_carry, extras = super().choose(params, timestep, carry[0], key)
        value, critic_carry = params["critic"].step(timestep, carry[1])
        return action, (actor_carry, critic_carry), {**extras, "value": value}

    def targets(
        self, state: OnPolicyState, trajectory: Trajectory
    ) -> tuple[Batch, RunningStatistics]:
        batch, seen = self.worth(state, trajectory)
        return batch, state.kept if seen is None else state.kept.join(seen)

    def worth(self, state: OnPolicyState, trajectory: Trajectory) -> tuple[Batch, Moments | None]:
        """What there is to learn from a rollout, and the moments of the returns that its values are
        scaled by, if they are."""
        steps, returns = trajectory.transitions, state.kept
        value, after = steps.extras["value"], self._successor_values(state, trajectory)
        if self.normalise_values:
            value, after = _each(returns.restore, value), _each(returns.restore, after)
        advantage, target = self.estimate(state.params, trajectory, value, after)
        batch = self.batch_of(trajectory, advantage, target)
        found, seen = value + advantage, None
        if self.normalise_values:
            seen = returns.moments(target[..., None], batch.alive)
            scale = returns.join(seen).normalise
            value, found, target = (_each(scale, x) for x in (value, found, target))
            batch = eqx.tree_at(lambda b: b.target, batch, target)
        if self.normalise_advantages:
            of_agent, weight = state.params["actor"].network.groups.of_agent, batch.weight
            advantage = advantage - group_mean(advantage, weight, of_agent)
            deviation = jnp.sqrt(group_mean(advantage**2, weight, of_agent))
            advantage = advantage / (deviation + 1e-8)
        else:
            advantage = found - value
        return eqx.tree_at(lambda b: b.advantage, batch, advantage), seen

    def estimate(
        self,
        params: Params,
        trajectory: Trajectory,
        value: Float[Array, "T B N"],
        after: Float[Array, "T B N"],
    ) -> tuple[Float[Array, "T B N"], Float[Array, "T B N"]]:
        """Advantages, and what the critic learns, from values of states and of their successors."""
        advantage = gae(*self.returns_of(trajectory, value, after))
        return advantage, advantage + value

    def returns_of(
        self,
        trajectory: Trajectory,
        value: Float[Array, "T B N"],
        after: Float[Array, "T B N"],
    ) -> tuple[Array, Array, Array, Array, Array, Array]:
        """What returns are made of: rewards, discounts, both values, ends, and the mixing of
        horizons. Out of its turn an agent does not act: its return runs on to its next turn."""
        successor = trajectory.transitions.successor
        discount = self.discount * (1.0 - successor.terminated)
        mixing = jnp.where(successor.active, self.gae_lambda, 1.0)
        return successor.reward, discount, value, after, successor.ended, mixing

    def _successor_values(
        self, state: OnPolicyState, trajectory: Trajectory
    ) -> Float[Array, "T B N"]:
        """Values of the true successors. Within an episode that is the next step's value, which is
        known; only where an agent was cut, and after the last step, a state must be evaluated."""
        steps, critic = trajectory.transitions, state.params["critic"]
        value, done = steps.extras["value"], steps.successor.done
        known = jnp.concatenate([value[1:], value[-1:]])
        cut = cut_now(steps.timestep, steps.successor).at[-1].set(True)
        carry = trajectory.carry[1]
        step = lambda timestep, carry: critic.step(timestep, carry)[1]  # noqa: E731
        carries = carries_after(step, steps.timestep, carry, starts_of(done))

        def evaluate(inputs):
            successor, carry, known, cut = inputs
            return jnp.where(cut, critic.step(successor, carry)[0], known)

        def each(inputs):
            return jax.lax.cond(any_member(inputs[3].any()), evaluate, lambda x: x[2], inputs)

        inputs = (steps.successor, carries, known, cut)
        if jax.default_backend() == "cpu":  # where a step without a cut costs nothing
            return jax.lax.map(each, inputs)
        return jax.vmap(evaluate)(inputs)

    def value_loss(
        self, error: Float[Array, "T B N"], batch: Batch
    ) -> tuple[Float[Array, ""], Metrics]:
        """Half the mean of squared errors, over all who had a future."""
        loss = 0.5 * weighted_mean(error, batch.alive)
        return self.value_weight * loss, {"value_loss": loss}


def _each(scale, x: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
    """A scale of vectors, applied to one number an agent."""
    return scale(x[..., None])[..., 0]
