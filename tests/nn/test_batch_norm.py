"""Batch norms against NumPy: what they give, what they have seen, and whose samples count."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec as P

from shoal.core.parallel import AXIS
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.batch_norm import WARM_UP, BatchNorm, BatchNormMLP, Statistics
from shoal.nn.sharing import Groups

KEY, EPSILON = jax.random.key(0), 1e-3
ONES = jnp.ones(64)


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(3.0, 2.0, shape), jnp.float32)


def norm_of(mean, variance, batches, scale=1.0, bias=0.0) -> BatchNorm:
    each = lambda x: jnp.broadcast_to(jnp.float32(x), (2,))  # noqa: E731
    norm = BatchNorm(2)
    seen = Statistics(each(mean), each(variance), jnp.float32(batches))
    return eqx.tree_at(lambda n: (n.scale, n.bias, n.seen), norm, (each(scale), each(bias), seen))


def test_outside_training_it_goes_by_what_it_has_seen():
    norm = norm_of([1.0, -2.0], [4.0, 9.0], 7, scale=3.0, bias=0.5)
    x = normal(0, 5, 2)
    expected = 3 * (x - np.array([1, -2])) / np.sqrt(np.array([4, 9]) + EPSILON) + 0.5
    np.testing.assert_allclose(norm(x), expected, rtol=1e-5)


def test_in_training_it_goes_by_the_batch_and_remembers_a_hundredth_of_it():
    norm, x = norm_of(1.0, 4.0, 7, scale=3.0, bias=0.5), normal(0, 64, 2)
    out, seen = norm.train(x, ONES)
    expected = 3 * (x - x.mean(0)) / np.sqrt(x.var(0) + EPSILON) + 0.5
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen.mean, 0.99 * 1 + 0.01 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(seen.variance, 0.99 * 4 + 0.01 * x.var(0), rtol=1e-5)
    assert seen.batches == 8


def test_after_the_warm_up_a_batch_is_renormalised_within_limits():
    """The first number is near what was seen: it is as outside training. The second is far from it,
    in mean and in width: r is 3 at most and d is 5."""
    x = normal(0, 64, 2)
    norm = norm_of([2.5, -90.0], [3.0, 0.25], WARM_UP)
    out, _ = norm.train(x, ONES)
    np.testing.assert_allclose(out[:, 0], norm(x)[:, 0], rtol=1e-4, atol=1e-4)
    far = (x[:, 1] - x[:, 1].mean()) / np.sqrt(x[:, 1].var() + EPSILON) * 3 + 5
    np.testing.assert_allclose(out[:, 1], far, rtol=1e-4)


def test_what_renormalises_has_no_gradient_and_neither_has_what_was_seen():
    norm, x, g = norm_of(2.5, 3.0, WARM_UP), normal(0, 64, 2), normal(1, 64, 2)
    r = np.sqrt(x.var(0) + EPSILON) / np.sqrt(3 + EPSILON)

    def plain(x):
        return (g * r * (x - x.mean(0)) / jnp.sqrt(x.var(0) + EPSILON)).sum()

    def ours(norm, x):
        return (g * norm.train(x, ONES)[0]).sum() + norm(x).sum()

    by_norm, by_x = jax.grad(ours, (0, 1))(norm, x)
    expected = jax.grad(plain)(x) + 1 / np.sqrt(3 + EPSILON)
    np.testing.assert_allclose(by_x, expected, rtol=1e-3, atol=1e-4)
    for leaf in jax.tree.leaves(by_norm.seen):
        np.testing.assert_array_equal(leaf, 0)


def test_a_sample_of_no_weight_is_not_seen_and_a_batch_without_any_leaves_no_trace():
    norm, x = norm_of(1.0, 4.0, 7), normal(0, 64, 2)
    weight = (jnp.arange(64) % 3 > 0).astype(jnp.float32)
    own = x[weight > 0]
    out, seen = norm.train(jnp.where(weight[:, None] > 0, x, 1e3), weight)
    expected = (own - own.mean(0)) / np.sqrt(own.var(0) + EPSILON)
    np.testing.assert_allclose(out[weight > 0], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(seen.variance, 0.99 * 4 + 0.01 * own.var(0), rtol=1e-5)
    for none, weight in ((x, 0 * ONES), (jnp.full_like(x, jnp.nan), ONES)):
        jax.tree.map(np.testing.assert_array_equal, norm.train(none, weight)[1], norm.seen)


def test_a_perceptron_normalises_its_inputs_and_what_each_layer_gives():
    torso = BatchNormMLP(3, (4, 5), "relu", key=KEY)
    x, h = normal(0, 64, 3), normal(0, 64, 3)
    out, seen = torso.train(x, ONES)
    normed = lambda h: (h - h.mean(0)) / np.sqrt(h.var(0) + EPSILON)  # noqa: E731
    h = normed(x)
    for layer in torso.mlp.layers:
        h = normed(jnp.maximum(h @ layer.weight + layer.bias, 0))
    np.testing.assert_allclose(out, h, rtol=1e-3, atol=1e-3)
    assert [s.mean.shape for s in seen] == [(3,), (4,), (5,)]


@pytest.mark.parametrize("agents", [3, 9])  # one by one, or as one batch
def test_each_group_goes_by_its_own_samples(agents):
    groups = Groups(tuple(range(agents)))
    network = AgentNetwork(3, 2, groups, hidden=(4,), layers=BatchNormMLP, key=KEY)
    x = normal(0, 64, agents, 3) * jnp.arange(1.0, 1 + agents)[:, None]
    weight = (normal(1, 64, agents) > 2).astype(jnp.float32)
    out, seen = network.train(x, weight)
    after, _ = network.remember(seen).step(x, None)
    for i in range(agents):
        alone = network.alone(i)
        own, own_seen = alone.train(x[:, i : i + 1], weight[:, i : i + 1])
        np.testing.assert_allclose(out[:, i : i + 1], own, rtol=1e-4, atol=1e-4)
        own_after, _ = alone.remember(own_seen).step(x[:, i : i + 1], None)
        np.testing.assert_allclose(after[:, i : i + 1], own_after, rtol=1e-4, atol=1e-4)
    assert not np.allclose(after, network.step(x, None)[0])


def test_two_devices_see_what_one_does():
    """Outputs, statistics and the gradient of the mean of the devices' losses."""
    torso, x, g = BatchNormMLP(3, (4,), "relu", key=KEY), normal(0, 64, 3), normal(1, 64, 4)
    weight = (jnp.arange(64) > 11).astype(jnp.float32)  # of unlike weight on the two

    def run(torso, x, weight, g):
        def loss(torso):
            out, seen = torso.train(x, weight)
            return (g * out).sum(), (out, seen)

        return jax.grad(loss, has_aux=True)(torso)

    def half(*inputs):
        grads, (out, seen) = run(*inputs)
        return jax.lax.psum(grads, AXIS), (out, seen)

    one = jax.jit(run)(torso, x, weight, g)
    mesh = jax.make_mesh((2,), (AXIS,), axis_types=(AxisType.Auto,))
    ins, outs = (P(), P(AXIS), P(AXIS), P(AXIS)), (P(), (P(AXIS), P()))
    halves = jax.shard_map(half, mesh=mesh, in_specs=ins, out_specs=outs, check_vma=False)
    two = jax.jit(halves)(torso, x, weight, g)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)  # noqa: E731
    jax.tree.map(close, one, two)
