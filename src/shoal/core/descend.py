"""One gradient step for every algorithm: averaged over devices, checked, clipped, applied."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from shoal.core.parallel import pmean


class Optimizer(eqx.Module):
    """Adam's moments, and how many updates were skipped because a gradient was not finite."""

    moments: Any
    skipped: Int[Array, ""]
    skipped_in_a_row: Int[Array, ""]


# eps_root keeps the square root differentiable at 0, for gradients through whole updates.
_adam = optax.scale_by_adam(eps=1e-5, eps_root=1e-16)


def init_optimizer(params: Any) -> Optimizer:
    """A fresh optimizer for `params`, a pytree of arrays."""
    zero = jnp.zeros((), jnp.int32)
    return Optimizer(_adam.init(params), zero, zero)


def descend(
    loss_fn: Callable[[Any], tuple[Float[Array, ""], Any]],
    params: Any,
    optimizer: Optimizer,
    *,
    learning_rate: Float[Array, ""] | float,
    max_grad_norm: Float[Array, ""] | float,
) -> tuple[Any, Optimizer, dict[str, Array]]:
    """Takes one Adam step down `loss_fn(params) -> (loss, metrics)`.

    The gradient is averaged over devices and scaled to a global norm of at most `max_grad_norm`.
    A gradient with a NaN or an infinity changes nothing and is counted.
    """
    (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    params, optimizer, norm = apply_gradient(
        params, grads, optimizer, learning_rate=learning_rate, max_grad_norm=max_grad_norm
    )
    return params, optimizer, {"loss": loss, "grad_norm": norm, **metrics}


def apply_gradient(
    params: Any,
    grads: Any,
    optimizer: Optimizer,
    *,
    learning_rate: Float[Array, ""] | float,
    max_grad_norm: Float[Array, ""] | float,
) -> tuple[Any, Optimizer, Float[Array, ""]]:
    """The second half of `descend`, for gradients that no loss gave (evolution strategies)."""
    grads = pmean(grads)
    norm = optax.tree.norm(grads)
    finite: Bool[Array, ""] = jnp.isfinite(norm)
    scale = jnp.minimum(1.0, max_grad_norm / jnp.maximum(norm, 1e-8))
    clipped = jax.tree.map(lambda g: g * scale, grads)
    updates, moments = _adam.update(clipped, optimizer.moments)
    updated = jax.tree.map(lambda p, u: p - learning_rate * u, params, updates)
    params, moments = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        (updated, moments),
        (params, optimizer.moments),
    )
    skipped = Optimizer(
        moments,
        optimizer.skipped + ~finite,
        jnp.where(finite, 0, optimizer.skipped_in_a_row + 1),
    )
    return params, skipped, norm
