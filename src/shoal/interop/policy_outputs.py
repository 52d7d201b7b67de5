"""What an exported policy says: its greedy action, and what a sampler needs to draw one.

Discrete actions have probabilities, real ones the mean and the width of a normal distribution.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array

from shoal.agents.cooperative.q_policy import EpsilonGreedy
from shoal.core.distributions import Categorical, DiagonalNormal, Distribution
from shoal.core.errors import UserError
from shoal.core.spaces import ActionSpace, Box

LEAST_LOG_PROB = -1e9  # of an action that is never taken, as `Categorical` has it


@functools.singledispatch
def decide(distribution: Distribution, space: ActionSpace) -> dict[str, Array]:
    """The greedy action and what a sampler needs; other distributions register here."""
    raise UserError(
        f"a policy that acts by a {type(distribution).__name__} cannot be exported: expected one "
        f"of {', '.join(kind.__name__ for kind in decide.registry if kind is not object)}"
    )


@decide.register
def _(distribution: Categorical, space: ActionSpace) -> dict[str, Array]:
    log_probs = distribution.log_probs
    return {"action": distribution.mode(), "probs": jnp.exp(log_probs), "log_probs": log_probs}


@decide.register
def _(distribution: EpsilonGreedy, space: ActionSpace) -> dict[str, Array]:
    probs = distribution.probs
    log_probs = jnp.maximum(jnp.log(probs), LEAST_LOG_PROB)
    out = {"action": distribution.mode(), "probs": probs, "log_probs": log_probs}
    return out | {"values": distribution.q}


@decide.register
def _(distribution: DiagonalNormal, space: ActionSpace) -> dict[str, Array]:
    assert isinstance(space, Box)
    mean = distribution.mean
    action = jnp.clip(distribution.mode(), space.low, space.high)
    return {"action": action, "mean": mean, "std": jnp.exp(distribution.log_std)}
