"""Lemke and Howson: published paths, games that cycle without the lexicographic rule, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.bimatrix import equilibria
from shoal.games.lemke_howson import (
    exact_path,
    lemke_howson,
    lemke_howson_batch,
    lemke_howson_kernel,
)
from shoal.games.normal_form import NormalForm

STENGEL = NormalForm.bimatrix([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]])
CYCLES = NormalForm.bimatrix([[0, 0, 0], [0, 1, 1], [1, 1, 0]], [[1, 0, 1], [1, 1, 0], [0, 0, 2]])
SHAPLEY = NormalForm.symmetric([[0, 3, 0], [2, 2, 0], [3, 0, 1]])
ENDS = {
    "8: label 0": (STENGEL, 0, [1, 0, 0], [1, 0]),
    "8: label 1": (STENGEL, 1, [0, 1 / 3, 2 / 3], [1 / 3, 2 / 3]),
    **{f"8: cycling, label {k}": (CYCLES, k, [0, 2 / 3, 1 / 3], [0, 1, 0]) for k in range(6)},
    **{f"3: only one is reached, {k}": (SHAPLEY, k, [0, 0, 1], [0, 0, 1]) for k in range(6)},
    "12": (NormalForm.zero_sum([[2, 1, 5], [-3, -4, -2]]), 0, [1, 0], [0, 1, 0]),
    "one action each": (NormalForm.bimatrix([[-7]], [[0]]), 1, [1], [1]),
}


@pytest.mark.parametrize("name", ENDS)
def test_where_paths_lead(name: str) -> None:
    game, label, x, y = ENDS[name]
    found = lemke_howson(game, label)
    assert len(found) == 1 and not found.complete and found.regrets[0] <= 1e-12
    assert found.parameters == {"label": label}
    for got in (found[0], exact_path(game, label)):
        assert np.allclose(np.concatenate(got), [*x, *y], rtol=0, atol=1e-9)


def test_all_labels_give_the_different_ends() -> None:
    """By hand in von Stengel 2007: labels 0, 2, 3 lead to one and 1, 4 to the other."""
    ends = {tuple(np.concatenate(p).round(9)) for p in lemke_howson(STENGEL, None)}
    assert ends == {(1, 0, 0, 1, 0), (0, 0.333333333, 0.666666667, 0.333333333, 0.666666667)}


@pytest.mark.parametrize("most", [2, 3, 10**6], ids=["very degenerate", "degenerate", "generic"])
@pytest.mark.parametrize("shape", [(4, 4), (2, 5)], ids=str)
def test_ends_of_a_batch_are_equilibria(shape: tuple[int, int], most: int) -> None:
    rng = np.random.default_rng(most)
    rows, columns = rng.integers(0, most, (2, 200, *shape)).astype(float)
    labels = rng.integers(0, sum(shape), 200)
    x, y, regrets = lemke_howson_batch(rows, columns, labels)
    assert x.dtype == y.dtype == np.float64 and x.shape == (200, shape[0])
    # The certificate, computed here once more.
    ours, theirs = np.einsum("kij,kj->ki", rows, y), np.einsum("kij,ki->kj", columns, x)
    ours_off = ours.max(1) - (ours * x).sum(1)
    theirs_off = theirs.max(1) - (theirs * y).sum(1)
    again = np.maximum(ours_off, theirs_off)
    assert again.max() <= 1e-9 * most and np.allclose(again, regrets, atol=1e-9 * most)
    assert np.allclose(x.sum(1), 1) and np.allclose(y.sum(1), 1) and min(x.min(), y.min()) >= 0
    for k in range(0, 200, 40):  # the integers' path is the same one
        game = NormalForm.bimatrix(rows[k], columns[k])
        end = np.concatenate(exact_path(game, int(labels[k])))
        assert np.allclose(np.concatenate([x[k], y[k]]), end, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_one_player_counts_as_much_as_the_other(scale: float) -> None:
    rng = np.random.default_rng(6)
    row, column = rng.integers(-50, 50, (2, 5, 4))
    for label in range(9):
        want = np.concatenate(lemke_howson(NormalForm.bimatrix(row, column), label)[0])
        for ours, theirs in ((row * scale, column + 1e6), (row - 1e6, column * scale)):
            end = lemke_howson(NormalForm.bimatrix(ours, theirs), label)[0]
            assert np.allclose(np.concatenate(end), want, rtol=0, atol=1e-9)


def test_ends_are_among_all_equilibria() -> None:
    rng = np.random.default_rng(4)
    game = NormalForm.bimatrix(*rng.normal(size=(2, 6, 5)))
    known = [np.concatenate(p) for p in equilibria(game)]
    ends = lemke_howson(game, None)
    for end in ends:
        assert min(np.abs(np.concatenate(end) - k).max() for k in known) <= 1e-9


def test_the_kernel_runs_inside_compiled_code_and_in_single_precision() -> None:
    row, column = (jnp.asarray(u, jnp.float32) for u in STENGEL.payoffs)
    over_labels = jax.jit(jax.vmap(lemke_howson_kernel, in_axes=(None, None, 0)))
    x, y, ok = over_labels(row, column, jnp.arange(2))
    assert x.dtype == jnp.float32 and bool(ok.all())
    assert np.allclose(x, [[1, 0, 0], [0, 1 / 3, 2 / 3]], atol=1e-5)
    assert np.allclose(y, [[1, 0], [1 / 3, 2 / 3]], atol=1e-5)


def test_a_path_that_is_cut_short_says_so() -> None:
    row, column = (jnp.asarray(u, jnp.float32) for u in STENGEL.payoffs)
    x, y, ok = lemke_howson_kernel(row, column, 1, max_pivots=1)
    assert not ok and np.allclose(x, 1 / 3) and np.allclose(y, 1 / 2)


def test_a_long_path_ends_where_integers_say() -> None:
    rng = np.random.default_rng(9)
    game = NormalForm.bimatrix(*rng.normal(size=(2, 15, 15)))
    found = lemke_howson(game, 3)
    assert np.allclose(
        np.concatenate(found[0]), np.concatenate(exact_path(game, 3)), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: lemke_howson(NormalForm(np.zeros((3, 2, 2, 2)))), "3 players"),
        (lambda: lemke_howson(STENGEL, 5), "label .5. is not there: 3 x 2 .* labels 0 to 4"),
        (lambda: lemke_howson(STENGEL, -1), "label .-1. is not there"),
        (lambda: lemke_howson_batch([[1]], [[1]]), r"expected two arrays \[K, m, n\]"),
        (lambda: lemke_howson_batch([[[1]]], [[[1, 2]]]), r"shapes \[1, 1, 1\] and \[1, 1, 2\]"),
        (lambda: lemke_howson_batch([[[1]]], [[[np.nan]]]), "not finite"),
        (lambda: lemke_howson_batch([[[1]]], [[[1]]], 0.5), "label is 0.5, expected a whole"),
        (lambda: lemke_howson_batch([[[1]]], [[[1]]], [0, 1]), r"shape \[2\], expected one label"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
