"""Parts of natural-gradient methods: products with the Fisher matrix, linear systems solved by such
products alone, and a search along a direction (Kakade 2001; Schulman et al. 2015,
arXiv:1502.05477, appendix C).

Parameters are one vector, `[P]`, or a row for each of several groups that share nothing, `[G, P]`,
whose matrix has a block a row: each row is then solved and searched as if it were alone.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Rows = Float[Array, "*G P"]


def fisher_vector_product(
    kl: Callable[[Rows], Float[Array, ""]],
    params: Rows,
    vector: Rows,
    damping: Float[Array, ""] | float = 0.0,
) -> Rows:
    r"""$(F + \mathrm{damping} \, I) v$, where $F$ is the second derivative of a divergence.

    $$F v = \frac{\partial}{\partial \theta} \left(\nabla_\theta
    \overline{\mathrm{KL}}(\pi_{old} \| \pi_\theta) \right) v
    \quad \text{at } \theta = \theta_{old}$$

    Forward over reverse: the matrix is never made, and a product costs about two gradients.

    Args:
        kl: the mean divergence from the old policy, held constant, to the policy of its argument;
            of several groups, the sum of their means.
        params: the old policy's parameters. Elsewhere the product is with the second derivative
            of `kl`, which is not the Fisher matrix and may have negative eigenvalues.
        vector: what is multiplied.
        damping: added to each eigenvalue.
    """
    return jax.jvp(jax.grad(kl), (params,), (vector,))[1] + damping * vector


def conjugate_gradient(
    matvec: Callable[[Rows], Rows],
    b: Rows,
    max_steps: int = 10,
    tolerance: Float[Array, ""] | float = 1e-5,
) -> Rows:
    r"""Solves $A x = b$ for a symmetric positive definite $A$ (Hestenes and Stiefel 1952).

    It starts at 0 and stops after `max_steps` products, once $\|b - A x\| \leq \mathrm{tolerance}
    \, \|b\|$, or before a direction $p$ with $p^\top A p \leq 0$, of which rounding makes some
    where $A$ is nearly singular: x is finite then too, and the best found so far.

    Args:
        matvec: $x \mapsto A x$, row by row.
        b: the right-hand side.
        max_steps: the most products; in exact arithmetic as many as $A$ has distinct eigenvalues
            are enough.
        tolerance: what remains of $b$, as a share of its norm.
    """
    enough = tolerance**2 * _dot(b, b)

    def unsolved(carry):
        *_, step, going = carry
        return going.any() & (step < max_steps)

    def improve(carry):
        x, residual, direction, squared, step, going = carry
        image = matvec(direction)
        curvature = _dot(direction, image)
        going = going & (curvature > 0)
        alpha = jnp.where(going, squared / jnp.where(going, curvature, 1.0), 0.0)[..., None]
        x, residual = x + alpha * direction, residual - alpha * image
        new_squared = _dot(residual, residual)
        turn = jnp.where(going, new_squared / jnp.where(going, squared, 1.0), 0.0)
        direction = residual + turn[..., None] * direction
        return x, residual, direction, new_squared, step + 1, going & (new_squared > enough)

    squared = _dot(b, b)
    start = (jnp.zeros_like(b), b, b, squared, jnp.array(0), squared > enough)
    return jax.lax.while_loop(unsolved, improve, start)[0]


def backtracking_line_search(
    accepts: Callable[[Rows], Bool[Array, "*G"]],
    params: Rows,
    step: Rows,
    shrink: Float[Array, ""] | float = 0.8,
    max_tries: int = 10,
) -> tuple[Rows, Float[Array, "*G"]]:
    r"""The first of $\theta + s^k \, \mathrm{step}$, $k = 0, 1, \dots$, that is accepted.

    Args:
        accepts: whether these parameters will do, row by row; for a trust region, whether the
            surrogate improved and the divergence is within its limit.
        params: $\theta$, which is returned where no try is accepted.
        step: the whole step.
        shrink: $s$, in (0, 1).
        max_tries: the number of tries.

    Returns:
        The parameters, and the share $s^k$ of the step that was taken, or 0.
    """

    def at(share):
        return params + share[..., None] * step

    def searching(carry):
        _, tries, accepted = carry
        return ~accepted.all() & (tries < max_tries)

    def try_less(carry):
        share, tries, accepted = carry
        share = jnp.where(accepted, share, shrink**tries)
        return share, tries + 1, accepted | accepts(at(share))

    none = jnp.zeros(params.shape[:-1])
    start = (none.astype(step.dtype), jnp.array(0), none.astype(bool))
    share, _, accepted = jax.lax.while_loop(searching, try_less, start)
    share = jnp.where(accepted, share, 0.0)
    return jnp.where(accepted[..., None], at(share), params), share


def _dot(a: Rows, b: Rows) -> Float[Array, "*G"]:
    return (a * b).sum(-1)
