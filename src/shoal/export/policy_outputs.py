"""What an exported policy says: its greedy action, and what a sampler needs to draw one.

Discrete actions have probabilities, real ones the mean and the width of a normal distribution.
N agents, A actions, F factors of A options.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array

from shoal.core.distributions import (
    Categorical,
    DiagonalNormal,
    Distribution,
    EpsilonGreedy,
    FactoredCategorical,
    TanhNormal,
)
from shoal.core.errors import UserError
from shoal.core.spaces import ActionSpace, Box


@functools.singledispatch
def decide(distribution: Distribution, space: ActionSpace) -> dict[str, Array]:
    """The greedy action and what a sampler needs; other distributions register here."""
    known = dict.fromkeys(kind.__name__ for kind in decide.registry if kind is not object)
    raise UserError(
        f"a policy that acts by a {type(distribution).__name__} cannot be exported: expected one "
        f"of {', '.join(known)}"
    )


@decide.register(FactoredCategorical)
@decide.register(Categorical)
def _(distribution: Categorical | FactoredCategorical, space: ActionSpace) -> dict[str, Array]:
    log_probs = distribution.log_probs
    return {"action": distribution.mode(), "probs": jnp.exp(log_probs), "log_probs": log_probs}


@decide.register
def _(distribution: EpsilonGreedy, space: ActionSpace) -> dict[str, Array]:
    probs, log_probs = distribution.probs, distribution.log_probs
    out = {"action": distribution.mode(), "probs": probs, "log_probs": log_probs}
    return out | {"values": distribution.q}


@decide.register
def _(distribution: DiagonalNormal, space: ActionSpace) -> dict[str, Array]:
    assert isinstance(space, Box)
    mean = distribution.mean
    action = space.clip(distribution.mode())
    return {"action": action, "mean": mean, "std": jnp.exp(distribution.log_std)}


@decide.register
def _(distribution: TanhNormal, space: ActionSpace) -> dict[str, Array]:
    normal = distribution.normal
    std = jnp.exp(normal.log_std)
    return {"action": distribution.mode(), "mean_before_tanh": normal.mean, "std_before_tanh": std}
