"""MuJoCo Playground's robots: stepped beside their own code, cut, named when they will not do."""

from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.core.errors import UserError
from shoal.core.spaces import Box
from shoal.envs.suites.playground import PlaygroundWorld

pytestmark = pytest.mark.skipif(
    find_spec("mujoco_playground") is None, reason="mujoco_playground is not installed"
)


def test_steps_are_those_of_the_world_and_its_clock_cuts():
    env = shoal.make("playground:CartpoleBalance", episode_length=3)
    assert env.spec.action == Box(-1.0, 1.0, (1,)) and env.spec.horizon == 3
    state, shown = env.reset(jax.random.key(0))
    inner = env.world.reset(jax.random.key(0))
    assert np.array_equal(shown.obs[0], inner.obs)
    step, own = jax.jit(env.step), jax.jit(env.world.step)
    for t, force in enumerate((0.5, -1.0, 1.0), 1):
        state, shown = step(jax.random.key(t), state, jnp.full((1, 1), force))
        inner = own(inner, jnp.full(1, force))
        assert np.allclose(shown.obs[0], inner.obs, atol=1e-6)
        assert shown.reward[0] == pytest.approx(float(inner.reward))
        assert bool(shown.truncated.all()) == (t == 3) and not shown.terminated.any()


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("CartpolBalance", "{}", "did you mean 'CartpoleBalance'"),
        ("CartpoleBalance", '{"episode_lenght": 3}', "did you mean 'episode_length'"),
        ("CartpoleBalance", '{"episode_length": "long"}', "cannot be made: TypeError"),
        ("CartpoleBalance", "{", "expected JSON"),
    ],
)
def test_mistakes_are_named(task, settings, said):
    with pytest.raises(UserError, match=said):
        _ = PlaygroundWorld(task, settings).spec
