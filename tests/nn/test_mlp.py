"""A linear layer and its derivatives of first and second order, against NumPy's algebra."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.nn import mlp
from shoal.nn.mlp import MLP, Linear

# [M, in, out]: square with many samples (a transposed copy of x), wide, heads, and one sample
SHAPES = [(300, 64, 64), (7, 64, 100), (50, 64, 5), (50, 64, 20), (33, 18, 64), (1, 64, 64)]


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer(weight: np.ndarray, bias: np.ndarray) -> Linear:
    made = Linear(*weight.shape, 1.0, key=jax.random.key(0))
    return eqx.tree_at(lambda x: (x.weight, x.bias), made, (jnp.asarray(weight), jnp.asarray(bias)))


@pytest.mark.parametrize(("M", "size_in", "size_out"), SHAPES)
def test_a_layer_its_gradient_and_its_directional_derivative(M, size_in, size_out):
    x, dx = numbers(0, M, size_in), numbers(1, M, size_in)
    weight, dweight = numbers(2, size_in, size_out), numbers(3, size_in, size_out)
    bias, dbias, g = numbers(4, size_out), numbers(5, size_out), numbers(6, M, size_out)

    def run(x, weight, bias):
        return layer(weight, bias)(x)

    close = dict(rtol=1e-4, atol=1e-4)
    out, back = jax.vjp(jax.jit(run), x, weight, bias)
    np.testing.assert_allclose(out, x @ weight + bias, **close)
    for ours, exact in zip(back(jnp.asarray(g)), (g @ weight.T, x.T @ g, g.sum(0))):
        np.testing.assert_allclose(ours, exact, **close)
    tangent = jax.jvp(jax.jit(run), (x, weight, bias), (dx, dweight, dbias))[1]
    np.testing.assert_allclose(tangent, dx @ weight + x @ dweight + dbias, **close)


@pytest.mark.parametrize(("M", "size_in", "size_out"), SHAPES)
def test_second_derivatives_in_either_order(M, size_in, size_out):
    """The Hessian of |x W|^2 / 2 maps a direction V to x^T x V."""
    x, weight = numbers(0, M, size_in), numbers(1, size_in, size_out)
    direction, zero = numbers(2, size_in, size_out), np.zeros(size_out, np.float32)

    def loss(weight):
        return 0.5 * (layer(weight, zero)(jnp.asarray(x)) ** 2).sum()

    def slope(weight):
        return (jax.grad(loss)(weight) * direction).sum()

    forward_over_reverse = jax.jvp(jax.grad(loss), (weight,), (direction,))[1]
    exact = x.T.astype(np.float64) @ (x @ direction)
    for ours in (forward_over_reverse, jax.grad(slope)(weight)):
        np.testing.assert_allclose(ours, exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())


def test_layers_that_differ_run_as_one_batch():
    x, weight = numbers(0, 3, 300, 64), numbers(1, 3, 64, 64)
    zero = np.zeros(64, np.float32)

    def loss(weight, x):
        return layer(weight, zero)(x).sum()

    grads = jax.vmap(jax.grad(loss))(jnp.asarray(weight), jnp.asarray(x))
    exact = np.broadcast_to(x.sum(1)[..., None], weight.shape)
    np.testing.assert_allclose(grads, exact, rtol=1e-4, atol=1e-4)


def test_batches_too_large_to_copy_have_the_same_gradient(monkeypatch):
    net = MLP(18, (64, 64), "tanh", key=jax.random.key(0))
    x = jnp.asarray(numbers(0, 300, 18))

    def gradient():
        return jax.grad(lambda net: (net(x) ** 2).mean())(net)

    copied = gradient()
    monkeypatch.setattr(mlp, "MAX_COPIED", 0)
    for a, b in zip(jax.tree.leaves(copied), jax.tree.leaves(gradient())):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
