"""The noise that members are made of, and which environments are whose."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.descend import rows_of
from shoal.core.errors import require
from shoal.nn.sharing import Groups


def draw(
    like: Any, groups: int, key: PRNGKeyArray, numbers: Int[Array, "M"]
) -> Float[Array, "M G D"]:
    """Standard normal noise in the shape of a policy's parameters, as rows. It depends on the key
    and a number alone, so that a larger population has the same first members."""
    leaves = jax.tree.leaves(like)

    def one(number: Int[Array, ""]) -> Float[Array, "G D"]:
        keys = jax.random.split(jax.random.fold_in(key, number), len(leaves))
        return rows_of([jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)], groups)

    return jax.vmap(one)(numbers)


def of_members(x: Float[Array, "B N *K"], groups: Groups, members: int) -> Float[Array, "M G *K"]:
    """The mean over the agents of each group and over each member's environments."""
    of_agent = np.array(groups.of_agent)
    each = jnp.stack([x[:, of_agent == g].mean(1) for g in range(groups.count)], 1)
    return by_member(each, members).mean(1)


def by_member(x: Array, members: int) -> Array:
    """The environments of each member, `[M, B / M, ...]`."""
    require(
        x.shape[0] % members == 0,
        f"{x.shape[0]} environments cannot be shared out evenly among {members} members",
    )
    return x.reshape(members, -1, *x.shape[1:])
