"""Random orthogonal weights (Saxe, McClelland and Ganguli 2014)."""

import jax
from jaxtyping import Array, Float, PRNGKeyArray


def orthogonal(
    key: PRNGKeyArray, size_in: int, size_out: int, gain: float | Array = 1.0
) -> Float[Array, "in out"]:
    """Orthonormal rows or columns, whichever are fewer, times the gain.

    On a CPU, many at once (`vmap`) are made one after another. XLA shares a batch of decompositions
    out among its threads and waits for them in one of those: with several batches in a program and
    few cores, each thread waits for another, for ever (jaxlib 0.10).
    """

    def draw(key: PRNGKeyArray) -> Float[Array, "in out"]:
        return jax.nn.initializers.orthogonal()(key, (size_in, size_out))

    if jax.default_backend() == "cpu":
        draw = jax.custom_batching.sequential_vmap(draw)
    return gain * draw(key)
