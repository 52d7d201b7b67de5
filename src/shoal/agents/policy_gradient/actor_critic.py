"""The engine of PPO and A2C, independent (IPPO) or with a centralised critic (MAPPO).

    maximise  E[ surrogate(pi, pi_old, A) ] - c_v E[ (V - R)^2 ] + c_e E[ H(pi) ]

with generalised advantages A and returns R = A + V. Members of the family differ by arguments: the
surrogate, what the critic sees, how often data is used, who shares parameters.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.agents.policy_gradient.actor import Actor
from shoal.agents.policy_gradient.critic import Critic, ValueScale, make_critic
from shoal.core.algorithm import Algorithm, Carry, Extras, Metrics, Trajectory
from shoal.core.descend import Optimizer, descend, init_optimizer
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count, Fraction, Natural, NonNegative, Positive
from shoal.core.parallel import num_shards, pmean, weighted_mean
from shoal.core.spaces import Box
from shoal.math.gae import gae
from shoal.math.policy_loss import policy_gradient, ppo_clip
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.mlp import Activation
from shoal.nn.sharing import Groups, Sharing

SURROGATES = {"ppo_clip": ppo_clip, "policy_gradient": policy_gradient}


class Params(eqx.Module):
    """What gradients are taken of."""

    actor: Actor
    critic: Critic


class ActorCriticState(eqx.Module):
    """What training changes."""

    params: Params
    optimizer: Optimizer
    scale: ValueScale


class Batch(eqx.Module):
    """What a loss reads, `[T, B, ...]`; carries are of the first step, `[B, ...]`."""

    obs: Array
    critic_inputs: Array
    action: Array
    action_mask: Array | None
    log_prob: Array
    value: Array  # as the critic gave it: in units of the scale
    target: Array  # the same units
    advantage: Array
    weight: Array  # 1 where an agent acted
    alive: Array  # 1 where an agent had a value, in its turn or not
    starts: Array


class ActorCritic(Algorithm):
    """Actor-critic with a chosen surrogate. Fields that are numbers can be swept."""

    learning_rate: Positive = 7e-4
    """Adam's step size; the critic uses the same."""
    discount: Fraction = 0.99
    """Weight of a reward one step later."""
    gae_lambda: Fraction = 0.95
    """Mixing of horizons in the advantage."""
    clip: Positive = 0.2
    """Largest change of probability ratio, and of a normalised value, that is rewarded."""
    entropy_weight: NonNegative = 0.01
    """Weight of the policy's entropy."""
    value_weight: NonNegative = 0.5
    """Weight of the value loss."""
    max_grad_norm: Positive = 0.5
    """Largest global norm of a gradient."""
    init_log_std: float = -0.5
    """Initial log standard deviation of box actions, in half widths of the box."""
    surrogate: Literal["ppo_clip", "policy_gradient"] = eqx.field(static=True, default="ppo_clip")
    """What is maximised."""
    critic: Literal["local", "global"] = eqx.field(static=True, default="local")
    """What the critic sees: local (each agent's own view) or global (the whole state)."""
    sharing: Sharing = eqx.field(static=True, default="auto")
    """Who shares parameters; auto is by role."""
    epochs: Count = eqx.field(static=True, default=4)
    """How often each sample is used."""
    minibatches: Count = eqx.field(static=True, default=4)
    """Into how many parts, by environment, a trajectory is cut."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    """Widths of the layers of actor and critic."""
    recurrent: Natural = eqx.field(static=True, default=0)
    """Size of a GRU behind the layers, 0 for none."""
    activation: Activation = eqx.field(static=True, default="tanh")
    """Non-linearity of the layers."""
    normalise_values: bool = eqx.field(static=True, default=True)
    """Whether the critic learns returns scaled to mean 0, deviation 1."""
    normalise_advantages: bool = eqx.field(static=True, default=True)
    """Whether the advantages of a batch are scaled to mean 0, deviation 1. If not, they are in the
    critic's units: where rewards are rare, a batch without any teaches little instead of noise."""
    clip_values: bool = eqx.field(static=True, default=True)
    """Whether the value loss is clipped as the surrogate is."""
    anneal_learning_rate: bool = eqx.field(static=True, default=True)
    """Whether the learning rate falls linearly to 0."""
    anneal_entropy: bool = eqx.field(static=True, default=False)
    """Whether the entropy weight falls linearly to 0."""

    def check_devices(self, num_envs: int, devices: int) -> None:
        require(
            num_envs % (devices * self.minibatches) == 0,
            f"num_envs is {num_envs}, expected a multiple of minibatches, which is "
            f"{self.minibatches}",
        )

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> ActorCriticState:
        key_actor, key_critic = jax.random.split(key)
        shape: dict[str, Any] = dict(
            hidden=self.hidden, recurrent=self.recurrent, activation=self.activation
        )
        groups = Groups.of(spec, self.sharing)
        actor = AgentNetwork(
            spec.obs_size,
            spec.action.size,
            groups,
            head_gain=0.01,
            images=spec.images,
            key=key_actor,
            **shape,
        )
        critic = make_critic(spec, groups, self.critic == "global", key=key_critic, **shape)
        log_std = None
        if isinstance(spec.action, Box):
            log_std = jnp.full((groups.count, spec.action.size), self.init_log_std)
        params = Params(Actor(actor, log_std, spec.action), critic)
        return ActorCriticState(params, init_optimizer(params), ValueScale.init(spec.num_agents))

    def policy(self, state: ActorCriticState) -> Actor:
        return state.params.actor

    def initial_carry(self, state: ActorCriticState) -> Carry:
        params = state.params
        return params.actor.initial_carry(), params.critic.network.initial_carry()

    def acting(self, state):
        return state

    def act(
        self, state: ActorCriticState, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        key_policy, key_sample = jax.random.split(key)
        params = state.params
        distribution, actor_carry = params.actor(timestep, carry[0], key_policy)
        value, critic_carry = params.critic.step(timestep, carry[1])
        action = distribution.sample(key_sample)
        extras = {"log_prob": distribution.log_prob(action), "value": value}
        return action, (actor_carry, critic_carry), extras

    def learn(
        self, state: ActorCriticState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[ActorCriticState, Metrics]:
        batch, scale = self._prepare(state, trajectory)
        num_envs = batch.weight.shape[1]
        require(
            num_envs % self.minibatches == 0,
            f"{num_envs * num_shards()} environments on {num_shards()} devices do not divide into "
            f"{self.minibatches} minibatches",
        )
        remaining = 1.0 - trajectory.progress
        rate = self.learning_rate * (remaining if self.anneal_learning_rate else 1.0)
        entropy_weight = self.entropy_weight * (remaining if self.anneal_entropy else 1.0)

        def minibatch(loop, rows):
            params, optimizer = loop
            part, carry = batch, trajectory.carry
            if self.minibatches > 1:
                part = jax.tree.map(lambda x: x[:, rows], batch)
                carry = jax.tree.map(lambda x: x[rows], carry)
            params, optimizer, metrics = descend(
                lambda p: self._loss(p, part, carry, entropy_weight),
                params,
                optimizer,
                learning_rate=rate,
                max_grad_norm=self.max_grad_norm,
            )
            return (params, optimizer), metrics

        def epoch(loop, key):
            rows = jax.random.permutation(key, num_envs).reshape(self.minibatches, -1)
            return jax.lax.scan(minibatch, loop, rows)

        loop = (state.params, state.optimizer)
        (params, optimizer), metrics = jax.lax.scan(epoch, loop, jax.random.split(key, self.epochs))
        metrics = jax.tree.map(jnp.mean, metrics)
        metrics["skipped_updates"] = optimizer.skipped.astype(jnp.float32)
        metrics["skipped_in_a_row"] = optimizer.skipped_in_a_row.astype(jnp.float32)
        return ActorCriticState(params, optimizer, scale), metrics

    def _prepare(self, state: ActorCriticState, trajectory: Trajectory) -> tuple[Batch, ValueScale]:
        """Advantages and targets, before anything is learned."""
        steps, scale = trajectory.transitions, state.scale
        critic = state.params.critic
        units = scale.restore if self.normalise_values else (lambda x: x)
        value = steps.extras["value"]
        done = steps.successor.done
        advantage = gae(
            steps.successor.reward,
            self.discount * (1.0 - steps.successor.terminated),
            units(value),
            units(self._successor_values(critic, trajectory)),
            done[..., None],
            # Out of its turn an agent does not act: its return runs on to its next turn.
            jnp.where(steps.successor.active, self.gae_lambda, 1.0),
        )
        weight = steps.timestep.active.astype(jnp.float32)
        alive = (~steps.timestep.terminated).astype(jnp.float32)
        returns = advantage + units(value)
        if self.normalise_values:
            scale = scale.update(returns, alive)
        scaled = scale.normalise if self.normalise_values else (lambda x: x)
        target = scaled(returns)
        if self.normalise_advantages:
            mean = pmean(weighted_mean(advantage, weight))
            std = jnp.sqrt(pmean(weighted_mean((advantage - mean) ** 2, weight)))
            advantage = (advantage - mean) / (std + 1e-8)
        else:
            advantage = target - scaled(units(value))
        starts = jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])
        batch = Batch(
            obs=steps.timestep.obs,
            critic_inputs=critic.inputs(steps.timestep),
            action=steps.action,
            action_mask=steps.timestep.action_mask,
            log_prob=steps.extras["log_prob"],
            value=value,
            target=target,
            advantage=advantage,
            weight=weight,
            alive=alive,
            starts=starts,
        )
        return batch, scale

    def _successor_values(self, critic: Critic, trajectory: Trajectory) -> Float[Array, "T B N"]:
        """Values of the true successors. Within an episode that is the next step's value, which is
        known; only where a time limit cut an episode is the state before the reset evaluated."""
        steps = trajectory.transitions
        last, _ = critic.step(trajectory.last, trajectory.last_carry[1])
        value = jnp.concatenate([steps.extras["value"][1:], last[None]])
        done = steps.successor.done

        def at_end(inputs):
            successor, carry, value = inputs
            cut, _ = critic.step(successor, carry)
            return jnp.where(successor.done[:, None], cut, value)

        def each(inputs):
            return jax.lax.cond(inputs[0].done.any(), at_end, lambda x: x[2], inputs)

        carries = self._critic_carries(critic, trajectory, done)
        return jax.lax.map(each, (steps.successor, carries, value))

    def _critic_carries(
        self, critic: Critic, trajectory: Trajectory, done: Bool[Array, "T B"]
    ) -> Carry:
        """The critic's recurrent state after each step, `[T, B, ...]`, if it has one."""
        if not self.recurrent:
            return None
        fresh = jnp.zeros_like(trajectory.carry[1])

        def step(carry, inputs):
            timestep, done = inputs
            _, carry = critic.step(timestep, carry)
            return where_done_carry(done, fresh, carry), carry

        steps = trajectory.transitions
        return jax.lax.scan(step, trajectory.carry[1], (steps.timestep, done))[1]

    def _loss(
        self, params: Params, batch: Batch, carry: Carry, entropy_weight: Float[Array, ""] | float
    ) -> tuple[Float[Array, ""], Metrics]:
        out = params.actor.network.unroll(batch.obs, carry[0], batch.starts)
        distribution = params.actor.distribution(out, batch.action_mask)
        value = params.critic.unroll(batch.critic_inputs, carry[1], batch.starts)
        log_prob = distribution.log_prob(batch.action)
        gain = SURROGATES[self.surrogate](log_prob, batch.log_prob, batch.advantage, self.clip)
        error = (value - batch.target) ** 2
        if self.clip_values:
            near = batch.value + jnp.clip(value - batch.value, -self.clip, self.clip)
            error = jnp.maximum(error, (near - batch.target) ** 2)
        policy_loss = -weighted_mean(gain, batch.weight)
        value_loss = 0.5 * weighted_mean(error, batch.alive)
        entropy = weighted_mean(distribution.entropy(), batch.weight)
        loss = policy_loss + self.value_weight * value_loss - entropy_weight * entropy
        metrics = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "kl": weighted_mean(batch.log_prob - log_prob, batch.weight),
        }
        return loss, metrics


def where_done_carry(done: Bool[Array, "B"], new: Array, old: Array) -> Array:
    """A carry `[B, N, H]`, fresh where an episode ended."""
    return jnp.where(done[:, None, None], new, old)
