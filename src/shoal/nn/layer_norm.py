"""Layers normalised sample by sample, which bounds what a network can say of what it never saw.

    out = act(norm(W x)) for each layer

Ba et al. 2016, arXiv:1607.06450.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.nn.mlp import ACTIVATIONS, MLP, Activation

EPSILON = 1e-6


class LayerNorm(eqx.Module):
    r"""$y = s \frac{x - m}{\sqrt{v + \epsilon}} + b$, with the mean and variance of each sample."""

    scale: Float[Array, "D"]
    bias: Float[Array, "D"]

    def __init__(self, size: int):
        self.scale, self.bias = jnp.ones(size), jnp.zeros(size)

    def __call__(self, x: Float[Array, "M D"]) -> Float[Array, "M D"]:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        return self.scale * centred * jax.lax.rsqrt(variance + EPSILON) + self.bias


class LayerNormMLP(eqx.Module):
    """Linear layers, each normalised and then followed by the activation: a torso, not a head."""

    mlp: MLP
    norms: tuple[LayerNorm, ...]

    def __init__(
        self, size_in: int, hidden: tuple[int, ...], activation: Activation, *, key: PRNGKeyArray
    ):
        self.mlp = MLP(size_in, hidden, activation, key=key)
        self.norms = tuple(LayerNorm(size) for size in hidden)

    @property
    def size_out(self) -> int:
        return self.mlp.size_out

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        for layer, norm in zip(self.mlp.layers, self.norms):
            x = ACTIVATIONS[self.mlp.activation](norm(layer(x)))
        return x
