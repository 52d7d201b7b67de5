"""A policy in another environment than its own: with more agents, or other numbers.

A policy is networks and what the environment told of agents and actions. Where its networks have
the same shapes elsewhere, it can act there; what they read should mean the same.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from shoal.core.algorithm import Algorithm, Policy
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError


def act_in(
    spec: EnvSpec, policies: Sequence[Policy], algorithm: Algorithm, home: EnvSpec
) -> list[Policy]:
    """The policies of an algorithm, trained in the environment `home`, for that other one.

    Raises:
        UserError: their parameters have other shapes there, or the algorithm cannot learn there.
    """
    algorithm.check(spec)
    made = eqx.filter_eval_shape(
        lambda key: algorithm.policy(algorithm.init(spec, key)), jax.random.key(0)
    )
    leaves, structure = jax.tree.flatten(made)
    moved = []
    for policy in policies:
        own = jax.tree.leaves(policy)
        if [jnp.shape(x) for x in own] != [x.shape for x in leaves]:
            raise UserError(f"the policy does not fit: {_why(spec, algorithm, home)}")
        moved.append(jax.tree.unflatten(structure, own))
    return moved


def _why(spec: EnvSpec, algorithm: Algorithm, home: EnvSpec) -> str:
    """What differs."""
    shows = f"agents are shown {spec.obs_size} numbers and it was trained on {home.obs_size}"
    acts = f"actions are {spec.action} and it was trained on {home.action}"
    n = f"there are {spec.num_agents} agents and it was trained on {home.num_agents}"
    found = {
        shows: spec.obs_size != home.obs_size,
        f"{n}, each with its number as an input: train with --algo.agent-id False": (
            spec.num_agents != home.num_agents and getattr(algorithm, "agent_id", False)
        ),
        f"{n}, whose parameters are not shared: train with --algo.sharing role": (
            spec.num_agents != home.num_agents
        ),
        acts: spec.action != home.action,
    }
    return next((why for why, is_so in found.items() if is_so), "its parameters are others")
