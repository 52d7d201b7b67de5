"""Hyper-parameters that families of algorithms have in common, and what they build from them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.scales import Scales
from shoal.core.algorithm import Metrics
from shoal.core.env import EnvSpec
from shoal.core.limits import Fraction, Natural, Positive, PositiveFraction
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.layer_norm import LayerNormMLP
from shoal.nn.mlp import MLP, Activation
from shoal.nn.residual import ResidualMLP
from shoal.nn.sharing import Groups, Sharing
from shoal.nn.torso import torso_address


class Networks(eqx.Module):
    """The shape of every network that reads what an agent sees."""

    sharing: Sharing = eqx.field(static=True, default="auto")
    """Who shares parameters; auto is by role."""
    agent_id: bool = eqx.field(static=True, default=True)
    """Whether an agent's number is an input of networks that several agents share."""
    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    """Widths of the layers."""
    recurrent: Natural = eqx.field(static=True, default=0)
    """Size of a GRU behind the layers, 0 for none."""
    activation: Activation = eqx.field(static=True, default="tanh")
    """Non-linearity of the layers."""
    residual: bool = eqx.field(static=True, default=False)
    """Whether each layer is a residual block with layer norm (SimBa); they are of one width."""
    layer_norm: bool = eqx.field(static=True, default=False)
    """Whether the sums of each layer are normalised before its non-linearity (layer norm).
    Residual blocks are normalised anyway."""
    torso: str = eqx.field(static=True, default="", converter=torso_address)
    """What makes layers of your own in their place, FILE.py:NAME, called with their number of
    inputs and a key."""
    normalise_observations: bool = eqx.field(static=True, default=False)
    """Whether networks see observations at mean 0, deviation 1; the policy keeps the scale."""

    def groups(self, spec: EnvSpec) -> Groups:
        """Who shares parameters in this environment."""
        return Groups.of(spec, self.sharing)

    def network(
        self,
        spec: EnvSpec,
        size_out: int,
        *,
        head_gain: float = 1.0,
        key: PRNGKeyArray,
    ) -> AgentNetwork:
        """A network of what each agent sees, shared by `sharing`."""
        return AgentNetwork(
            spec.obs_size,
            size_out,
            self.groups(spec),
            head_gain=head_gain,
            images=spec.images,
            key=key,
            **self.architecture,
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """What all networks have in common, as arguments of `AgentNetwork`."""
        names = ("hidden", "recurrent", "activation", "torso", "agent_id")
        plain = LayerNormMLP if self.layer_norm else MLP
        layers = ResidualMLP if self.residual else plain
        return {name: getattr(self, name) for name in names} | {"layers": layers}

    def scales(self, spec: EnvSpec) -> Scales | None:
        """Where observations are normalised, their scales before anything was seen."""
        return Scales.of(spec) if self.normalise_observations else None


class Optimising(eqx.Module):
    """How far a gradient moves parameters."""

    learning_rate: Positive = 7e-4
    """Step size of the optimizer, Adam unless the algorithm says otherwise."""
    max_grad_norm: Positive = 0.5
    """Largest norm of a gradient, of each network and each group that shares parameters."""
    anneal_learning_rate: bool = eqx.field(static=True, default=True)
    """Whether the learning rate falls linearly to 0."""

    def rate(self, progress: Float[Array, ""]) -> Float[Array, ""] | float:
        """The step size after that share of training."""
        return self.learning_rate * (1.0 - progress if self.anneal_learning_rate else 1.0)


class Exploring(eqx.Module):
    """How often an epsilon-greedy learner acts at random."""

    epsilon_start: Fraction = 1.0
    """Share of random actions at first."""
    epsilon_end: Fraction = 0.05
    """Share of random actions in the end."""
    exploration_fraction: PositiveFraction = 0.2
    """Share of training over which random actions become rare."""

    def epsilon(self, progress: Float[Array, ""] | float) -> Float[Array, ""]:
        """The share of random actions after that share of training."""
        left = jnp.maximum(1 - progress / self.exploration_fraction, 0)
        share = self.epsilon_end + (self.epsilon_start - self.epsilon_end) * left
        return jnp.asarray(share, jnp.float32)

    def schedules(self, progress: Float[Array, ""]) -> Metrics:
        return {"epsilon": self.epsilon(progress)}
