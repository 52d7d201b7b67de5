"""Layers with layer norm against NumPy, and the field that asks for them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policy_gradient.sac import sac
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.nn.layer_norm import LayerNormMLP
from shoal.registry import make_algorithm

KEY = jax.random.key(0)
SPEC = EnvSpec("tiny", ("a", "b"), (3, 3), Discrete((2, 2)), 5)


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_two_layers_by_hand():
    torso = LayerNormMLP(3, (4, 5), "relu", key=KEY)
    torso = jax.tree.map(lambda x: x + 0.1 * normal(x.size, *x.shape), torso)  # no bias is 0
    h = x = 10 * normal(1, 6, 3)
    for layer, norm in zip(torso.mlp.layers, torso.norms):
        h = np.asarray(h @ layer.weight + layer.bias)
        h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
        h = np.maximum(norm.scale * h + norm.bias, 0)
    assert torso.size_out == 5
    np.testing.assert_allclose(torso(x), h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ippo", "iql", "sac", "pqn_vdn"])
def test_every_algorithm_can_have_them(name):
    algorithm = make_algorithm(name, hidden=(4,), layer_norm=True)
    policy = algorithm.policy(algorithm.init(SPEC, KEY))
    assert isinstance(policy.network.stack.torso, LayerNormMLP)


def test_they_are_in_pqn_unless_it_is_told_otherwise():
    assert make_algorithm("pqn_vdn").layer_norm and not make_algorithm("vdn").layer_norm


def test_what_normalises_by_itself_refuses_them():
    box = EnvSpec("tiny", ("a", "b"), (3, 3), Box(-1.0, 1.0, (1, 1)), 5)
    with pytest.raises(UserError, match="crossq needs plain layers, and there is layer_norm"):
        sac(crossq=True, layer_norm=True).check(box)
