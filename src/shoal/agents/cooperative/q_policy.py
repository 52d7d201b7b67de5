"""Action values of N agents, and the policy that mostly takes the best action."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.distributions import Distribution
from shoal.core.env import TimeStep
from shoal.core.spaces import ActionSpace
from shoal.math.td import action_value, greedy_action
from shoal.nn.agent_network import AgentNetwork


def legal_actions(
    space: ActionSpace, action_mask: Bool[Array, "*B N A"] | None, obs: Float[Array, "*B N D"]
) -> Bool[Array, "*B N A"]:
    """The actions that exist for each agent and that the environment allows now."""
    exists = jnp.broadcast_to(space.mask, (*obs.shape[:-1], space.size))
    return exists if action_mask is None else exists & action_mask


class EpsilonGreedy(Distribution):
    """The best legal action, or with probability `epsilon` any legal one."""

    q: Float[Array, "*B N A"]
    legal: Bool[Array, "*B N A"]
    epsilon: Float[Array, ""] | float

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*B N"]:
        """One uniform number says whether to explore and, if so, by its place below `epsilon`,
        which of the legal actions to take."""
        draw = jax.random.uniform(key, self.q.shape[:-1])
        count = self.legal.sum(-1)
        rank = (draw / jnp.maximum(self.epsilon, 1e-6) * count).astype(jnp.int32)
        rank = jnp.minimum(rank, count - 1)
        explored = (jnp.cumsum(self.legal, -1) <= rank[..., None]).sum(-1)
        return jnp.where(draw < self.epsilon, explored, self.mode())

    def mode(self) -> Int[Array, "*B N"]:
        return greedy_action(self.q, self.legal)

    @property
    def probs(self) -> Float[Array, "*B N A"]:
        """The probability of each action."""
        best = self.mode()[..., None] == jnp.arange(self.q.shape[-1])
        uniform = self.legal / jnp.maximum(self.legal.sum(-1, keepdims=True), 1)
        return (1 - self.epsilon) * best + self.epsilon * uniform

    def log_prob(self, action: Int[Array, "*B N"]) -> Float[Array, "*B N"]:
        return jnp.log(action_value(self.probs, action))

    def entropy(self) -> Float[Array, "*B N"]:
        return jax.scipy.special.entr(self.probs).sum(-1)


class QNetwork(eqx.Module):
    """Values of all actions of all agents. With `agent_id`, an agent's number is an input, so that
    agents that share parameters can differ."""

    network: AgentNetwork
    agent_id: bool = eqx.field(static=True)

    def initial_carry(self) -> Carry:
        return self.network.initial_carry()

    def _inputs(self, obs: Float[Array, "*B N D"]) -> Float[Array, "*B N in"]:
        if not self.agent_id:
            return obs
        num_agents = obs.shape[-2]
        ids = jnp.broadcast_to(jnp.eye(num_agents), (*obs.shape[:-1], num_agents))
        return jnp.concatenate([obs, ids], -1)

    def step(
        self, obs: Float[Array, "*B N D"], carry: Carry
    ) -> tuple[Float[Array, "*B N A"], Carry]:
        """Values at one time step, and the carry after it."""
        return self.network.step(self._inputs(obs), carry)

    def unroll(
        self, obs: Float[Array, "T B N D"], carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "T B N A"]:
        """Values at T time steps; where `starts`, the carry is reset before the step."""
        return self.network.unroll(self._inputs(obs), carry, starts)

    def after(
        self,
        obs: Float[Array, "T B N D"],
        next_obs: Float[Array, "T B N D"],
        carry: Carry,
        starts: Bool[Array, "T B"],
    ) -> Float[Array, "T B N A"]:
        """Values at the successor of each of T time steps. Each is read with the carry that its own
        step left, so that it need not be what the next step saw: a reset may lie between."""
        if carry is None:
            return self.step(next_obs, None)[0]

        def remember(carry, inputs):
            obs, start = inputs
            _, carry = self.step(obs, jnp.where(start[:, None, None], 0.0, carry))
            return carry, carry

        return self.step(next_obs, jax.lax.scan(remember, carry, (obs, starts))[1])[0]


class QPolicy(Policy):
    """Greedy in its mode, epsilon-greedy in its samples."""

    q: QNetwork
    space: ActionSpace
    epsilon: Float[Array, ""] | float

    def initial_carry(self) -> Carry:
        return self.q.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Distribution, Carry]:
        q, carry = self.q.step(timestep.obs, carry)
        legal = legal_actions(self.space, timestep.action_mask, timestep.obs)
        return EpsilonGreedy(q, legal, self.epsilon), carry
