"""Linear layers and perceptrons, on one flat batch axis: `[M, in] -> [M, out]`.

Callers flatten time, environments and agents to one axis first; on a CPU that halves the time of
a small network.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Activation = Literal["tanh", "relu", "gelu", "silu"]
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu}


class Linear(eqx.Module):
    """`x @ weight + bias`, orthogonal weights of the given gain, zero bias."""

    weight: Float[Array, "in out"]
    bias: Float[Array, "out"]

    def __init__(self, size_in: int, size_out: int, gain: float, *, key: PRNGKeyArray):
        self.weight = jax.nn.initializers.orthogonal(gain)(key, (size_in, size_out))
        self.bias = jnp.zeros(size_out)

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        size_in, size_out = self.weight.shape
        if size_out >= size_in:
            return x @ self.weight + self.bias
        # Against the turned weight the gradient is g.T @ x, five times as fast on a CPU as x.T @ g
        # where g is narrow. The barrier keeps the compiler from turning it back.
        turned = jax.lax.optimization_barrier(self.weight.T)
        return jax.lax.dot_general(x, turned, (((1,), (1,)), ((), ()))) + self.bias


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
