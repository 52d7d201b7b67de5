"""Convolutions as products, and observations that begin with images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.nn.agent_network import AgentNetwork
from shoal.nn.convolution import Convolution, ImageTorso
from shoal.nn.sharing import Groups


@pytest.mark.parametrize(("side", "kernel", "stride"), [(12, 3, 1), (13, 3, 2), (36, 8, 4)])
def test_a_convolution_is_that_of_xla(side, kernel, stride):
    layer = Convolution(3, 5, kernel, stride, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, side, side + 4, 3))
    expected = jax.lax.conv_general_dilated(
        x,
        layer.weight,
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_images_come_first_and_those_of_one_shape_share_their_convolutions():
    images = ((6, 5, 3), (6, 5, 3), (4, 4, 1))
    torso = ImageTorso(196 + 7, images, (8,), "relu", key=jax.random.key(0))
    assert sorted(torso.eyes) == ["4x4x1", "6x5x3"]
    x = jax.random.normal(jax.random.key(1), (2, 203))
    first, second, third = x[:, :90], x[:, 90:180], x[:, 180:196]
    parts = [
        torso._see(first.reshape(2, 6, 5, 3)),
        torso._see(second.reshape(2, 6, 5, 3)),
        torso._see(third.reshape(2, 4, 4, 1)),
    ]
    flat = jnp.concatenate([*(p.reshape(2, -1) for p in parts), x[:, 196:]], -1)
    np.testing.assert_allclose(torso(x), torso.layers(flat), atol=1e-6)
    swapped = jnp.concatenate([second, first, x[:, 180:]], -1)
    assert not np.allclose(torso(swapped), torso(x))


def test_a_network_of_agents_sees_images_in_any_batch():
    network = AgentNetwork(
        48 + 2,
        3,
        Groups((0, 1)),
        hidden=(8,),
        recurrent=4,
        images=((4, 4, 3),),
        key=jax.random.key(0),
    )
    x = jax.random.normal(jax.random.key(1), (5, 6, 2, 50))
    carry = jnp.zeros((6, 2, 4))
    out = network.unroll(x, carry, jnp.zeros((5, 6), bool))
    assert out.shape == (5, 6, 2, 3)
    one, _ = network.step(x[0], carry)
    np.testing.assert_allclose(out[0], one, atol=1e-5)
