"""One game object: shapes, expected payoffs by hand, regret, and what is refused."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.normal_form import (
    NormalForm,
    deviations,
    expected_payoffs,
    gains,
    pure,
    rational,
    regret,
)

PENNIES = NormalForm.zero_sum([[1, -1], [-1, 1]])


def test_expected_payoffs_by_hand() -> None:
    game = NormalForm.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    x, y = [0.25, 0.75], [0.5, 0.5]
    assert deviations(game.payoffs, (x, y), 0).tolist() == [1.5, 3.0]
    assert deviations(game.payoffs, (x, y), 1).tolist() == [0.75, 2.0]
    assert expected_payoffs(game, (x, y)).tolist() == [
        0.25 * 1.5 + 0.75 * 3.0,
        0.5 * 0.75 + 0.5 * 2.0,
    ]
    assert gains(game, (x, y)).tolist() == [3.0 - 2.625, 2.0 - 1.375]
    assert regret(game, (x, y)) == 0.625


def test_each_player_of_three_faces_the_other_two() -> None:
    payoffs = np.arange(3 * 2 * 3 * 4, dtype=float).reshape(3, 2, 3, 4)
    profile = [np.array(p) for p in ([0.5, 0.5], [0.2, 0.3, 0.5], [0.1, 0.2, 0.3, 0.4])]
    for i, letters in enumerate(("a", "b", "c")):
        others = [p for j, p in enumerate(profile) if j != i]
        names = [n for j, n in enumerate("abc") if j != i]
        want = np.einsum(f"abc,{','.join(names)}->{letters}", payoffs[i], *others)
        assert np.allclose(deviations(payoffs, profile, i), want, atol=1e-12)


def test_regret_is_exact_in_rational_numbers() -> None:
    game = NormalForm.bimatrix([[1, 0], [0, 1 / 3]], [[1, 0], [0, 1 / 3]])
    mixed = rational([0.25, 0.75])
    assert regret(game, (mixed, mixed), exact=True) == 0
    assert game.exact()[0, 1, 1] == Fraction(1, 3)
    off = np.array([Fraction(1, 4) + Fraction(1, 10**12), Fraction(3, 4) - Fraction(1, 10**12)])
    # The row player then gains 1e-12 (1 + 1/3) by its first action, which it takes with 3/4 less.
    assert regret(game, (mixed, off), exact=True) == Fraction(3, 4) * Fraction(4, 3) / 10**12


def test_constructors() -> None:
    assert PENNIES.payoffs.tolist() == [[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]]
    game = NormalForm.symmetric([[0, 7], [2, 6]])
    assert game.payoffs[1].tolist() == [[0, 2], [7, 6]]
    assert game.players == ("player 1", "player 2") and game.actions == (("1", "2"), ("1", "2"))
    assert [p.tolist() for p in pure(game, (1, 0))] == [[0, 1], [1, 0]]


def test_a_game_is_a_pytree() -> None:
    games = jax.vmap(NormalForm)(jnp.stack([jnp.asarray(PENNIES.payoffs)] * 3))
    half = jnp.array([0.5, 0.5])
    values = jax.vmap(lambda g: expected_payoffs(g, (half, half)))(games)
    assert values.shape == (3, 2) and bool((values == 0).all())
    slope = jax.grad(lambda p: expected_payoffs(NormalForm(p), (half, half))[0])(
        jnp.asarray(PENNIES.payoffs)
    )
    assert slope[0].tolist() == [[0.25, 0.25], [0.25, 0.25]] and slope[1].tolist() == [[0, 0]] * 2


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: NormalForm([[[1, 2], [3]], [[1, 2], [3, 4]]]), "ragged"),
        (lambda: NormalForm.zero_sum([[1, float("nan")]]), r"payoff \[0, 1\] is nan"),
        (lambda: NormalForm([[1, 2], [3, 4]]), r"shape \[2, 2\], expected \[N, A1, ..., AN\]"),
        (lambda: NormalForm.bimatrix([[1, 2]], [[1], [2]]), r"shapes \[1, 2\] and \[2, 1\]"),
        (lambda: NormalForm.symmetric([[1, 2]]), "square"),
        (lambda: NormalForm.zero_sum([[1, 2]], players=["a"]), "1 names of player, expected 2"),
        (lambda: NormalForm.zero_sum([[1, 2]], players=["a", "a"]), "player 'a' is there twice"),
        (lambda: NormalForm.zero_sum([[1, 2]], actions=[["a"], ["b", "b"]]), "'b' is there twice"),
        (lambda: regret(PENNIES, ([1, 0],)), "1 strategies, expected 2"),
        (lambda: regret(PENNIES, ([1, 0], [1, 0, 0])), r"player 2 has shape \[3\], expected \[2\]"),
        (lambda: regret(PENNIES, ([1, 0], [0.5, 0.4])), "player 2 is not a distribution"),
        (lambda: regret(PENNIES, ([1.5, -0.5], [0.5, 0.5])), "player 1 is not a distribution"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
