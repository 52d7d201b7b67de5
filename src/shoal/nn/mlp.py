"""Linear layers and perceptrons, on one flat batch axis: `[M, in] -> [M, out]`.

Callers flatten time, environments and agents to one axis first; on a CPU that halves the time of
a small network.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.nn.orthogonal import orthogonal

Activation = Literal["tanh", "relu", "gelu", "silu"]
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu}
MAX_HEAD = 16  # outputs of a layer that are computed as rows
MIN_COPIED, MAX_COPIED = 256, 2**20  # rows, numbers: a copy of others takes as long as it saves


@jax.custom_jvp
def _product(x: Float[Array, "M in"], weight: Float[Array, "in out"]) -> Float[Array, "M out"]:
    """`x @ weight`. Its weight gradient `x.T @ g` is made of a transposed copy of x on a CPU, which
    takes three quarters of the time: XLA's fast product does not read its left side by columns."""
    return x @ weight


@_product.defjvp
def _product_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Float[Array, "M out"], Float[Array, "M out"]]:
    (x, weight), (dx, dweight) = primals, tangents
    product, by_input = _product(x, weight), _product(dx, weight)
    copied = x.shape[0] >= MIN_COPIED and x.shape[1] % 64 == 0 and x.size <= MAX_COPIED
    if not copied or jax.default_backend() != "cpu":
        return product, by_input + x @ dweight
    columns = jax.lax.optimization_barrier(x.T)
    by_weight = jax.lax.dot_general(columns, dweight, (((0,), (0,)), ((), ())))
    return product, by_input + by_weight


class Linear(eqx.Module):
    """`x @ weight + bias`, orthogonal weights of the given gain, zero bias."""

    weight: Float[Array, "in out"]
    bias: Float[Array, "out"]

    def __init__(self, size_in: int, size_out: int, gain: float | Array, *, key: PRNGKeyArray):
        self.weight = orthogonal(key, size_in, size_out, gain)
        self.bias = jnp.zeros(size_out)

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        size_in, size_out = self.weight.shape
        if size_out >= size_in:
            return _product(x, self.weight) + self.bias
        # Against the turned weight the gradient is g.T @ x, five times as fast on a CPU as x.T @ g
        # where g is narrow. The barrier keeps the compiler from turning it back.
        turned = jax.lax.optimization_barrier(self.weight.T)
        if size_out > MAX_HEAD:
            return jax.lax.dot_general(x, turned, (((1,), (1,)), ((), ()))) + self.bias
        # Turned as well, the result of a head and its gradient are a few long rows.
        rows = jax.lax.dot_general(turned, x, (((1,), (1,)), ((), ())))
        return jax.lax.optimization_barrier(rows).T + self.bias


class MLP(eqx.Module):
    """Linear layers, each followed by the activation (the last one too: a torso, not a head)."""

    layers: tuple[Linear, ...]
    activation: Activation = eqx.field(static=True)
    size_out: int = eqx.field(static=True)

    def __init__(
        self, size_in: int, hidden: tuple[int, ...], activation: Activation, *, key: PRNGKeyArray
    ):
        sizes = (size_in, *hidden)
        gain = 2**0.5
        self.layers = tuple(
            Linear(a, b, gain, key=k)
            for a, b, k in zip(sizes[:-1], sizes[1:], jax.random.split(key, max(1, len(hidden))))
        )
        self.activation = activation
        self.size_out = sizes[-1]

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x


class FeedForward(eqx.Module):
    """Hidden layers of rectifiers and a linear head, `[M, in] -> [M, out]`."""

    torso: MLP
    head: Linear

    def __init__(
        self,
        size_in: int,
        hidden: tuple[int, ...],
        size_out: int,
        gain: float | Array = 1.0,
        *,
        key: PRNGKeyArray,
    ):
        key_torso, key_head = jax.random.split(key)
        self.torso = MLP(size_in, hidden, "relu", key=key_torso)
        self.head = Linear(self.torso.size_out, size_out, gain, key=key_head)

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        return self.head(self.torso(x))
