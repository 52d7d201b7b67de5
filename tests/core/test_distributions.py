"""Probabilities and entropies against SciPy; what does not exist is neither drawn nor counted."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from shoal.core import distributions
from shoal.core.distributions import (
    Categorical,
    EpsilonGreedy,
    FactoredCategorical,
    action_distribution,
)
from shoal.core.spaces import Discrete, Factored

LOGITS = np.array([[2.0, -1.0, 0.5, 30.0], [0.0, 0.0, 1.0, -2.0]], np.float32)  # [N, A]
MASK = np.array([[True, True, True, False], [True, False, True, True]])


def probabilities(logits, mask):
    return scipy.special.softmax(np.where(mask, logits, -np.inf), -1)


@pytest.fixture(scope="module")
def draws():
    """20,000 draws of a masked distribution, `[20000, N]`."""
    distribution = Categorical(jnp.asarray(LOGITS), jnp.asarray(MASK))
    return np.asarray(jax.vmap(distribution.sample)(jax.random.split(jax.random.key(0), 20_000)))


def test_categorical_matches_scipy():
    for mask in (None, MASK):
        exact = probabilities(LOGITS, True if mask is None else mask)
        ours = Categorical(jnp.asarray(LOGITS), None if mask is None else jnp.asarray(mask))
        for action in ([0, 2], [1, 3], [2, 0]):
            expected = np.log([exact[0, action[0]], exact[1, action[1]]])
            np.testing.assert_allclose(ours.log_prob(jnp.array(action)), expected, rtol=1e-5)
        entropy = [scipy.stats.entropy(p) for p in exact]
        np.testing.assert_allclose(ours.entropy(), entropy, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(ours.mode(), exact.argmax(-1))


def test_log_probs_keep_the_action_axis_last():
    exact = np.log(probabilities(LOGITS, True))
    batch = Categorical(jnp.broadcast_to(LOGITS, (3, 7, *LOGITS.shape)))
    np.testing.assert_allclose(batch.log_probs[2, 5], exact, rtol=1e-5)
    np.testing.assert_allclose(batch.probs[0, 6], np.exp(exact), rtol=1e-5)


def test_illegal_actions_are_never_drawn_and_others_as_often_as_they_should(draws):
    exact = probabilities(LOGITS.astype(float), MASK)
    for agent in range(2):
        counts = np.bincount(draws[:, agent], minlength=4)
        assert counts[~MASK[agent]].sum() == 0
        legal = MASK[agent]
        test = scipy.stats.chisquare(counts[legal], 20_000 * exact[agent][legal])
        assert test.pvalue > 1e-3


def test_a_lone_legal_action_is_certain():
    mask = jnp.eye(4, dtype=bool)[None]  # [1, N = 4, A = 4]
    alone = Categorical(jax.random.normal(jax.random.key(0), (1, 4, 4)), mask)
    action = jnp.arange(4)[None]
    np.testing.assert_array_equal(alone.sample(jax.random.key(1)), action)
    np.testing.assert_allclose(alone.log_prob(action), 0.0, atol=1e-6)
    np.testing.assert_allclose(alone.entropy(), 0.0, atol=1e-6)


def test_gradients_are_finite_where_actions_are_illegal():
    def loss(logits):
        masked = Categorical(logits, jnp.asarray(MASK))
        return masked.log_prob(jnp.array([0, 2])).sum() + masked.entropy().sum()

    grads = jax.grad(loss)(jnp.asarray(LOGITS))
    assert np.isfinite(grads).all()
    np.testing.assert_array_equal(np.asarray(grads)[~MASK], 0.0)


def test_divergence_matches_scipy_over_legal_actions():
    p, q = probabilities(LOGITS, MASK), probabilities(LOGITS[::-1], MASK)
    ours, other = (
        Categorical(jnp.asarray(x), jnp.asarray(MASK)) for x in (LOGITS, LOGITS[::-1].copy())
    )
    expected = [scipy.stats.entropy(a[m], b[m]) for a, b, m in zip(p, q, MASK)]
    np.testing.assert_allclose(ours.kl(other), expected, rtol=1e-5)
    np.testing.assert_allclose(ours.kl(ours), 0.0, atol=1e-7)
    assert abs(ours.kl(other)[0] - other.kl(ours)[0]) > 0.01  # it has a direction
    np.testing.assert_allclose(ours.probs, p, atol=1e-6)
    grads = jax.grad(lambda x: Categorical(x, jnp.asarray(MASK)).kl(other).sum())(
        jnp.asarray(LOGITS)
    )
    assert np.isfinite(grads).all() and (np.asarray(grads)[~MASK] == 0).all()


# Many actions.

MANY = 150


def many(seed: int = 0) -> np.ndarray:
    """Probabilities of which every third is 0, and a run of 0 at the end."""
    p = np.random.default_rng(seed).exponential(size=MANY)
    p[::3], p[-7:] = 0.0, 0.0
    return p / p.sum()


def test_many_actions_are_drawn_as_often_as_they_should():
    p, count = many(), 30_000
    logits = jnp.broadcast_to(jnp.log(jnp.asarray(p, jnp.float32)), (count, 1, MANY))
    legal = jnp.broadcast_to(jnp.asarray(p > 0), logits.shape)
    drawn = Categorical(jnp.where(legal, logits, 5.0), legal).sample(jax.random.key(0))
    assert drawn.dtype == jnp.int32
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=MANY)
    assert counts[p == 0].sum() == 0
    assert scipy.stats.chisquare(counts[p > 0], count * p[p > 0]).pvalue > 1e-3


def test_many_actions_take_one_uniform_number_a_sample():
    """The inverse of the distribution function, in double precision."""
    p, key = many(1), jax.random.key(3)
    logits = jnp.broadcast_to(jnp.log(jnp.asarray(p, jnp.float32)), (5_000, 2, MANY))
    drawn = np.asarray(Categorical(logits, logits > -jnp.inf).sample(key))
    expected = np.searchsorted(p.cumsum(), np.asarray(jax.random.uniform(key, (5_000, 2))), "right")
    assert (drawn == expected).mean() > 0.999


def tree_sums(x):
    """Running sums as devices add them in parallel: pairs first, and odd places between."""
    if x.shape[-1] == 1:
        return x
    even = x.shape[-1] // 2 * 2
    pairs = tree_sums(x[..., 0:even:2] + x[..., 1:even:2])
    out = x.copy()
    out[..., 1:even:2] = pairs
    out[..., 2::2] = pairs[..., : out[..., 2::2].shape[-1]] + x[..., 2::2]
    return out


def test_rounding_draws_nothing_impossible():
    """Points between two sums of which the second should equal the first."""
    rng = np.random.default_rng(0)
    probs = np.where(rng.random((4_000, MANY)) < 0.5, 0.0, rng.exponential(size=(4_000, MANY)))
    probs = (probs / probs.sum(-1, keepdims=True)).astype(np.float32)
    sums = tree_sums(probs)
    np.testing.assert_allclose(sums, probs.cumsum(-1), atol=1e-6)
    before = np.maximum.accumulate(sums, -1)[:, :-1]
    rises = (probs[:, 1:] == 0) & (sums[:, 1:] > before)
    row, k = np.nonzero(rises)
    total = np.where(probs > 0, sums, 0).max(-1)[row]
    uniform, hits = (before[row, k] / total).astype(np.float32), 0
    for step in range(-2, 3):
        u = uniform + np.float32(step * 2**-25)
        point = u * total
        at = (point >= before[row, k]) & (point < sums[row, k + 1])
        hits += at.sum()
        drawn = distributions._invert(*map(jnp.asarray, (probs[row], sums[row], u)))
        assert (np.take_along_axis(probs[row], np.asarray(drawn)[:, None], -1) > 0).all()
    assert hits > 100


def test_the_largest_and_the_smallest_uniform_numbers_are_possible_actions():
    p = jnp.asarray(many(2), jnp.float32)[None]
    first, last = np.flatnonzero(p[0])[[0, -1]]
    for uniform, expected in ((0.0, first), (1 - 2**-23, last), (1.0, first)):
        drawn = distributions._invert(p, jnp.cumsum(p, -1), jnp.full(1, uniform))
        assert int(drawn[0]) == expected  # 1 is never drawn: whatever follows is possible


def test_a_draw_among_many_actions_is_a_short_program():
    """Written out, 150 sums took a minute to compile."""

    def size(actions: int) -> int:
        draw = jax.make_jaxpr(lambda key, x: Categorical(x).sample(key))
        return len(draw(jax.random.key(0), jnp.zeros((4, 2, actions))).eqns)

    assert size(150) == size(40) < 60


# Several factors.

SPACE = Factored(((3, 2), (4,)))
ALL = (list(itertools.product(range(3), range(2))), [(a, 0) for a in range(4)])
ROWS = np.random.default_rng(0).normal(0, 1.5, (2, 8)).astype(np.float32)
ALLOWED = np.array([[1, 0, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0, 0, 0]], bool)


def by_hand(allowed):
    """The probability of each action of each agent, factor by factor."""
    caller, operator = (np.where(a, r, -np.inf) for a, r in zip(allowed, ROWS.astype(float)))
    first, second = scipy.special.softmax(caller[:3]), scipy.special.softmax(caller[4:6])
    return np.outer(first, second).ravel(), scipy.special.softmax(operator[:4])


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_factored_probabilities_are_products_over_the_factors_that_exist(allowed):
    mask = None if allowed is None else jnp.asarray(allowed)
    ours = FactoredCategorical(SPACE, jnp.asarray(ROWS), mask)
    exact = by_hand(np.ones_like(ALLOWED) if allowed is None else allowed)
    for agent in range(2):
        for action, p in zip(ALL[agent], exact[agent]):
            both = jnp.array([ALL[0][0], ALL[1][0]]).at[agent].set(jnp.array(action))
            found = float(ours.log_prob(both)[agent])
            assert found == pytest.approx(np.log(p), rel=1e-4) if p else found < -1e8
        best = ALL[agent][int(np.argmax(exact[agent]))]
        assert tuple(ours.mode()[agent].tolist()) == best
    entropy = [scipy.stats.entropy(p) for p in exact]
    np.testing.assert_allclose(ours.entropy(), entropy, rtol=1e-5)
    assert ours.probs.shape == (2, 2, 4) and ours.probs[1, 1].tolist() == [1, 0, 0, 0]


def test_factored_draws_come_as_often_as_they_should_and_padding_never():
    rows = jnp.broadcast_to(jnp.asarray(ROWS), (20_000, 2, 8))
    ours = FactoredCategorical(SPACE, rows, jnp.broadcast_to(jnp.asarray(ALLOWED), rows.shape))
    drawn = np.asarray(ours.sample(jax.random.key(0)))
    assert drawn.dtype == np.int32 and drawn.shape == (20_000, 2, 2)
    for agent, exact in enumerate(by_hand(ALLOWED)):
        index = [ALL[agent].index(tuple(row)) for row in drawn[:, agent].tolist()]
        counts = np.bincount(index, minlength=len(exact))
        assert counts[exact == 0].sum() == 0
        assert scipy.stats.chisquare(counts[exact > 0], 20_000 * exact[exact > 0]).pvalue > 1e-3


def test_factored_divergence_is_that_of_the_joint_actions():
    other = np.roll(ROWS, 1, 0)
    p, q = (FactoredCategorical(SPACE, jnp.asarray(x), jnp.asarray(ALLOWED)) for x in (ROWS, other))
    found = np.asarray(p.kl(q))
    for agent, exact in enumerate(by_hand(ALLOWED)):
        log_q = [
            float(q.log_prob(jnp.array([a, a]))[agent]) for a, x in zip(ALL[agent], exact) if x > 0
        ]
        exact = exact[exact > 0]
        assert found[agent] == pytest.approx((exact * (np.log(exact) - log_q)).sum(), rel=1e-4)
    np.testing.assert_allclose(p.kl(p), 0.0, atol=1e-6)


def test_outputs_of_what_does_not_exist_get_no_gradient():
    def loss(rows):
        ours = FactoredCategorical(SPACE, rows, jnp.asarray(ALLOWED))
        return (ours.log_prob(jnp.array([[2, 1], [3, 0]])) + ours.entropy()).sum()

    grads = np.asarray(jax.grad(loss)(jnp.asarray(ROWS)))
    real = SPACE.mask & ALLOWED & ~SPACE.idle
    assert np.isfinite(grads).all() and (grads[~real] == 0).all() and (grads[real] != 0).all()


# Epsilon-greedy.


def greedy(epsilon: float, count: int = 20_000) -> EpsilonGreedy:
    """Action 1 is best but illegal, then 3, then 0; action 2 is illegal too."""
    q = jnp.broadcast_to(jnp.array([2.0, 9.0, 1.0, 5.0]), (count, 1, 4))
    legal = jnp.broadcast_to(jnp.array([True, False, False, True]), (count, 1, 4))
    return EpsilonGreedy(q, legal, epsilon)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_greedy_samples_come_as_often_as_the_probabilities_say(epsilon):
    ours = greedy(epsilon)
    assert (ours.mode() == 3).all()
    shares = np.bincount(np.asarray(ours.sample(jax.random.key(0))).ravel(), minlength=4) / 20_000
    expected = [epsilon / 2, 0, 0, 1 - epsilon / 2]
    assert shares[1] == shares[2] == 0
    np.testing.assert_allclose(shares, expected, atol=0.015)
    np.testing.assert_allclose(ours.probs[0, 0], expected, atol=1e-6)


def test_greedy_agents_explore_on_their_own():
    q = jnp.broadcast_to(jnp.array([1.0, 0.0]), (20_000, 2, 2))
    a = np.asarray(EpsilonGreedy(q, jnp.ones_like(q, bool), 0.5).sample(jax.random.key(2)))
    np.testing.assert_allclose((a[:, 0] & a[:, 1]).mean(), 0.25**2, atol=0.01)


def test_greedy_log_prob_entropy_and_divergence_are_those_of_the_mixture():
    ours, other = greedy(0.4, 1), greedy(0.8, 1)
    np.testing.assert_allclose(ours.log_prob(jnp.array([[0]])), np.log(0.2), rtol=1e-5)
    np.testing.assert_allclose(ours.log_prob(jnp.array([[3]])), np.log(0.8), rtol=1e-5)
    assert ours.log_prob(jnp.array([[1]])) == -1e9
    np.testing.assert_allclose(ours.entropy(), scipy.stats.entropy([0.2, 0.8]), rtol=1e-5)
    expected = scipy.stats.entropy([0.2, 0.8], [0.4, 0.6])
    np.testing.assert_allclose(ours.kl(other), expected, rtol=1e-5)


# From a network's output.


@pytest.mark.parametrize("mask", [None, np.ones((300, 2, 3), bool)])
def test_actions_that_do_not_exist_are_never_drawn(mask):
    """Neither where the environment gives no mask, nor where its mask forgets the padding."""
    out = jnp.zeros((300, 2, 3)).at[..., 2].set(5.0)
    ours = action_distribution(Discrete((2, 3)), out, None if mask is None else jnp.asarray(mask))
    drawn = np.asarray(ours.sample(jax.random.key(0)))
    assert drawn[:, 0].max() == 1 and drawn[:, 1].max() == 2 and (ours.mode()[:, 0] < 2).all()


def test_outputs_are_read_as_the_space_says():
    out = jnp.asarray(ROWS)
    factored = action_distribution(SPACE, out)
    assert isinstance(factored, FactoredCategorical)
    plain = action_distribution(Discrete((8, 8)), out)
    np.testing.assert_allclose(plain.probs, scipy.special.softmax(ROWS, -1), rtol=1e-5)
