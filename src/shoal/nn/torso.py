"""Torsos of the user's own, in the place of a network's layers: `torso="my.py:Attention"`.

What makes one, a class of modules or a function, is called with the number of inputs and a key. It
makes a module `[M, in] -> [M, size_out]`, on one flat batch axis, that says its `size_out`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.core import addresses
from shoal.core.errors import UserError, require
from shoal.core.names import heading


def torso_address(make: str | Callable[..., Any]) -> str:
    """What a field keeps: where the maker is found again, and `""` where there is none.

    Raises:
        UserError: there is nothing at that address, or a callable has none.
    """
    if isinstance(make, str):
        return addresses.resolve(make) if make else ""
    name = getattr(make, "__qualname__", "<")
    require("<" not in name, f"torso is {make}, expected a class or function of a module or file")
    return addresses.address_of(make)


class Torso(eqx.Module):
    """A module of the user's: its arrays are parameters, and whatever else it holds is static."""

    arrays: Any
    static: Any = eqx.field(static=True)
    size_out: int = eqx.field(static=True)

    @staticmethod
    def of(address: str, size_in: int, key: PRNGKeyArray) -> "Torso":
        """The torso that is made at an address.

        Raises:
            UserError: making or calling it raises, or it gives another shape than it says.
        """
        make, name = addresses.find_own(address), heading(address)
        try:
            module = make(size_in, key)
            seen = jax.ShapeDtypeStruct((2, size_in), jnp.float32)
            out = eqx.filter_eval_shape(lambda m, x: m(x), module, seen)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"torso {name}: {addresses.said(error)}") from error
        size = getattr(module, "size_out", None)
        right = isinstance(size, int) and getattr(out, "shape", None) == (2, size)
        gives = getattr(out, "shape", type(out).__name__)
        require(right, f"torso {name} gives {gives} of (2, {size_in}), and its size_out is {size}")
        arrays, static = eqx.partition(module, lambda x: isinstance(x, jax.Array | np.ndarray))
        return Torso(arrays, static, int(size))  # pyright: ignore

    def __call__(self, x: Float[Array, "M in"]) -> Float[Array, "M out"]:
        return eqx.combine(self.arrays, self.static)(x)
