"""Parts of natural-gradient methods, over parameters of any structure: products with the Fisher
matrix, linear systems solved by such products alone, and a search along a direction (Kakade 2001;
Schulman et al. 2015, arXiv:1502.05477, appendix C)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

Vector = PyTree[Float[Array, "..."]]  # an array, or a structure of them such as parameters


def fisher_vector_product(
    kl: Callable[[Vector], Float[Array, ""]],
    params: Vector,
    vector: Vector,
    damping: Float[Array, ""] | float = 0.0,
) -> Vector:
    r"""$(F + \mathrm{damping} \, I) v$, where $F$ is the second derivative of a divergence.

    $$F v = \frac{\partial}{\partial \theta} \left(\nabla_\theta
    \overline{\mathrm{KL}}(\pi_{old} \| \pi_\theta) \right) v
    \quad \text{at } \theta = \theta_{old}$$

    Forward over reverse: the matrix is never made, and a product costs about two gradients.

    Args:
        kl: the mean divergence from the old policy, held constant, to the policy of its argument.
        params: the old policy's parameters. Elsewhere the product is with the second derivative
            of `kl`, which is not the Fisher matrix and may have negative eigenvalues.
        vector: what is multiplied.
        damping: added to each eigenvalue.
    """
    product = jax.jvp(jax.grad(kl), (params,), (vector,))[1]
    return optax.tree.add_scale(product, damping, vector)


def conjugate_gradient(
    matvec: Callable[[Vector], Vector],
    b: Vector,
    max_steps: int = 10,
    tolerance: Float[Array, ""] | float = 1e-5,
) -> Vector:
    r"""Solves $A x = b$ for a symmetric positive definite $A$ (Hestenes and Stiefel 1952).

    It starts at 0 and stops after `max_steps` products, once $\|b - A x\| \leq \mathrm{tolerance}
    \, \|b\|$, or before a direction $p$ with $p^\top A p \leq 0$, of which rounding makes some
    where $A$ is nearly singular: x is finite then too, and the best found so far.

    Args:
        matvec: $x \mapsto A x$.
        b: the right-hand side.
        max_steps: the most products; in exact arithmetic as many as $A$ has distinct eigenvalues
            are enough.
        tolerance: what remains of $b$, as a share of its norm.
    """
    vdot, add_scale = optax.tree.vdot, optax.tree.add_scale
    enough = tolerance**2 * vdot(b, b)

    def unsolved(carry):
        *_, squared, step, convex = carry
        return (squared > enough) & (step < max_steps) & convex

    def improve(carry):
        x, residual, direction, squared, step, _ = carry
        image = matvec(direction)
        curvature = vdot(direction, image)
        convex = jnp.greater(curvature, 0)
        alpha = jnp.where(convex, squared / jnp.where(convex, curvature, 1.0), 0.0)
        x, residual = add_scale(x, alpha, direction), add_scale(residual, -alpha, image)
        new_squared = vdot(residual, residual)
        direction = add_scale(residual, new_squared / squared, direction)
        return x, residual, direction, new_squared, step + 1, convex

    start = (optax.tree.zeros_like(b), b, b, vdot(b, b), jnp.array(0), jnp.array(True))
    return jax.lax.while_loop(unsolved, improve, start)[0]


def backtracking_line_search(
    accepts: Callable[[Vector], Bool[Array, ""]],
    params: Vector,
    step: Vector,
    shrink: Float[Array, ""] | float = 0.8,
    max_tries: int = 10,
) -> tuple[Vector, Float[Array, ""]]:
    r"""The first of $\theta + s^k \, \mathrm{step}$, $k = 0, 1, \dots$, that is accepted.

    Args:
        accepts: whether these parameters will do; for a trust region, whether the surrogate
            improved and the divergence is within its limit.
        params: $\theta$, which is returned where no try is accepted.
        step: the whole step.
        shrink: $s$, in (0, 1).
        max_tries: the number of tries.

    Returns:
        The parameters, and the share $s^k$ of the step that was taken, or 0.
    """

    def at(share):
        return optax.tree.add_scale(params, share, step)

    def refused(carry):
        _, tries, accepted = carry
        return ~accepted & (tries < max_tries)

    def try_less(carry):
        _, tries, _ = carry
        share = shrink**tries
        return share, tries + 1, accepts(at(share))

    shrink = jnp.asarray(shrink)
    start = (jnp.ones_like(shrink), jnp.array(0), jnp.array(False))
    share, _, accepted = jax.lax.while_loop(refused, try_less, start)
    share = jnp.where(accepted, share, 0.0)
    return jax.tree.map(lambda old, new: jnp.where(accepted, new, old), params, at(share)), share
