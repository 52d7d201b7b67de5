"""IMPALA: A2C where nobody is behind, and the same gradient in the mean where somebody is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policy_gradient.a2c import a2c
from shoal.agents.policy_gradient.impala import impala
from shoal.core.errors import UserError
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.registry import make
from shoal.training.on_device import OnDevice

KEY = jax.random.key(0)


def test_of_its_own_steps_it_learns_what_a2c_learns_of_whole_returns():
    ends = []
    for algorithm in (impala(hidden=(8,)), a2c(hidden=(8,), gae_lambda=1.0)):
        learner = OnDevice(algorithm, SimpleSpread(), num_envs=8, unroll=10, total_updates=8.0)
        state, update = learner.init(KEY), jax.jit(learner.update)
        for _ in range(3):
            state, _ = update(state)
        ends.append(jax.tree.leaves(state.algorithm.params))
    for ours, expected in zip(*ends):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def gradient(algorithm, learner, acting, learned):
    """Of the policy's loss, on what `acting` does."""
    _, trajectory, _ = learner.collect(acting, learner.start(acting, KEY), jnp.float32(0), KEY)
    batch, _ = algorithm.targets(learned, trajectory)
    actor = learned.params["actor"]

    def loss(actor):
        params = {**learned.params, "actor": actor}
        return algorithm.loss(params, batch, trajectory.carry, 0.0)[1]["policy_loss"]

    return np.concatenate([g.ravel() for g in jax.tree.leaves(eqx.filter_grad(loss)(actor))])


def test_an_older_policy_s_steps_have_the_same_gradient_in_the_mean():
    """Where no ratio is cut off, and what others do changes no difference: a game of one round
    whose payoffs are sums."""
    plain = dict(hidden=(4,), normalise_advantages=False, normalise_values=False)
    game = make("coop/matrix", payoffs=[[0.0, 1.0], [2.0, 3.0]])
    algorithm = impala(rho_clip=1e6, c_clip=1e6, **plain)
    learner = OnDevice(algorithm, game, num_envs=40_000, unroll=1)
    old = algorithm.init(game.spec, KEY)
    moved = jax.tree.map(lambda x: x + 0.5 * jax.random.normal(KEY, x.shape), old.params["actor"])
    new = eqx.tree_at(lambda s: s.params["actor"], old, moved)
    own, others = (
        gradient(algorithm, learner, algorithm.acting(state), new) for state in (new, old)
    )
    blind = gradient(a2c(**plain), learner, algorithm.acting(old), new)
    size = np.linalg.norm(own)
    assert np.linalg.norm(others - own) < 0.1 * size < 0.3 * np.linalg.norm(blind - own)


def test_what_is_passed_on_weighs_no_more_than_what_counts():
    with pytest.raises(UserError, match=r"c_clip is 2\.0, expected at most rho_clip"):
        impala(c_clip=2.0).check(SimpleSpread().spec)
