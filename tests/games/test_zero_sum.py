"""Zero-sum games: published values, closed forms, and the linear programme's own certificate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.normal_form import NormalForm
from shoal.games.zero_sum import zero_sum, zero_sum_batch, zero_sum_kernel

RPS = [[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]]
CASES = {
    "12: biased rock, paper, scissors": (RPS, 0, [1 / 16, 10 / 16, 5 / 16], None),
    "12: a saddle": ([[2, 1, 5], [-3, -4, -2]], 1, [1, 0], [0, 1, 0]),
    "pennies": ([[1, -1], [-1, 1]], 0, [0.5, 0.5], [0.5, 0.5]),
    # 2 x 2 without a saddle: (ad - bc) / (a + d - b - c), and x = (d - c) / (...)
    "by hand": ([[4, 1], [2, 3]], 10 / 4, [1 / 4, 3 / 4], [1 / 2, 1 / 2]),
    # one over the sum of 1 / a_i, each played in proportion to 1 / a_i
    "diagonal": (np.diag([1, 2, 4]), 4 / 7, np.array([4, 2, 1]) / 7, np.array([4, 2, 1]) / 7),
    "one profile": ([[-3]], -3, [1], [1]),
    "large payoffs": (1e9 * np.array(RPS) + 1e9, 1e9, [1 / 16, 10 / 16, 5 / 16], None),
}


@pytest.mark.parametrize("name", CASES)
def test_known_values(name: str) -> None:
    payoffs, value, x, y = CASES[name]
    y = x if y is None else y
    scale = max(1.0, np.abs(payoffs).max())
    one, many = zero_sum(payoffs), zero_sum_batch([payoffs])
    for got in ((one.value, one.row, one.column, one.regret), [part[0] for part in many]):
        assert abs(got[0] - value) <= 1e-9 * scale and got[3] <= 1e-9 * scale
        assert np.allclose(got[1], x, rtol=0, atol=1e-9)
        assert np.allclose(got[2], y, rtol=0, atol=1e-9)
    assert one.method == "HiGHS"


def test_a_constant_sum_is_as_good_as_none() -> None:
    found = zero_sum(NormalForm.bimatrix([[4, 1], [2, 3]], [[1, 4], [3, 2]]))
    assert abs(found.value - 2.5) <= 1e-9 and found.regret <= 1e-9
    assert np.allclose(found.row, [1 / 4, 3 / 4], atol=1e-9)


def test_a_sum_may_be_constant_but_for_rounding() -> None:
    row = np.array([[0.4, 0.1], [0.2, 0.3]])
    column = -1e9 + (0.3 - row)
    assert np.ptp(1e9 + row + column) > 1e-9  # so much does rounding leave
    found = zero_sum(NormalForm.bimatrix(1e9 + row, column))
    assert abs(found.value - 1e9 - 0.25) <= 1e-6
    assert np.allclose(found.row, [1 / 4, 3 / 4], atol=1e-6)
    with pytest.raises(UserError, match="sum to between"):
        zero_sum(NormalForm.bimatrix(1e9 + row, column + np.diag([0, 1e-4])))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (6, 9), (20, 20)], ids=str)
@pytest.mark.parametrize("kind", ["normal", "signs", "nothing"])
def test_a_batch_is_as_good_as_one_by_one(shape: tuple[int, int], kind: str) -> None:
    """Values by another method; what each strategy guarantees, computed here."""
    rng = np.random.default_rng(1)
    size = (70, *shape)
    payoffs = {
        "normal": rng.normal(size=size),
        "signs": rng.integers(-1, 2, size).astype(float),  # degenerate: simplex steps may stall
        "nothing": np.zeros(size),
    }[kind]
    value, x, y, gap = zero_sum_batch(payoffs)
    assert np.allclose(x.sum(1), 1) and np.allclose(y.sum(1), 1) and min(x.min(), y.min()) >= 0
    given, taken = np.einsum("kij,ki->kj", payoffs, x), np.einsum("kij,kj->ki", payoffs, y)
    assert (gap <= 1e-9).all() and np.allclose(taken.max(1) - given.min(1), gap, atol=1e-12)
    assert (np.abs(value - given.min(1)) <= 1e-9).all()
    for k in range(0, 70, 23):
        assert abs(zero_sum(payoffs[k]).value - value[k]) <= 1e-9


def test_symmetric_games_are_worth_nothing() -> None:
    rng = np.random.default_rng(2)
    payoffs = rng.normal(size=(50, 7, 7))
    value, _, _, gap = zero_sum_batch(payoffs - payoffs.transpose(0, 2, 1))
    assert np.abs(value).max() <= 1e-9 and gap.max() <= 1e-9


def test_the_kernel_in_single_precision_and_cut_short() -> None:
    payoffs = jnp.asarray(RPS, jnp.float32)
    value, x, y, ok = jax.jit(zero_sum_kernel)(payoffs)
    assert ok and value.dtype == jnp.float32 and abs(float(value)) <= 1e-6
    assert np.allclose(x, [1 / 16, 10 / 16, 5 / 16], atol=1e-5) and np.allclose(x, y, atol=1e-5)
    assert not zero_sum_kernel(payoffs, max_pivots=1)[3]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: zero_sum([[1, 2], [3]]), "ragged"),
        (lambda: zero_sum([[1, np.inf]]), r"payoff \[0, 1\] is inf"),
        (lambda: zero_sum(NormalForm.symmetric(np.eye(2))), "sum to between 0 and 2.*equilibria"),
        (lambda: zero_sum(NormalForm(np.zeros((3, 2, 2, 2)))), "3 players"),
        (lambda: zero_sum_batch([[1, 2]]), r"shape \[1, 2\], expected \[K, m, n\]"),
        (lambda: zero_sum_batch([[[np.nan]]]), "not finite"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
