"""One gradient step for every algorithm: averaged over devices, checked, clipped, applied.

Parameters are a dictionary of networks, each with an optimizer of its own. Within a network each
group of agents that shares parameters is a row: it is clipped and, where its gradient is not
finite, skipped by itself, so that what one group meets never changes another's step.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from shoal.core.parallel import pmean

Params = dict[str, Any]

# eps_root keeps the square root differentiable at 0, for gradients through whole updates.
ADAM = optax.scale_by_adam(eps=1e-5, eps_root=1e-16)


class Optimizer(eqx.Module):
    """The moments of one network's parameters as rows `[G, P]`, and how many of each row's updates
    were skipped because a gradient was not finite."""

    moments: Any
    skipped: Int[Array, "G"]
    skipped_in_a_row: Int[Array, "G"]
    rule: optax.GradientTransformation = eqx.field(static=True)


Optimizers = dict[str, Optimizer]
Frozen = Mapping[str, Bool[Array, "G"]]  # by network: which of its groups do not move


def init_optimizer(
    params: Any, groups: int = 1, rule: optax.GradientTransformation = ADAM
) -> Optimizer:
    """A fresh optimizer for one network.

    Args:
        params: a pytree of arrays; with more than one group, all of them `[G, ...]`.
        groups: G, how many independent rows there are.
        rule: what turns a gradient into a step of rate 1, an optax transformation.
    """
    zero = jnp.zeros(groups, jnp.int32)
    return Optimizer(rule.init(rows_of(params, groups)), zero, zero, rule)


def descend(
    loss_fn: Callable[[Params], tuple[Float[Array, ""], dict[str, Array]]],
    params: Params,
    optimizers: Optimizers,
    *,
    learning_rate: Float[Array, ""] | float,
    max_grad_norm: Float[Array, ""] | float = math.inf,
    frozen: Frozen | None = None,
    name: str = "",
) -> tuple[Params, Optimizers, dict[str, Array]]:
    """Takes one step of every network down `loss_fn(params) -> (loss, metrics)`.

    Args:
        loss_fn: the loss of all of `params`, and what else to report.
        params, optimizers: by network, under the same names.
        learning_rate: the step size.
        max_grad_norm: the largest norm of a gradient, of each group of each network.
        frozen: which groups of which networks stay as they are, moments included; by default none.
        name: what the names of the loss and the norms begin with.
    """
    (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    params, optimizers, norms = apply_gradient(
        params,
        grads,
        optimizers,
        learning_rate=learning_rate,
        max_grad_norm=max_grad_norm,
        frozen=frozen,
    )
    norms = {f"{name}{norm}": value for norm, value in norms.items()}
    return params, optimizers, {f"{name}loss": loss, **norms, **metrics}


def apply_gradient(
    params: Params,
    grads: Params,
    optimizers: Optimizers,
    *,
    learning_rate: Float[Array, ""] | float,
    max_grad_norm: Float[Array, ""] | float = math.inf,
    frozen: Frozen | None = None,
    squares: Mapping[str, Float[Array, "G"]] | None = None,
) -> tuple[Params, Optimizers, dict[str, Array]]:
    """The second half of `descend`, for gradients that no loss gave (evolution strategies).

    `squares` are the sums of squares of each network's gradient, by group, where `grads` are a part
    of it: what is clipped and checked is always the whole.
    """
    stepped, moved, norms = dict(params), dict(optimizers), {}
    for network, optimizer in optimizers.items():
        stepped[network], moved[network], norm = _apply(
            params[network],
            pmean(grads[network]),
            optimizer,
            learning_rate,
            max_grad_norm,
            (frozen or {}).get(network, False),
            None if squares is None else squares[network],
        )
        norms["grad_norm" if len(optimizers) == 1 else f"{network}_grad_norm"] = norm
    return stepped, moved, norms


def _apply(
    params: Any,
    grads: Any,
    optimizer: Optimizer,
    learning_rate: Float[Array, ""] | float,
    max_grad_norm: Float[Array, ""] | float,
    frozen: Bool[Array, "G"] | bool,
    squares: Float[Array, "G"] | None,
) -> tuple[Any, Optimizer, Float[Array, ""]]:
    """One network's step; also the root of the mean square of its groups' norms."""
    groups = len(optimizer.skipped)
    old, gradient = rows_of(params, groups), rows_of(grads, groups)
    norm = jnp.sqrt((gradient**2).sum(1) if squares is None else squares)
    finite, awake = jnp.isfinite(norm), ~jnp.asarray(frozen)
    moves = finite & awake
    clipped = gradient * jnp.minimum(1.0, max_grad_norm / jnp.maximum(norm, 1e-8))[:, None]
    clipped = jnp.where(finite[:, None], clipped, 0.0)
    direction: Any  # rows, as the rule was given
    direction, moments = optimizer.rule.update(clipped, optimizer.moments, old)
    new = jnp.where(moves[:, None], old - learning_rate * direction, old)
    moments = jax.tree.map(
        lambda new, old: jnp.where(moves[:, None] if new.ndim == 2 else moves.any(), new, old),
        moments,
        optimizer.moments,
    )
    moved = Optimizer(
        moments,
        optimizer.skipped + (~finite & awake),
        jnp.where(moves, 0, optimizer.skipped_in_a_row + (~finite & awake)),
        optimizer.rule,
    )
    return from_rows(new, params), moved, jnp.sqrt((norm**2).mean())


def skip_counts(optimizers: Mapping[str, Optimizer]) -> dict[str, Array]:
    """How many updates the group that missed most was skipped in, in all and in a row."""

    def most(counts: list[Array]) -> Float[Array, ""]:
        return jnp.concatenate(counts).max().astype(jnp.float32)

    each = optimizers.values()
    return {
        "skipped_updates": most([o.skipped for o in each]),
        "skipped_in_a_row": most([o.skipped_in_a_row for o in each]),
    }


def rows_of(tree: Any, groups: int) -> Float[Array, "G P"]:
    """All parameters of each group in a row: one array is one operation, however many layers."""
    leaves = [x.reshape(groups, -1) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(leaves, 1) if leaves else jnp.zeros((groups, 0))


def from_rows(rows: Float[Array, "G P"], like: Any) -> Any:
    """The inverse of `rows_of`, in the shapes of `like`."""
    leaves, structure = jax.tree.flatten(like)
    sizes = [x.size // rows.shape[0] for x in leaves]
    bounds = [sum(sizes[:i]) for i in range(1, len(sizes))]
    parts = jnp.split(rows, bounds, 1) if leaves else []
    return structure.unflatten([p.reshape(x.shape) for p, x in zip(parts, leaves)])
