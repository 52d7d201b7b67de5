"""A gated recurrent unit and its unroll over time (Cho et al. 2014, arXiv:1406.1078)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.nn.mlp import Linear


class GRU(eqx.Module):
    r"""One step of a gated recurrent unit for a batch of hidden states.

    $$r, z = \sigma(W x + U h), \quad n = \tanh(W_n x + r \odot U_n h), \quad
    h' = (1 - z) \odot n + z \odot h$$

    The product `W x` does not depend on `h`, so `project` computes it for all time steps at once.
    """

    inputs: Linear
    hidden: Linear
    size: int = eqx.field(static=True)

    def __init__(self, size_in: int, size: int, *, key: PRNGKeyArray):
        key_inputs, key_hidden = jax.random.split(key)
        self.inputs = Linear(size_in, 3 * size, 1.0, key=key_inputs)
        self.hidden = Linear(size, 3 * size, 1.0, key=key_hidden)
        self.size = size

    def project(self, x: Float[Array, "M in"]) -> Float[Array, "M {3*self.size}"]:
        """The part of a step that depends on the input alone."""
        return self.inputs(x)

    def __call__(
        self, projected: Float[Array, "M {3*self.size}"], h: Float[Array, "M H"]
    ) -> Float[Array, "M H"]:
        """One step from a projected input."""
        x_r, x_z, x_n = jnp.split(projected, 3, -1)
        h_r, h_z, h_n = jnp.split(self.hidden(h), 3, -1)
        reset, update = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        candidate = jnp.tanh(x_n + reset * h_n)
        return (1 - update) * candidate + update * h


def unroll(
    cell: GRU,
    projected: Float[Array, "T M {3*cell.size}"],
    h: Float[Array, "M H"],
    starts: Bool[Array, "T M"],
) -> Float[Array, "T M H"]:
    """Hidden states after each step. Where `starts`, an episode begins: the state is zero first."""

    def step(h, inputs):
        x, start = inputs
        h = cell(x, jnp.where(start[:, None], 0.0, h))
        return h, h

    return jax.lax.scan(step, h, (projected, starts))[1]
