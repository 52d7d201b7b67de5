"""SNES against its published update in NumPy, and a slope whose width must adapt."""

import jax
import jax.numpy as jnp
import numpy as np
from probes import Probe

from shoal.agents.evolution.snes import snes, utilities
from shoal.core.descend import rows_of


def test_utilities_by_hand():
    """Of four: log 3 - log 1, log 3 - log 2, and nothing for the third, whose difference is 0."""
    best, second = np.log(3), np.log(1.5)
    expected = np.array([best, second, 0, 0]) / (best + second) - 1 / 4
    np.testing.assert_allclose(utilities(4), expected, atol=1e-12)
    assert abs(utilities(31).sum()) < 1e-12


def test_five_generations_are_the_papers():
    algorithm = snes(population=12, hidden=(2,), sharing="independent", sigma=0.4)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    tell, rng = jax.jit(algorithm.tell), np.random.default_rng(0)
    mean = np.asarray(rows_of(state.params["mean"], 2), float)
    size = mean.shape[1]
    sigma = np.full(mean.shape, 0.4)
    utility = np.maximum(0, np.log(12 / 2 + 1) - np.log(np.arange(1, 13)))
    utility = utility / utility.sum() - 1 / 12
    for _ in range(5):
        z = np.asarray(algorithm.noise(state, 0, 12), float)
        fitness = rng.normal(size=(12, 2))
        for g in range(2):
            best_first = z[np.argsort(-fitness[:, g]), g]
            mean[g] += sigma[g] * (utility @ best_first)
            rate = (3 + np.log(size)) / (5 * np.sqrt(size))
            sigma[g] *= np.exp(rate / 2 * (utility @ (best_first**2 - 1)))
        state, metrics = tell(state, jnp.asarray(fitness, jnp.float32))
        np.testing.assert_allclose(rows_of(state.params["mean"], 2), mean, atol=1e-5)
        np.testing.assert_allclose(jnp.exp(state.search), sigma, rtol=1e-4)
        np.testing.assert_allclose(metrics["sigma"], sigma.mean(), rtol=1e-4)


def test_widths_shrink_where_it_matters_and_it_arrives():
    """Fitness is minus the squared distance of the first half of the parameters from 1: these
    arrive and their widths fall, 200 generations of 32 members; the others' stay."""
    algorithm = snes(population=32, hidden=(2,), sigma=0.3)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    half = rows_of(state.params["mean"], 1).shape[1] // 2

    def generation(state, _):
        points = jax.vmap(lambda m: rows_of(m, 1)[0])(algorithm.members(state, jnp.arange(32)))
        return algorithm.tell(state, -((points[:, :half] - 1) ** 2).sum(1, keepdims=True))

    state, _ = jax.jit(lambda s: jax.lax.scan(generation, s, None, 200))(state)
    mean, sigma = rows_of(state.params["mean"], 1)[0], jnp.exp(state.search)[0]
    np.testing.assert_allclose(mean[:half], 1.0, atol=0.01)
    assert sigma[:half].max() < 0.01 and sigma[half:].min() > 0.03
