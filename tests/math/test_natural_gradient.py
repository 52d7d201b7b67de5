"""Fisher products against the explicit matrix, linear systems against LAPACK, searches by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.math.natural_gradient import (
    backtracking_line_search,
    conjugate_gradient,
    fisher_vector_product,
)

OBS, HIDDEN, ACTIONS, BATCH = 3, 4, 3, 6


def net():
    """The parameters of a small network of double precision, some observations, and a vector."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float64)  # noqa: E731
    size = OBS * HIDDEN + HIDDEN + HIDDEN * ACTIONS
    return draw(size), draw(BATCH, OBS), draw(size)


def log_probs(flat, obs):
    bounds = [OBS * HIDDEN, OBS * HIDDEN + HIDDEN]
    w, b, out = jnp.split(flat, bounds)
    params = {"w": w.reshape(OBS, HIDDEN), "b": b, "out": out.reshape(HIDDEN, ACTIONS)}
    return jax.nn.log_softmax(jnp.tanh(obs @ params["w"] + params["b"]) @ params["out"])


def kl_from(params, obs):
    old = log_probs(params, obs)
    return lambda new: (jnp.exp(old) * (old - log_probs(new, obs))).sum(-1).mean()


def fisher_matrix(params, obs):
    """The mean over observations of the expected outer product of score functions."""
    score = np.asarray(jax.jacobian(lambda x: log_probs(x, obs))(params))  # [B, A, P]
    prob = np.exp(np.asarray(log_probs(params, obs)))
    return np.einsum("ba,bai,baj->ij", prob, score, score) / BATCH


def test_product_is_that_of_the_explicit_matrix():
    with jax.enable_x64(True):
        params, obs, vector = net()
        expected = fisher_matrix(params, obs) @ np.asarray(vector)
        ours = jax.jit(lambda v: fisher_vector_product(kl_from(params, obs), params, v))(vector)
        error = np.linalg.norm(ours - expected)
        assert error <= 1e-10 * np.linalg.norm(expected)
        damped = fisher_vector_product(kl_from(params, obs), params, vector, 0.3)
        np.testing.assert_allclose(damped, expected + 0.3 * vector, rtol=1e-9)


def test_natural_gradient_of_a_net_solves_the_explicit_system():
    with jax.enable_x64(True):
        params, obs, gradient = net()
        matrix = fisher_matrix(params, obs) + 0.1 * np.eye(gradient.size)

        def solve(b):
            kl = kl_from(params, obs)
            return conjugate_gradient(
                lambda v: fisher_vector_product(kl, params, v, 0.1), b, 60, 1e-12
            )

        ours = jax.jit(solve)(gradient)
        np.testing.assert_allclose(ours, np.linalg.solve(matrix, gradient), rtol=1e-8)


def test_each_row_is_solved_and_searched_as_if_it_were_alone():
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        factors = rng.normal(size=(3, 6, 6))
        blocks = jnp.asarray(factors @ factors.transpose(0, 2, 1) + np.eye(6))
        b = jnp.asarray(rng.normal(size=(3, 6)) * [[1.0], [1e3], [0.0]])
        product = lambda blocks: lambda x: jnp.einsum("...ij,...j->...i", blocks, x)  # noqa: E731
        for steps in (2, 20):
            together = conjugate_gradient(product(blocks), b, steps, 1e-10)
            alone = [conjugate_gradient(product(a), x, steps, 1e-10) for a, x in zip(blocks, b)]
            np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-9)
        limits = jnp.array([0.9, 0.3, -1.0])
        ones = jnp.ones((3, 2))
        found, share = backtracking_line_search(
            lambda x: x[:, 0] <= limits, jnp.zeros((3, 2)), ones, 0.5, 4
        )
        np.testing.assert_array_equal(share, [0.5, 0.25, 0.0])
        np.testing.assert_array_equal(found, share[:, None] * ones)


@pytest.mark.parametrize("size", [1, 5, 20])
def test_conjugate_gradient_solves_positive_definite_systems(size):
    with jax.enable_x64(True):
        rng = np.random.default_rng(size)
        basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
        matrix = basis @ np.diag(np.geomspace(1, 100, size)) @ basis.T
        b = rng.normal(size=size)
        ours = conjugate_gradient(lambda x: matrix @ x, jnp.asarray(b), 3 * size, 1e-13)
        np.testing.assert_allclose(ours, np.linalg.solve(matrix, b), rtol=1e-9)


def test_as_many_steps_as_distinct_eigenvalues_are_enough_and_fewer_are_not():
    with jax.enable_x64(True):
        diagonal = jnp.array([1.0, 1.0, 4.0, 4.0, 9.0, 9.0])
        b = jnp.arange(1.0, 7.0)
        error = [
            jnp.abs(conjugate_gradient(lambda x: diagonal * x, b, n, 0.0) - b / diagonal).max()
            for n in (2, 3)
        ]
        assert error[0] > 1e-2
        assert error[1] < 1e-12


def test_conjugate_gradient_stops_at_its_tolerance():
    diagonal, b = jnp.geomspace(1.0, 100.0, 50), jnp.ones(50)
    for tolerance in (1e-1, 1e-3):
        x = conjugate_gradient(lambda x: diagonal * x, b, 200, tolerance)
        share = jnp.linalg.norm(b - diagonal * x) / jnp.linalg.norm(b)
        assert 0.3 * tolerance < share <= 1.01 * tolerance


def test_conjugate_gradient_is_finite_where_there_is_nothing_to_solve_or_no_curvature():
    b = jnp.array([1.0, 2.0, 3.0])
    nothing = jnp.zeros_like(b)
    for matvec, right in (
        (lambda x: x, nothing),
        (jnp.zeros_like, b),
        (jnp.negative, b),
    ):
        ours = conjugate_gradient(matvec, right)
        np.testing.assert_array_equal(ours, nothing)


def test_conjugate_gradient_keeps_what_it_has_once_a_direction_has_no_curvature():
    # Along b the curvature is 2 * 4 - 0.1 = 7.9, the step |b|^2 / 7.9; the next direction's is
    # negative, for the product of the two has the sign of the determinant.
    diagonal, b = jnp.array([2.0, -0.1]), jnp.array([2.0, 1.0])
    ours = conjugate_gradient(lambda x: diagonal * x, b, 20)
    np.testing.assert_allclose(ours, 5 / 7.9 * b, rtol=1e-6)


def test_line_search_takes_the_first_share_that_is_accepted():
    params, step = jnp.array([1.0, 2.0]), jnp.array([8.0, 16.0])
    search = jax.jit(
        lambda limit: backtracking_line_search(lambda p: p[0] <= limit, params, step, 0.5, 4)
    )
    # Tries at shares 1, 1/2, 1/4, 1/8: x is 9, 5, 3, 2.
    for limit, share in ((9.0, 1.0), (5.5, 0.5), (2.0, 0.125), (1.5, 0.0)):
        found, taken = search(limit)
        np.testing.assert_allclose(taken, share, rtol=1e-6)
        np.testing.assert_allclose(found, params + share * step, rtol=1e-6)


def test_line_search_refuses_a_step_that_is_not_finite():
    params = jnp.array([1.0, 2.0])
    found, share = backtracking_line_search(
        lambda p: jnp.isfinite(p).all(), params, jnp.array([jnp.nan, 1.0])
    )
    assert share == 0
    np.testing.assert_array_equal(found, params)
