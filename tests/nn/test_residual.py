"""Residual blocks against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.convolution import ImageTorso
from shoal.nn.layer_norm import LayerNorm
from shoal.nn.residual import ResidualMLP
from shoal.nn.sharing import Groups

KEY = jax.random.key(0)


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def layer_norm(x: jax.Array) -> np.ndarray:
    x = np.asarray(x)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def test_a_layer_norm_is_of_each_sample():
    norm = LayerNorm(3)
    np.testing.assert_allclose(
        norm(jnp.array([[1.0, 2.0, 6.0]])), [[-0.9258, -0.4629, 1.3887]], 1e-4
    )
    x = 5 + 7 * normal(0, 4, 3)
    norm = jax.tree.map(lambda _: jnp.array([1.0, 2.0, 3.0]), norm)  # scale and bias alike
    np.testing.assert_allclose(norm(x), (layer_norm(x) + 1) * [1, 2, 3], rtol=1e-4, atol=1e-5)


def test_two_blocks_by_hand():
    torso = ResidualMLP(3, (4, 4), "relu", key=KEY)
    torso = jax.tree.map(lambda x: x + 0.1 * normal(x.size, *x.shape), torso)  # no bias is 0
    x = normal(1, 5, 3)
    dense = lambda layer, x: x @ layer.weight + layer.bias  # noqa: E731
    norm = lambda norm, x: norm.scale * layer_norm(x) + norm.bias  # noqa: E731
    h = dense(torso.first, x)
    for block in torso.blocks:
        wide = dense(block.expand, norm(block.norm, h))
        assert wide.shape == (5, 16)
        h = h + dense(block.contract, jnp.maximum(wide, 0))
    np.testing.assert_allclose(torso(x), norm(torso.last, h), rtol=1e-4, atol=1e-4)


def test_weights_have_the_variance_that_keeps_a_relus_scale():
    block = ResidualMLP(8, (64,), "relu", key=KEY).blocks[0]
    np.testing.assert_allclose(block.expand.weight.var(), 2 / 64, rtol=0.05)
    np.testing.assert_allclose(block.contract.weight.var(), 2 / 256, rtol=0.05)


def test_each_group_has_blocks_of_its_own_also_behind_images():
    shape = dict(hidden=(4, 4), layers=ResidualMLP, key=KEY)
    network = AgentNetwork(3, 2, Groups((0, 1)), **shape)
    x = jnp.broadcast_to(normal(0, 6, 1, 3), (6, 2, 3))
    out, _ = network.step(x, None)
    assert out.shape == (6, 2, 2) and not np.allclose(out[:, 0], out[:, 1])
    np.testing.assert_allclose(network.alone(1).step(x[:, 1:], None)[0], out[:, 1:], rtol=1e-5)
    seeing = AgentNetwork(16 + 3, 2, Groups((0, 1)), images=((4, 4, 1),), **shape).stack.torso
    assert isinstance(seeing, ImageTorso) and isinstance(seeing.layers, ResidualMLP)


@pytest.mark.parametrize("hidden", [(), (4, 8)])
def test_blocks_are_of_one_width(hidden):
    with pytest.raises(UserError, match=r"hidden is \(.*\), expected one width for each residual"):
        ResidualMLP(3, hidden, "relu", key=KEY)


def test_layers_of_the_users_own_are_not_residual():
    with pytest.raises(UserError, match=r"torso is own.py:Rings, expected none with residual"):
        AgentNetwork(
            3, 2, Groups((0,)), hidden=(4,), layers=ResidualMLP, torso="own.py:Rings", key=KEY
        )
