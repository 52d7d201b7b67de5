"""A memory of what happened, to learn from again: a ring of time steps (Lin 1992)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from shoal.core.errors import require


class Replay(eqx.Module):
    """The newest chunks of experience, `[T, B, ...]` each, in arrays of `capacity` records.

    Step `t` of environment `b` lies at `t * B + b`, chunk after chunk, so that a chunk is written
    in place in one go and a sequence of steps is found by adding B. Chunks have one shape all
    along; records that do not make up a whole chunk stay unused.
    """

    data: Any  # leaves [capacity, ...]
    chunks: Int[Array, ""]  # ever added

    @staticmethod
    def empty(record: Any, capacity: int) -> "Replay":
        """Room for `capacity` records like `record`, a pytree of arrays or of their shapes."""
        require(capacity < 2**31, f"a replay of {capacity:,} steps, expected less than 2**31")
        data = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), record)
        return Replay(data, jnp.int32(0))

    def _slots(self, steps: int, num_envs: int) -> int:
        """How many chunks there is room for."""
        capacity = jax.tree.leaves(self.data)[0].shape[0]
        require(
            steps * num_envs <= capacity,
            f"the replay holds {capacity} transitions, expected room for the {steps * num_envs} "
            f"({steps} steps of {num_envs} environments) that are collected at once",
        )
        return capacity // (steps * num_envs)

    def add(self, chunk: Any) -> "Replay":
        """Writes leaves `[T, B, ...]` over the oldest chunk."""
        steps, num_envs = jax.tree.leaves(chunk)[0].shape[:2]
        at = self.chunks % self._slots(steps, num_envs) * (steps * num_envs)

        def write(data: Array, new: Array) -> Array:
            new = new.reshape(-1, *new.shape[2:]).astype(data.dtype)
            return jax.lax.dynamic_update_slice_in_dim(data, new, at, 0)

        return Replay(jax.tree.map(write, self.data, chunk), self.chunks + 1)

    def sample(
        self,
        key: PRNGKeyArray,
        count: int,
        *,
        chunk: tuple[int, int],
        length: int = 1,
        stride: int = 1,
    ) -> Any:
        """Draws `count` sequences of `length` steps, uniformly and with replacement.

        `chunk` is the (T, B) that was added each time. A sequence starts at any multiple of
        `stride` steps after the oldest one, and may run from one chunk into the next that was
        added. Leaves are `[length, count, ...]`. At least one chunk must have been added.
        """
        steps, num_envs = chunk
        require(
            length <= steps, f"sequences of {length} steps, expected at most the {steps} collected"
        )
        ring = self._slots(steps, num_envs) * steps
        filled = jnp.minimum(self.chunks * steps, ring)
        oldest = jnp.where(filled == ring, self.chunks * steps % ring, 0)
        key_start, key_env = jax.random.split(key)
        starts = (filled - length) // stride + 1
        start = oldest + stride * jax.random.randint(key_start, (count,), 0, starts)
        env = jax.random.randint(key_env, (count,), 0, num_envs)
        rows = (start + jnp.arange(length)[:, None]) % ring * num_envs + env
        return jax.tree.map(lambda x: x[rows], self.data)
