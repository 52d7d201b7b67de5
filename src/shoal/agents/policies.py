"""Policies that families of algorithms share: a network whose output is a distribution."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.distributions import (
    Categorical,
    DiagonalNormal,
    Distribution,
    EpsilonGreedy,
    TanhNormal,
    action_distribution,
)
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import ActionSpace, Box, Discrete, legal_actions
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.retention import RetentionNetwork

NARROWEST, WIDEST = -5.0, 2.0  # log standard deviations that depend on what is seen


class NetworkPolicy(Policy):
    """A policy that acts by a distribution which a network's output stands for."""

    network: eqx.AbstractVar[AgentNetwork | RetentionNetwork]

    @abc.abstractmethod
    def distribution(self, out: Float[Array, "*B N _"], timestep: TimeStep) -> Distribution:
        """The distribution that an output of the network stands for."""

    def initial_carry(self) -> Carry:
        return self.network.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray | None = None
    ) -> tuple[Distribution, Carry]:
        out, carry = self.network.step(timestep.obs, carry)
        return self.distribution(out, timestep), carry


class Actor(NetworkPolicy):
    """A stochastic policy for actions of any space."""

    network: AgentNetwork | RetentionNetwork
    log_std: Float[Array, "G A"] | None
    space: ActionSpace

    @staticmethod
    def of(
        network: AgentNetwork | RetentionNetwork,
        spec: EnvSpec,
        init_log_std: Float[Array, ""] | float,
    ) -> "Actor":
        """An actor of that network; box actions have a width a group and dimension, to which the
        second half of the network's outputs is added where it has twice as many as dimensions."""
        log_std = None
        if isinstance(spec.action, Box):
            shape = network.groups.count, spec.action.size
            log_std = jnp.full(shape, init_log_std, jnp.float32)
        return Actor(network, log_std, spec.action)

    def unroll(self, timestep: TimeStep, carry: Carry, starts: Bool[Array, "T B"]) -> Distribution:
        """The distributions of T steps, `[T, B, ...]`; the carry is fresh where `starts`."""
        out = self.network.unroll(timestep.obs, carry, starts)
        return self.distribution(out, timestep)

    def distribution(self, out: Float[Array, "*B N A"], timestep: TimeStep) -> Distribution:
        log_std = self.log_std
        if log_std is not None:
            log_std = log_std[jnp.array(self.network.groups.of_agent)]
            if out.shape[-1] > self.space.size:
                out, seen = jnp.split(out, 2, -1)
                log_std = jnp.clip(log_std + seen, NARROWEST, WIDEST)
        return action_distribution(self.space, out, timestep.action_mask, log_std)


class QPolicy(NetworkPolicy):
    """Greedy in its mode, epsilon-greedy in its samples, by the action values of a network."""

    network: AgentNetwork
    space: ActionSpace
    epsilon: Float[Array, ""] | float

    def distribution(self, out: Array, timestep: TimeStep) -> EpsilonGreedy:
        legal = legal_actions(self.space, timestep.action_mask, timestep.reward.shape)
        return EpsilonGreedy(out, legal, self.epsilon)


class SoftActor(NetworkPolicy):
    """A policy whose entropy a network gives: a squashed normal of its mean and width in a box, or
    a softmax over the legal actions."""

    network: AgentNetwork
    space: Box | Discrete

    def distribution(self, out: Array, timestep: TimeStep) -> TanhNormal | Categorical:
        return self._of(out, timestep.action_mask)

    def unroll(
        self,
        obs: Float[Array, "T B N D"],
        legal: Bool[Array, "T B N A"],
        carry: Carry,
        starts: Bool[Array, "T B"],
    ) -> TanhNormal | Categorical:
        """The distributions of T steps; the carry is fresh where `starts`."""
        return self._of(self.network.unroll(obs, carry, starts), legal)

    def after(
        self,
        obs: Float[Array, "T B N D"],
        next_obs: Float[Array, "T B N D"],
        next_legal: Bool[Array, "T B N A"],
        carry: Carry,
        starts: Bool[Array, "T B"],
    ) -> TanhNormal | Categorical:
        """The distributions at the successors of T steps."""
        return self._of(self.network.after(obs, next_obs, carry, starts), next_legal)

    def _of(
        self, out: Float[Array, "*B N W"], legal: Bool[Array, "*B N A"] | None
    ) -> TanhNormal | Categorical:
        if isinstance(self.space, Discrete):
            if legal is None:
                legal = legal_actions(self.space, None, out.shape[:-1])
            return Categorical(out, legal)
        mean, log_std = jnp.split(out, 2, -1)
        return TanhNormal.in_box(self.space, mean, jnp.clip(log_std, NARROWEST, WIDEST))


def expectation(
    policy: TanhNormal | Categorical, key: PRNGKeyArray
) -> tuple[Array, Float[Array, "*B N C"], Float[Array, "*B N C"]]:
    """What stands for a policy: an action drawn; and the probabilities of C actions and their
    logarithms. Of discrete actions they are all, and in a box the drawn one alone, for certain."""
    if isinstance(policy, Categorical):
        return policy.sample(key), policy.probs, policy.log_probs
    action, log_prob = policy.sample_and_log_prob(key)
    return action, jnp.ones_like(log_prob)[..., None], log_prob[..., None]


class NoisyPolicy(NetworkPolicy):
    """The point of the box that a network gives, squashed by tanh, in its mode; with normal noise
    around it in its samples. `noise` is a deviation in half widths of the box."""

    network: AgentNetwork
    space: Box
    noise: Float[Array, ""] | float

    def distribution(self, out: Array, timestep: TimeStep) -> DiagonalNormal:
        log_std = jnp.full_like(out, jnp.log(self.noise))
        return DiagonalNormal.in_box(self.space, jnp.tanh(out), log_std)


class Explorer(Policy):
    """What another policy draws, moved into the box, or while `at_random` any point of the box:
    critics learn from such actions, so they must be what the environment makes of them."""

    inner: NoisyPolicy | SoftActor
    at_random: Bool[Array, ""]

    def initial_carry(self) -> Carry:
        return self.inner.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[DiagonalNormal, Carry]:
        key_noise, key_point = jax.random.split(key)
        space = self.inner.space
        assert isinstance(space, Box)
        distribution, carry = self.inner(timestep, carry)
        noisy = space.clip(distribution.sample(key_noise))
        point = jax.random.uniform(key_point, noisy.shape, minval=space.lows, maxval=space.highs)
        drawn = jnp.where(self.at_random, point, noisy)
        # Of no width, for it has been drawn.
        return DiagonalNormal(drawn, jnp.full_like(drawn, -jnp.inf), jnp.asarray(space.mask)), carry


def box_of(spec: EnvSpec, who: str) -> Box:
    """The box of an environment's actions, for those `who` "choose" no others; else `UserError`."""
    if not isinstance(spec.action, Box):
        raise UserError(
            f"{who} actions in a box and {spec.name} has others: use sac or ippo, or the "
            "environment's continuous actions"
        )
    return spec.action
