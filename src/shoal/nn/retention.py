r"""Retention over agents: each reads what all, or those before it, have written.

    S_i = sum_j k_j v_j^T,    x_i' = W_o (silu(W_g y_i) * norm(q_i^T S_i))

for each of several heads, with q = W_q y of who asks and k = W_k x, v = W_v x of who is read; j
runs over all agents or, in turn, up to i. This is attention without its softmax: what was written
is a matrix of one size, however many agents wrote, so that the last agent reads it at the same cost
as the first.
Sun et al. 2023, arXiv:2307.08621, for agents Mahjoub et al. 2024, arXiv:2410.01706.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry
from shoal.nn.agent_network import AgentIds, AgentNetwork
from shoal.nn.convolution import Image
from shoal.nn.layer_norm import EPSILON, LayerNorm
from shoal.nn.mlp import Activation, Linear
from shoal.nn.residual import Block
from shoal.nn.sharing import Groups

Written = Float[Array, "*B H D D"]


def by_row(layer: Callable[[Array], Array], x: Float[Array, "*B in"]) -> Float[Array, "*B out"]:
    """A layer of one flat batch axis, on any number of axes."""
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


class Retention(eqx.Module):
    """What agents read of what was written, `[*B, N, E]`, by heads of D numbers: E is H * D."""

    query: Linear
    key: Linear
    value: Linear
    gate: Linear
    out: Linear
    heads: int = eqx.field(static=True)
    in_turn: bool = eqx.field(static=True)

    def __init__(self, heads: int, width: int, in_turn: bool, *, key: PRNGKeyArray):
        layers = [Linear(width, width, 1.0, key=k) for k in jax.random.split(key, 5)]
        self.query, self.key, self.value, self.gate, self.out = layers
        self.heads = heads
        self.in_turn = in_turn

    def __call__(
        self, asking: Float[Array, "*B N E"], x: Float[Array, "*B N E"], before: Written | None
    ) -> tuple[Float[Array, "*B N E"], Written]:
        """What agents read of `x` and of what was written `before`; and both together."""
        query, key, value = (
            self._by_head(layer, x)
            for layer, x in ((self.query, asking), (self.key, x), (self.value, x))
        )
        turned = jnp.swapaxes(key, -1, -2)
        written = turned @ value if before is None else before + turned @ value
        if not self.in_turn:
            read = query @ written
        else:
            read = _in_turn(query, key, value)
            read = read if before is None else read + query @ before
        centred = read - read.mean(-1, keepdims=True)
        read = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        read = jnp.swapaxes(read, -2, -3).reshape(asking.shape)
        return by_row(self.out, jax.nn.silu(by_row(self.gate, asking)) * read), written

    def _by_head(self, layer: Linear, x: Float[Array, "*B N E"]) -> Float[Array, "*B H N D"]:
        out = by_row(layer, x)
        return jnp.swapaxes(out.reshape(*out.shape[:-1], self.heads, -1), -2, -3)


def _in_turn(
    query: Float[Array, "*B N D"], key: Float[Array, "*B N D"], value: Float[Array, "*B N D"]
) -> Float[Array, "*B N D"]:
    """What each reads of what is written up to itself, by pairs of agents or by a matrix for each,
    whichever are fewer numbers."""
    if query.shape[-2] <= 2 * query.shape[-1] ** 2:
        return jnp.tril(query @ jnp.swapaxes(key, -1, -2)) @ value
    written = jnp.cumsum(key[..., :, None] * value[..., None, :], -3)
    return (query[..., None, :] @ written)[..., 0, :]


class Mixing(eqx.Module):
    """`x <- x + retention(norm(x))`, and then a residual block for each agent."""

    norm: LayerNorm
    retention: Retention
    feed: Block
    activation: Activation = eqx.field(static=True)

    def __init__(self, heads: int, width: int, activation: Activation, *, key: PRNGKeyArray):
        key_retention, key_feed = jax.random.split(key)
        self.norm = LayerNorm(width)
        self.retention = Retention(heads, width, in_turn=False, key=key_retention)
        self.feed = Block(width, 1, key=key_feed)
        self.activation = activation

    def __call__(self, x: Float[Array, "*B N E"]) -> Float[Array, "*B N E"]:
        seen = by_row(self.norm, x)
        x = x + self.retention(seen, seen, None)[0]
        return by_row(lambda x: self.feed(x, self.activation), x)


class RetentionNetwork(eqx.Module):
    """`[.., N, in] -> [.., N, out]` of agents who hear each other: an `AgentNetwork` of what each
    sees, then `blocks` of retention over all."""

    own: AgentNetwork
    blocks: tuple[Mixing, ...]
    norm: LayerNorm
    head: Linear

    def __init__(
        self,
        size_in: int,
        size_out: int,
        groups: Groups,
        *,
        blocks: int,
        heads: int,
        head_size: int,
        images: tuple[Image, ...] = (),
        key: PRNGKeyArray,
        **shape: Any,
    ):
        key_own, key_head, *keys = jax.random.split(key, 2 + blocks)
        width, activation = heads * head_size, shape["activation"]
        self.own = AgentNetwork(size_in, width, groups, images=images, key=key_own, **shape)
        self.blocks = tuple(Mixing(heads, width, activation, key=k) for k in keys)
        self.norm = LayerNorm(width)
        self.head = Linear(width, size_out, 1.0, key=key_head)

    @property
    def groups(self) -> Groups:
        """Who shares parameters."""
        return self.own.groups

    @property
    def ids(self) -> AgentIds:
        """The agents' numbers, as inputs."""
        return self.own.ids

    def initial_carry(self) -> Carry:
        """That of what each agent sees."""
        return self.own.initial_carry()

    def step(self, x: Float[Array, "*B N in"], carry: Carry) -> tuple[Array, Carry]:
        """One time step for any number of environments."""
        out, carry = self.own.step(x, carry)
        return self._mix(out), carry

    def unroll(
        self, x: Float[Array, "T B N in"], carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "T B N out"]:
        """T time steps, from `carry`; where `starts`, the carry is reset before the step."""
        return self._mix(self.own.unroll(x, carry, starts))

    def _mix(self, x: Float[Array, "*B N E"]) -> Float[Array, "*B N out"]:
        for block in self.blocks:
            x = block(x)
        return by_row(self.head, by_row(self.norm, x))
