"""PopArt: what the rescaled layer says, and the paper's own recipe in rlax."""

import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from shoal.math.popart import rescale_output


def layer():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return draw(3, 5), draw(3), draw(5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((0.0, 1.0), (50.0, 7.0)),
        ((jnp.array([1.0, -2.0, 3.0]), jnp.array([0.5, 2.0, 4.0])), (jnp.zeros(3), jnp.ones(3))),
    ],
    ids=["one scale", "a scale of each output"],
)
def test_outputs_are_what_they_were(old, new):
    weight, bias, hidden = layer()
    before = old[1] * (weight @ hidden + bias) + old[0]
    new_weight, new_bias = rescale_output(weight, bias, *old, *new)
    after = new[1] * (new_weight @ hidden + new_bias) + new[0]
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_matches_rlax():
    weight, bias, _ = layer()
    old = (jnp.array([1.0, -2.0, 3.0]), jnp.array([0.5, 2.0, 4.0]))
    new = (jnp.array([0.3, 0.0, 9.0]), jnp.array([1.0, 3.0, 0.1]))
    states = (rlax.PopArtState(shift=m, scale=s, second_moment=s**2 + m**2) for m, s in (old, new))
    theirs = rlax.pop({"w": weight.T, "b": bias}, *states)
    ours = rescale_output(weight, bias, *old, *new)
    np.testing.assert_allclose(ours[0], theirs["w"].T, rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs["b"], rtol=1e-5, atol=1e-6)
