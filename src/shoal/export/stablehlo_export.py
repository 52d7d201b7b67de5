"""A policy as StableHLO: the compiler's own language, serialised by `jax.export`.

    exported = jax.export.deserialize(Path("policy.stablehlo").read_bytes())
    out = exported.call(obs)                # a dict; recurrent: exported.call(obs, carry)

The stable form of MLIR that XLA reads: https://openxla.org/stablehlo. JAX promises to read such a
file for six months, and that the same file runs on every platform that it names.
"""

import jax
from jax import export

from shoal.export.policy_function import PolicyFunction

PLATFORMS = ("cpu", "cuda")


def to_stablehlo(function: PolicyFunction) -> bytes:
    """The file's content: positional arguments in the order of `function.inputs`, any batch."""
    exported = export.export(jax.jit(function.call), platforms=PLATFORMS)(*function.arguments())
    return bytes(exported.serialize())
