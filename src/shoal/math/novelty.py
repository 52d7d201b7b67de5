"""How unlike anything before a behaviour is (Lehman and Stanley 2011, Evolutionary Computation)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def novelty(
    behaviours: Float[Array, "P K"],
    archive: Float[Array, "C K"],
    known: Int[Array, ""],
    nearest: int,
) -> Float[Array, "P"]:
    r"""The mean distance to the nearest behaviours of an archive, in the units of behaviours:

    $$N(b) = \frac{1}{k} \sum_{j \in kNN(b)} \lVert b - b_j \rVert_2$$

    Args:
        behaviours: of P members.
        archive: C behaviours, of which the first `known` count.
        nearest: k, how many are near; all, where fewer are known. With none every novelty is 0.
    """
    apart = jnp.linalg.norm(behaviours[:, None] - archive[None], axis=-1)
    apart = jnp.where(jnp.arange(len(archive)) < known, apart, jnp.inf)
    near = jnp.sort(apart, 1)[:, :nearest]
    counted = jnp.arange(near.shape[1]) < known
    return jnp.where(counted, near, 0.0).sum(1) / jnp.maximum(counted.sum(), 1)
