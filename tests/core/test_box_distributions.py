"""Normals and squashed normals against SciPy, quadrature and counts of draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from shoal.core.distributions import DiagonalNormal, TanhNormal, action_distribution
from shoal.core.spaces import Box

SPACE = Box(((0.0, -3.0), (2.0,)), ((1.0, 3.0), (10.0,)), (2, 1))
REAL = [(0, 0), (0, 1), (1, 0)]  # the dimensions that exist: (agent, number)
P = np.array([[0.3, -1.0], [0.8, 50.0]]), np.array([[0.1, -0.7], [-0.4, 5.0]])  # mean, log std
Q = np.array([[-0.5, 0.2], [0.1, -9.0]]), np.array([[-0.3, 0.2], [0.3, 1.0]])


def single(x) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def by_agent(each: dict) -> list[float]:
    """Sums of what is known of each dimension."""
    return [sum(x for (agent, _), x in each.items() if agent == i) for i in range(2)]


def normals(parameters) -> dict:
    mean, log_std = parameters
    return {at: scipy.stats.norm(mean[at], np.exp(log_std[at])) for at in REAL}


# The normal.


def test_normal_matches_scipy_over_the_dimensions_that_exist():
    mean = np.array([[0.3, -1.0, 2.0], [1.0, 0.0, 50.0]], np.float32)
    log_std = np.array([[0.1, -0.7, 0.4], [-0.2, 0.3, 5.0]], np.float32)
    mask = np.array([[True, True, True], [True, True, False]])
    ours = DiagonalNormal(jnp.asarray(mean), jnp.asarray(log_std), jnp.asarray(mask))
    action = mean + np.array([[0.5, -0.2, 1.0], [0.1, 0.9, -30.0]], np.float32)
    exact = scipy.stats.norm(mean, np.exp(log_std))
    log_prob = np.where(mask, exact.logpdf(action), 0).sum(-1)
    entropy = np.where(mask, exact.entropy(), 0).sum(-1)
    np.testing.assert_allclose(ours.log_prob(jnp.asarray(action)), log_prob, rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), entropy, rtol=1e-5)
    np.testing.assert_array_equal(ours.mode(), mean)


def test_normal_draws_have_the_mean_and_width_asked_for():
    ours = DiagonalNormal(
        jnp.full((1, 2), 3.0), jnp.log(jnp.array([[0.5, 2.0]])), jnp.ones((1, 2), bool)
    )
    x = jax.vmap(ours.sample)(jax.random.split(jax.random.key(0), 20_000))[:, 0]
    np.testing.assert_allclose(x.mean(0), 3.0, atol=4 * 2.0 / np.sqrt(20_000))
    np.testing.assert_allclose(x.std(0), [0.5, 2.0], rtol=0.03)


def test_normal_divergence_is_the_integral():
    p, q = (DiagonalNormal(*map(single, x), jnp.asarray(SPACE.mask)) for x in (P, Q))
    expected = {}
    for at, (a, b) in ((at, (normals(P)[at], normals(Q)[at])) for at in REAL):
        integrand = lambda x, a=a, b=b: a.pdf(x) * (a.logpdf(x) - b.logpdf(x))  # noqa: E731
        ends = a.mean() - 12 * a.std(), a.mean() + 12 * a.std()
        expected[at] = scipy.integrate.quad(integrand, *ends)[0]
    np.testing.assert_allclose(p.kl(q), by_agent(expected), rtol=1e-5)
    np.testing.assert_array_equal(p.kl(p), 0.0)


def test_normal_of_an_output_is_measured_in_half_widths():
    """Mean 0 is the middle of the box and 1 its upper bound; widths scale with it."""
    out = jnp.broadcast_to(single([[0.0, 1.0], [-0.5, 0.0]]), (7, 2, 2))
    ours = action_distribution(SPACE, out, None, jnp.full((2, 2), jnp.log(0.5)))
    assert isinstance(ours, DiagonalNormal)
    np.testing.assert_allclose(ours.mean[3], [[0.5, 3.0], [4.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(jnp.exp(ours.log_std)[3], [[0.25, 1.5], [2.0, 0.5]], rtol=1e-6)
    assert ours.log_prob(ours.mean).shape == (7, 2)


# The squashed normal.


def squashed(parameters=P, space=SPACE) -> TanhNormal:
    return TanhNormal.in_box(space, *map(single, parameters))


def density(at: tuple[int, int], parameters=P):
    """Of one dimension in double precision, by the change of variables x = artanh(u)."""
    center, half = float(SPACE.center[at]), float(SPACE.half_width[at])

    def of(action):
        u = (action - center) / half
        return normals(parameters)[at].pdf(np.arctanh(u)) / (half * (1 - u**2))

    return of


def inside(count: int, margin: float = 1e-3) -> np.ndarray:
    """`[count, N, A]` actions across the box, the middle of each of as many cells."""
    share = margin + (1 - 2 * margin) * (np.arange(count) + 0.5) / count
    return SPACE.lows + share[:, None, None] * (SPACE.highs - SPACE.lows)


def test_squashed_density_is_that_of_the_change_of_variables():
    actions = inside(200)
    found = np.asarray(jax.vmap(squashed().log_prob)(single(actions)))
    expected = {at: np.log(density(at)(actions[:, *at])) for at in REAL}
    np.testing.assert_allclose(found, np.stack(by_agent(expected), -1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("std", [0.2, 0.9])
def test_squashed_density_integrates_to_one(at, std):
    """Over one dimension of a box of its own."""
    space = Box(float(SPACE.lows[0, at]), float(SPACE.highs[0, at]), (1,))
    ours = squashed(([[0.6]], [[np.log(std)]]), space)
    count = 200_000
    width = (space.high - space.low) / count
    actions = space.low + width * (np.arange(count) + 0.5)
    found = jax.vmap(ours.log_prob)(single(actions)[:, None, None])
    assert np.exp(np.asarray(found, float)).sum() * width == pytest.approx(1, abs=2e-4)


def test_squashed_draws_come_as_often_as_the_density_says():
    draws = jax.vmap(squashed().sample)(jax.random.split(jax.random.key(0), 20_000))
    for at in REAL:
        edges = np.linspace(SPACE.lows[at], SPACE.highs[at], 21)
        counts = np.histogram(np.asarray(draws)[:, *at], edges)[0]
        assert counts.sum() == 20_000  # nothing is outside
        u = (edges - SPACE.center[at]) / SPACE.half_width[at]
        with np.errstate(divide="ignore"):
            shares = np.diff(normals(P)[at].cdf(np.arctanh(np.clip(u, -1, 1))))
        often = shares > 1e-3
        scaled = 20_000 * shares[often] * counts[often].sum() / (20_000 * shares[often].sum())
        assert scipy.stats.chisquare(counts[often], scaled).pvalue > 1e-3


def test_squashed_action_and_its_log_prob_belong_together():
    keys = jax.random.split(jax.random.key(1), 2_000)
    actions, log_probs = jax.vmap(squashed().sample_and_log_prob)(keys)
    np.testing.assert_array_equal(actions, jax.vmap(squashed().sample)(keys))
    again = jax.vmap(squashed().log_prob)(actions)
    np.testing.assert_allclose(log_probs, again, atol=2e-2)
    assert np.median(np.abs(log_probs - again)) < 1e-5


def test_squashed_entropy_is_the_mean_of_minus_log_prob():
    keys = jax.random.split(jax.random.key(2), 100_000)
    _, log_probs = jax.vmap(squashed().sample_and_log_prob)(keys)
    error = 4 * np.asarray(log_probs).std(0) / np.sqrt(100_000)
    assert (np.abs(squashed().entropy() + log_probs.mean(0)) < error).all()


@pytest.mark.parametrize(("std", "most"), [(0.05, 1e-4), (1.0, 1e-4), (2.0, 1e-3), (7.0, 0.1)])
def test_squashed_entropy_is_the_integral(std, most):
    """Of x over the line, where nothing is steep."""
    mean = np.array([[0.0, 0.7], [-2.0, 0.0]])
    found = squashed((mean, np.full((2, 2), np.log(std)))).entropy()

    def integrand(x, m, half):
        log_slope = np.log(half) + 2 * (np.log(2) - x - np.logaddexp(0, -2 * x))
        normal = scipy.stats.norm(m, std)
        return normal.pdf(x) * (log_slope - normal.logpdf(x))

    expected = {}
    for at in REAL:
        ends, arguments = (
            (mean[at] - 12 * std, mean[at] + 12 * std),
            (mean[at], SPACE.half_width[at]),
        )
        points = [mean[at]] if abs(mean[at]) > 12 * std else [mean[at], 0.0]
        expected[at] = scipy.integrate.quad(
            integrand, *ends, args=arguments, points=points, limit=500
        )[0]
    np.testing.assert_allclose(found, by_agent(expected), atol=most * 2)


def test_squashed_divergence_is_the_integral_over_the_box():
    expected = {}
    for at in REAL:
        p, q = density(at, P), density(at, Q)
        actions = inside(400_001, 1e-9)[:, *at].astype(float)
        width = actions[1] - actions[0]
        a, b = p(actions), q(actions)
        expected[at] = np.where(a > 0, a * (np.log(a) - np.log(b)), 0).sum() * width
    np.testing.assert_allclose(squashed(P).kl(squashed(Q)), by_agent(expected), rtol=1e-3)
    np.testing.assert_array_equal(squashed().kl(squashed()), 0.0)


def test_squashed_mode_is_the_squashed_mean_and_gradients_flow_through_samples():
    mean, log_std = map(single, P)
    expected = SPACE.center + SPACE.half_width * np.tanh(P[0])
    np.testing.assert_allclose(squashed().mode(), expected, rtol=1e-5)
    key = jax.random.key(4)
    x = mean + jnp.exp(log_std) * jax.random.normal(key, (2, 2))
    slope = jax.grad(lambda m: TanhNormal.in_box(SPACE, m, log_std).sample(key)[0, 1])(mean)
    assert slope[0, 1] == pytest.approx(3 * (1 - np.tanh(x[0, 1]) ** 2), rel=1e-4)


@pytest.mark.parametrize("mean", [-40.0, 0.0, 40.0])
@pytest.mark.parametrize("log_std", [-20.0, 0.0, 2.0])
def test_squashed_numbers_and_gradients_are_finite_everywhere(mean, log_std):
    parameters = jnp.full((2, 2), mean), jnp.full((2, 2), log_std)
    actions = [single(x) for x in (SPACE.lows, SPACE.highs, SPACE.highs + 1, SPACE.center)]

    def total(parameters):
        ours = TanhNormal.in_box(SPACE, *parameters)
        drawn, log_prob = ours.sample_and_log_prob(jax.random.key(0))
        scored = sum(ours.log_prob(a).sum() for a in actions) if log_std > -20 else 0.0
        return drawn.sum() + log_prob.sum() + ours.entropy().sum() + scored, (drawn, log_prob)

    (_, (drawn, log_prob)), grads = jax.value_and_grad(total, has_aux=True)(parameters)
    assert np.isfinite(log_prob).all()
    assert all(np.isfinite(g).all() for g in grads)
    assert ((drawn >= SPACE.lows - 1e-6) & (drawn <= SPACE.highs + 1e-6)).all()
    grad = jax.grad(lambda a: squashed().log_prob(a).sum())
    assert all(np.isfinite(grad(a)).all() for a in actions)


def test_squashed_log_prob_keeps_its_digits_where_the_width_is_tiny():
    """x = 3 + e^-20 z is 3 in single precision: z would be lost."""
    ours = squashed((np.full((2, 2), 3.0), np.full((2, 2), -20.0)))
    key = jax.random.key(0)
    _, log_prob = ours.sample_and_log_prob(key)
    z = np.asarray(jax.random.normal(key, (2, 2)), float)
    slope = np.log(SPACE.half_width * (1 - np.tanh(3.0) ** 2))
    each = scipy.stats.norm.logpdf(z) + 20 - slope
    np.testing.assert_allclose(log_prob, by_agent({at: each[at] for at in REAL}), rtol=1e-5)
