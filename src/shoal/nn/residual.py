r"""Residual layers, which stay easy to train where they are wide or many.

    x <- W_0 o,    x <- x + W_2 act(W_1 norm(x)) for each block,    out = norm(x)

with `norm` a layer norm and W_1 four times as wide as x. The network of SimBa, Lee et al. 2024,
arXiv:2410.09754, which sees observations at mean 0, deviation 1 (`normalise_observations`).
"""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.core.errors import require
from shoal.nn.layer_norm import LayerNorm
from shoal.nn.mlp import ACTIVATIONS, Activation, Linear

EXPANSION = 4  # widths of x in the middle of a block


class Block(eqx.Module):
    """`x + contract(act(expand(norm(x))))`, `[M, D] -> [M, D]`."""

    norm: LayerNorm
    expand: Linear
    contract: Linear

    def __init__(self, size: int, expansion: int = EXPANSION, *, key: PRNGKeyArray):
        key_expand, key_contract = jax.random.split(key)
        self.norm = LayerNorm(size)
        # Weights of variance 2 / inputs, as He et al. 2015 draw them.
        gain = (2 * expansion) ** 0.5
        self.expand = Linear(size, expansion * size, gain, key=key_expand)
        self.contract = Linear(expansion * size, size, 2**0.5, key=key_contract)

    def __call__(self, x: Float[Array, "M D"], activation: Activation) -> Float[Array, "M D"]:
        return x + self.contract(ACTIVATIONS[activation](self.expand(self.norm(x))))


class ResidualMLP(eqx.Module):
    """A residual block for each of `hidden`, which are all of one width: a torso, not a head."""

    first: Linear
    blocks: tuple[Block, ...]
    last: LayerNorm
    activation: Activation = eqx.field(static=True)
    size_out: int = eqx.field(static=True)

    def __init__(
        self, size_in: int, hidden: tuple[int, ...], activation: Activation, *, key: PRNGKeyArray
    ):
        require(
            len(set(hidden)) == 1,
            f"hidden is {hidden}, expected one width for each residual block, all the same",
        )
        key_first, *keys = jax.random.split(key, 1 + len(hidden))
        self.size_out = hidden[0]
        self.first = Linear(size_in, self.size_out, 1.0, key=key_first)
        self.blocks = tuple(Block(self.size_out, key=k) for k in keys)
        self.last = LayerNorm(self.size_out)
        self.activation = activation

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        x = self.first(x)
        for block in self.blocks:
            x = block(x, self.activation)
        return self.last(x)
