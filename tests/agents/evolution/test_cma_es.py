"""CMA-ES against the tutorial's update in NumPy, and a narrow valley that it must follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe

from shoal.agents.evolution.cma_es import Constants, cma_es, square_root
from shoal.core.descend import rows_of
from shoal.core.errors import UserError


def published(n: int, population: int):
    """One group's update of the tutorial as a closure over its state, in float64."""
    raw = np.log((population + 1) / 2) - np.log(np.arange(1, population + 1))
    w = np.where(raw > 0, raw, 0) / raw[raw > 0].sum()
    mu = 1 / (w**2).sum()
    cs = (mu + 2) / (n + mu + 5)
    ds = 1 + 2 * max(0, np.sqrt((mu - 1) / (n + 1)) - 1) + cs
    cc = (4 + mu / n) / (n + 4 + 2 * mu / n)
    c1 = 2 / ((n + 1.3) ** 2 + mu)
    cmu = min(1 - c1, 2 * (0.25 + mu + 1 / mu - 2) / ((n + 2) ** 2 + mu))
    chi = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))

    def update(mean, sigma, C, ps, pc, points, fitness, generation):
        y = (points[np.argsort(-fitness)] - mean) / sigma
        yw = w @ y
        values, vectors = np.linalg.eigh(C)
        inverse_root = vectors / np.sqrt(values) @ vectors.T
        ps = (1 - cs) * ps + np.sqrt(cs * (2 - cs) * mu) * inverse_root @ yw
        norm = np.linalg.norm(ps)
        h = norm / np.sqrt(1 - (1 - cs) ** (2 * (generation + 1))) < (1.4 + 2 / (n + 1)) * chi
        pc = (1 - cc) * pc + h * np.sqrt(cc * (2 - cc) * mu) * yw
        delta = (1 - h) * cc * (2 - cc)
        rank_mu = sum(weight * np.outer(row, row) for weight, row in zip(w, y))
        C = (1 + c1 * delta - c1 - cmu) * C + c1 * np.outer(pc, pc) + cmu * rank_mu
        return mean + sigma * yw, sigma * np.exp(cs / ds * (norm / chi - 1)), C, ps, pc

    return update


def points_of(algorithm, state) -> np.ndarray:
    members = algorithm.members(state, jnp.arange(algorithm.population))
    groups = state.params["mean"].network.groups.count
    return np.asarray(jax.vmap(lambda m: rows_of(m, groups))(members), float)


def test_thirty_generations_are_the_tutorials():
    """Of two groups; a slope drives the first so far that h is 0 at times."""
    algorithm = cma_es(population=10, hidden=(2,), sharing="independent", sigma=0.4)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    tell, rng = jax.jit(algorithm.tell), np.random.default_rng(0)
    n = rows_of(state.params["mean"], 2).shape[1]
    k = Constants.of(n, 10)
    assert 1 / (10 * n * (k.c_1 + k.c_mu)) < 2  # so that the root is of this very matrix
    start = np.asarray(rows_of(state.params["mean"], 2), float)
    ours = [(m, 0.4, np.eye(n), np.zeros(n), np.zeros(n)) for m in start]
    update = published(n, 10)
    for generation in range(30):
        points = points_of(algorithm, state)
        fitness = np.stack([points[:, 0].sum(1), rng.normal(size=10)], 1)
        ours = [update(*one, points[:, g], fitness[:, g], generation) for g, one in enumerate(ours)]
        state, _ = tell(state, jnp.asarray(fitness, jnp.float32))
        mean, sigma, C, ps, pc = (np.stack(x) for x in zip(*ours))
        np.testing.assert_allclose(rows_of(state.params["mean"], 2), mean, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(state.search.sigma, sigma, rtol=1e-3)
        np.testing.assert_allclose(state.search.matrix, C, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(state.search.path_sigma, ps, rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(state.search.path_c, pc, rtol=1e-3, atol=2e-3)
    assert sigma[0] > 5 * sigma[1]


def test_members_are_spread_as_the_covariance_says():
    algorithm = cma_es(population=4000, hidden=(), sigma=0.5)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    n = rows_of(state.params["mean"], 1).shape[1]
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(n, n)) / np.sqrt(n)
    C = mixing @ mixing.T + 0.1 * np.eye(n)
    root = square_root(jnp.asarray(C, jnp.float32))
    np.testing.assert_allclose(root @ root, C, atol=1e-4)
    noise = algorithm.noise(state, 0, 4000)
    search = type(state.search)(*(x for x in vars(state.search).values()))
    search = search.__class__(search.sigma, search.matrix, root[None], *[search.path_c] * 2)
    spread = np.asarray(algorithm.spread(search, noise))[:, 0]
    np.testing.assert_allclose(np.cov(spread.T), 0.25 * C, atol=0.1)


def test_it_follows_a_valley_a_thousand_times_as_long_as_wide():
    """In directions that no axis has; 400 generations of 24 members."""
    algorithm = cma_es(population=24, hidden=(2,), sigma=0.3)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    n = rows_of(state.params["mean"], 1).shape[1]
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    bend = jnp.asarray(turned * np.logspace(0, 1.5, n), jnp.float32)  # its square: 1 to 1000

    def generation(state, _):
        points = jax.vmap(lambda m: rows_of(m, 1)[0])(algorithm.members(state, jnp.arange(24)))
        cost = (((points - 1) @ bend) ** 2).sum(1, keepdims=True)
        state, metrics = algorithm.tell(state, -cost)
        return state, metrics["fitness_max"]

    state, best = jax.jit(lambda s: jax.lax.scan(generation, s, None, 400))(state)
    np.testing.assert_allclose(rows_of(state.params["mean"], 1), 1.0, atol=1e-2)
    assert best[0] < -100 and best[-1] > -1e-3


def test_too_many_parameters_are_refused_with_their_number():
    spec = Probe().spec
    cma_es(hidden=(64,)).check(spec)
    with pytest.raises(UserError) as error:
        cma_es(hidden=(64, 64)).check(spec)  # 3 * 64 + 64 + 64 * 64 + 64 + 64 * 3 + 3
    assert str(error.value) == (
        "the network has 4,611 parameters and cma_es has a covariance of all of them, expected at "
        "most 2,000: make hidden narrower, or use snes"
    )
