"""REINFORCE: the log-probability of each action, weighted by what followed it.

    maximise  E[ log pi(a_t | o_t) G_t ],  G_t = sum_k gamma^k r_{t+k}

Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning". Returns are cut at the end of a trajectory, and centred over the batch.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from shoal.agents.policy_gradient.actor_critic import Actor
from shoal.core.algorithm import Algorithm
from shoal.core.descend import Optimizer, descend, init_optimizer
from shoal.core.limits import Fraction, Positive
from shoal.core.parallel import pmean, weighted_mean
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.sharing import Groups


class ReinforceState(eqx.Module):
    """All that changes while learning."""

    actor: Actor
    optimizer: Optimizer


class Reinforce(Algorithm):
    """Policy gradient without a critic, for discrete actions."""

    learning_rate: Positive = 1e-2
    """Adam's step size."""
    discount: Fraction = 0.95
    """Weight of a reward one step later."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(32,))
    """Widths of the layers."""

    def init(self, spec, key):
        groups = Groups.of(spec, "auto")
        network = AgentNetwork(
            spec.obs_size, spec.action.size, groups, hidden=self.hidden, head_gain=0.01, key=key
        )
        actor = Actor(network, None, spec.action)
        return ReinforceState(actor, init_optimizer(actor))

    def policy(self, state):
        return state.actor

    def act(self, state, timestep, carry, key):
        key_network, key_sample = jax.random.split(key)
        distribution, carry = state.actor(
            timestep.obs, carry, action_mask=timestep.action_mask, key=key_network
        )
        return distribution.sample(key_sample), carry, None

    def learn(self, state, trajectory, key):
        steps = trajectory.transitions
        weight = steps.timestep.active.astype(jnp.float32)
        returns = self._returns(steps.successor)
        advantage = returns - pmean(weighted_mean(returns, weight))

        def loss(actor):
            distribution, _ = actor(
                steps.timestep.obs, None, action_mask=steps.timestep.action_mask, key=key
            )
            return -weighted_mean(distribution.log_prob(steps.action) * advantage, weight), {}

        actor, optimizer, metrics = descend(
            loss,
            state.actor,
            state.optimizer,
            learning_rate=self.learning_rate,
            max_grad_norm=1.0,
        )
        return ReinforceState(actor, optimizer), metrics

    def _returns(self, successor):
        """Discounted rewards to go, `[T, B, N]`; nothing flows across an episode's end."""

        def step(after, inputs):
            reward, done = inputs
            total = reward + self.discount * jnp.where(done[:, None], 0.0, after)
            return total, total

        zero = jnp.zeros_like(successor.reward[0])
        return jax.lax.scan(step, zero, (successor.reward, successor.done), reverse=True)[1]
