"""Logit equilibria: closed forms, the branch through its turns, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import classic, random
from shoal.games.logit import logit_equilibrium, logit_kernel, logit_path, logit_residual
from shoal.games.normal_form import NormalForm


def dilemma_share(rationality: float) -> float:
    """How often players cooperate in the dilemma: p = 1 / (1 + exp(r (1 + p))), by bisection."""
    low, high = 0.0, 0.5
    for _ in range(100):
        p = (low + high) / 2
        low, high = (p, high) if p < 1 / (1 + np.exp(rationality * (1 + p))) else (low, p)
    return low


@pytest.mark.parametrize("rationality", [0.0, 0.3, 2.0, 20.0])
def test_the_dilemma(rationality: float) -> None:
    found = logit_equilibrium(classic("prisoners_dilemma"), rationality)
    want = dilemma_share(rationality)
    assert abs(found.profile[0][0] - want) < 1e-9 and abs(found.profile[1][0] - want) < 1e-9
    assert found.residual < 1e-9 and found.rationality == rationality


def test_one_player_is_a_softmax() -> None:
    values = np.array([0.3, -1.0, 2.0, 0.0])
    found = logit_equilibrium(NormalForm(values[None]), 1.7)
    assert np.allclose(found.profile[0], np.exp(1.7 * values) / np.exp(1.7 * values).sum(), 1e-10)


def test_units_are_those_of_payoffs() -> None:
    game = random((2, 3), 4)
    double = NormalForm(np.asarray(game.payoffs) * 1000)
    one, other = logit_equilibrium(game, 5.0), logit_equilibrium(double, 0.005)
    assert all(np.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(one.profile, other.profile))


def test_a_number_that_all_payoffs_share_does_not_matter() -> None:
    far = NormalForm(np.asarray(random((2, 3), 4).payoffs).round(3) * 8 + 2.0**30)
    near = NormalForm(np.asarray(far.payoffs) - 2.0**30)
    one, other = logit_equilibrium(near, 5.0), logit_equilibrium(far, 5.0)
    assert all(np.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(one.profile, other.profile))
    assert other.residual < 1e-12


def test_asymmetric_pennies() -> None:
    """Ochs 1995: the other's payoffs alone fix a Nash strategy, but one's own matter here."""
    game = NormalForm.bimatrix([[9, 0], [0, 1]], [[0, 1], [1, 0]])
    path = logit_path(game, 200.0)
    assert path.complete and path.residual < 1e-8 and path.rationalities[-1] == 200
    assert (np.diff(path.rationalities) > 0).all()  # the equilibrium is unique at each
    row = path.profiles[0][:, 0]
    assert row[0] == 0.5 and row.max() > 0.6  # drawn to the 9
    end = [x[-1] for x in path.profiles]
    assert np.allclose(end, [[0.5, 0.5], [0.1, 0.9]], rtol=0, atol=0.02)


def folded() -> NormalForm:
    """Three players in the same position. Where x is how often each takes the first action, that
    action gains h(x) = 0.05 + 10 (x - 0.7)^2 over the other: the logit equilibria of equal players
    are at rationality log(x / (1 - x)) / h(x), which rises to 17, falls to 5, and rises again."""
    by_others = {0: 4.95, 1: -2.05, 2: 0.95}  # how many others take it: h in Bernstein's form
    payoffs = np.zeros((3, 2, 2, 2))
    for actions in np.ndindex(2, 2, 2):
        for i in range(3):
            if actions[i] == 0:
                payoffs[(i, *actions)] = by_others[actions.count(0) - 1]
    return NormalForm(payoffs)


def test_the_branch_is_followed_through_its_turns() -> None:
    path = logit_path(folded(), 60.0)
    share, rest = path.profiles[0].T
    assert path.complete and path.residual < 1e-8
    assert all(np.allclose(x[:, 0], share, rtol=0, atol=1e-9) for x in path.profiles)
    want = np.log(share / rest) / (0.05 + 10 * (share - 0.7) ** 2)
    assert np.allclose(path.rationalities, want, rtol=0, atol=1e-6)
    steps = np.diff(path.rationalities)
    assert (steps < 0).any() and np.diff(share).min() >= -1e-12  # one way along, twice turned
    assert np.abs(np.diff(share)).max() < 0.2


def test_the_first_point_of_a_turning_branch() -> None:
    """Three points of the branch have rationality 10; it reaches the lowest share first."""
    found = logit_equilibrium(folded(), 10.0)
    share = found.profile[0][0]
    assert found.residual < 1e-9 and 0.5 < share < 0.7


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 2)])
def test_gradients_equal_finite_differences(shape) -> None:
    with jax.enable_x64(True):
        payoffs = jnp.asarray(np.asarray(random(shape, 1).payoffs))
        weights = jnp.asarray(np.random.default_rng(0).normal(size=sum(shape)))

        def score(payoffs, rationality):
            return weights @ jnp.concatenate(logit_kernel(payoffs, rationality))

        slope, by_rationality = jax.jit(jax.grad(score, (0, 1)))(payoffs, 3.0)
        value = jax.jit(score)
        h = 1e-5
        step = h * jnp.eye(payoffs.size).reshape(-1, *payoffs.shape)
        for entry in range(0, payoffs.size, 3):
            up, down = (value(payoffs + s * step[entry], 3.0) for s in (1, -1))
            assert abs((up - down) / (2 * h) - slope.ravel()[entry]) < 1e-7
        central = (value(payoffs, 3.0 + h) - value(payoffs, 3.0 - h)) / (2 * h)
        assert abs(central - by_rationality) < 1e-7


def test_batches_in_single_precision() -> None:
    games = [random((2, 3), seed) for seed in range(4)]
    payoffs = jnp.asarray(np.stack([np.asarray(g.payoffs) for g in games]), jnp.float32)
    found = jax.jit(jax.vmap(logit_kernel, (0, None)))(payoffs, 4.0)
    assert [x.shape for x in found] == [(4, 2), (4, 3)] and found[0].dtype == jnp.float32
    for number, game in enumerate(games):
        profile = [np.asarray(x[number], np.float64) for x in found]
        assert logit_residual(game, profile, 4.0) < 1e-5


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: logit_equilibrium(classic("chicken"), -1.0), "rationality is -1"),
        (lambda: logit_equilibrium(classic("chicken"), float("inf")), "rationality is inf"),
        (lambda: logit_path(classic("chicken"), 0.0), "max_rationality is 0"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
