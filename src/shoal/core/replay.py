"""A memory of what happened, to learn from again: a ring of time steps (Lin 1992).

Of a prioritised one (Schaul et al. 2016, arXiv:1511.05952) a sequence is drawn in proportion to the
priority of the record that it begins with.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.core.errors import require

LEAST = 1e-6  # the priority of what cannot be learned from


class Draw(NamedTuple):
    """Sequences that were drawn."""

    records: Any  # leaves [L, M, ...]
    first: Int[Array, "M"]  # where each begins, for `prioritise`
    odds: Float[Array, "M"]  # of drawing it, 1 where they are as those of the average sequence


class Replay(eqx.Module):
    """The newest chunks of experience, `[T, B, ...]` each, in arrays of `capacity` records.

    Step `t` of environment `b` lies at `t * B + b`, chunk after chunk, so that a chunk is written
    in place in one go and a sequence of steps is found by adding B. Chunks have one shape all
    along; records that do not make up a whole chunk stay unused.
    """

    data: Any  # leaves [capacity, ...]
    chunks: Int[Array, ""]  # ever added
    priority: Float[Array, "capacity"] | None = None  # positive where something was written

    @staticmethod
    def empty(record: Any, capacity: int, prioritised: bool = False) -> "Replay":
        """Room for `capacity` records like `record`, a pytree of arrays or of their shapes."""
        require(capacity < 2**31, f"a replay of {capacity:,} steps, expected less than 2**31")
        data = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), record)
        return Replay(data, jnp.int32(0), jnp.zeros(capacity) if prioritised else None)

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
        """Writes leaves `[T, B, ...]` over the oldest chunk. Their priority is the highest that
        there is, so that what is new is drawn soon."""
        steps, num_envs = jax.tree.leaves(chunk)[0].shape[:2]
        at = self.chunks % self._slots(steps, num_envs) * (steps * num_envs)

        def write(data: Array, new: Array) -> Array:
            new = new.reshape(-1, *new.shape[2:]).astype(data.dtype)
            return jax.lax.dynamic_update_slice_in_dim(data, new, at, 0)

        priority = self.priority
        if priority is not None:
            highest = jnp.where(self.chunks == 0, 1.0, priority.max())
            priority = write(priority, jnp.full((steps, num_envs), highest))
        return Replay(jax.tree.map(write, self.data, chunk), self.chunks + 1, priority)

    def prioritise(self, first: Int[Array, "M"], priority: Float[Array, "M"]) -> "Replay":
        """The same with other priorities, positive, of the sequences that begin there. Where one
        is not finite the sequence is hardly drawn again."""
        assert self.priority is not None
        priority = jnp.where(jnp.isfinite(priority), priority, LEAST)
        return Replay(self.data, self.chunks, self.priority.at[first].set(priority))

    def sample(
        self,
        key: PRNGKeyArray,
        count: int,
        *,
        chunk: tuple[int, int],
        length: int = 1,
        stride: int = 1,
    ) -> Draw:
        """Draws `count` sequences of `length` steps with replacement: uniformly, or by priority,
        one from each of `count` equal parts of the sum of priorities.

        `chunk` is the (T, B) that was added each time. A sequence starts at any multiple of
        `stride` steps after the oldest one, and may run from one chunk into the next that was
        added. At least one chunk must have been added.
        """
        steps, num_envs = chunk
        require(
            length <= steps, f"sequences of {length} steps, expected at most the {steps} collected"
        )
        slots = self._slots(steps, num_envs)
        ring, full = slots * steps, self.chunks >= slots
        filled = jnp.minimum(self.chunks, slots) * steps
        oldest = jnp.where(full, self.chunks % slots * steps, 0)
        starts = (filled - length) // stride + 1
        if self.priority is None:
            key_start, key_env = jax.random.split(key)
            start = oldest + stride * jax.random.randint(key_start, (count,), 0, starts)
            env, odds = jax.random.randint(key_env, (count,), 0, num_envs), jnp.ones(count)
        else:
            age = (jnp.arange(ring) - oldest) % ring
            begins = (age % stride == 0) & (age <= filled - length)
            row, odds = _by_weight(
                key, count, self.priority[: ring * num_envs] * jnp.repeat(begins, num_envs)
            )
            start, env, odds = row // num_envs, row % num_envs, odds * starts * num_envs
        rows = (start + jnp.arange(length)[:, None]) % ring * num_envs + env
        return Draw(jax.tree.map(lambda x: x[rows], self.data), rows[0], odds)


def _by_weight(
    key: PRNGKeyArray, count: int, weight: Float[Array, "R"]
) -> tuple[Int[Array, "M"], Float[Array, "M"]]:
    """Draws one row from each of `count` equal parts of the sum of weights; and the share of each
    row drawn in that sum."""
    upto = jnp.cumsum(weight)
    part = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count
    row = jnp.searchsorted(upto, part * upto[-1], side="right")
    # Sums are rounded, and may lead to a row of no weight, or past all.
    row = jnp.where(weight.at[row].get(mode="fill", fill_value=0) > 0, row, weight.argmax())
    return row, weight[row] / upto[-1]
