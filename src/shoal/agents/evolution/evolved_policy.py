"""What populations are made of: a network whose best action is taken."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from shoal.agents.policies import NetworkPolicy
from shoal.core.distributions import (
    Categorical,
    Distribution,
    FactoredCategorical,
    action_distribution,
)
from shoal.core.env import TimeStep
from shoal.core.spaces import ActionSpace, Box
from shoal.nn.agent_network import AgentNetwork

_NO_WIDTH = -20.0  # log standard deviation of an action that is meant to be exact


class EvolvedPolicy(NetworkPolicy):
    """Takes the best legal action, or with `stochastic` draws one from a softmax. A box action is
    the network's output around the middle of the box."""

    network: AgentNetwork
    space: ActionSpace
    stochastic: bool = eqx.field(static=True)

    def distribution(self, out: Float[Array, "*B N A"], timestep: TimeStep) -> Distribution:
        no_width = jnp.full(out.shape[-2:], _NO_WIDTH)
        found = action_distribution(self.space, out, timestep.action_mask, no_width)
        if self.stochastic or isinstance(self.space, Box):
            return found
        if isinstance(found, FactoredCategorical):
            return eqx.tree_at(lambda f: f.choice, found, _certain(found.choice))
        assert isinstance(found, Categorical)
        return _certain(found)


def _certain(choice: Categorical) -> Categorical:
    """The likeliest action, always."""
    actions = jnp.arange(choice.log_probs.shape[-1])
    return Categorical(choice.log_probs, choice.mode()[..., None] == actions)
