"""Numbers as they were written: decimals, large whole numbers, fractions; and when they count."""

import json
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest

from shoal.cli.game_input import read_game
from shoal.games.bimatrix import equilibria
from shoal.games.exact_numbers import exact_array, rational
from shoal.games.gambit.nfg import read_nfg, write_nfg
from shoal.games.normal_form import NormalForm, regret

LARGE = 2**53 + 1
THIRD = Fraction(1, 3)
BEYOND = Fraction(10**9, 10**9 + 7)  # no float tells this one


def test_floats_are_the_decimals_that_they_print_as() -> None:
    rng = np.random.default_rng(0)
    digits, places = rng.integers(1, 10**15, 300), rng.integers(0, 18, 300)
    for digit, place in zip(digits.tolist(), places.tolist()):
        written = Fraction(digit % 10 ** (1 + place % 15), 10**place)
        found = rational(float(written)).item()
        assert found == written or (found.denominator <= 10**6 and float(found) == float(written))
    assert rational(1 / 3).item() == THIRD
    assert rational(np.float32(0.1234567)).item() == Fraction(1234567, 10**7)
    assert rational(1e23).item() == 10**23


@pytest.mark.parametrize(
    "payoffs",
    [
        [[LARGE, 0.5], [THIRD, BEYOND]],
        [[LARGE, Fraction(1, 2)], [THIRD, BEYOND]],
        np.array([[LARGE, 0.5], [THIRD, BEYOND]], object),
    ],
    ids=["with floats", "fractions", "array"],
)
def test_every_way_to_make_a_game_keeps_what_was_given(payoffs) -> None:
    want = [[LARGE, Fraction(1, 2)], [THIRD, BEYOND]]
    for game in (
        NormalForm.zero_sum(payoffs),
        NormalForm.symmetric(payoffs),
        NormalForm.bimatrix(payoffs, [[0, 1], [2, 3]]),
        NormalForm([payoffs, payoffs]),
    ):
        assert game.exact()[0].tolist() == want
        assert game.payoffs.dtype == np.float64 and game.payoffs[0, 0, 0] == 2.0**53
        assert read_nfg(write_nfg(game)).exact().tolist() == game.exact().tolist()


def test_whole_numbers_of_numpy_and_of_text() -> None:
    assert NormalForm.zero_sum(np.array([[LARGE]])).exact()[0].tolist() == [[LARGE]]
    assert exact_array([[2**64, 1]]).tolist() == [[2**64, 1]]
    for text in (f"{LARGE} 1/3; 0.1234567 2", json.dumps([[LARGE, 1], [0.1234567, 2]])):
        game = read_game(text.replace("1/3", "1"))
        assert game.exact()[0].tolist() == [[LARGE, 1], [Fraction(1234567, 10**7), 2]]
    game = read_nfg(f'NFG 1 R "" {{ "a" }} {{ 3 }} {LARGE} 0.30000000000000004 {BEYOND}')
    assert game.exact()[0].tolist() == [LARGE, Fraction(30000000000000004, 10**17), BEYOND]


def test_what_was_written_counts_only_for_the_payoffs_it_was_written_for() -> None:
    game = NormalForm.zero_sum([[LARGE, BEYOND]])
    doubled = jax.tree.map(lambda p: 2 * p, game)
    assert doubled.exact()[0].tolist() == [[2**54, *rational([2 * float(BEYOND)])]]


def test_games_stack_whatever_was_written() -> None:
    games = [NormalForm.zero_sum([[LARGE, BEYOND]]), NormalForm.zero_sum([[1, 2]])]
    stacked = jax.tree.map(lambda *p: np.stack(p), *games)
    best = jax.vmap(lambda game: game.payoffs[0].max())(stacked)
    assert best.tolist() == [2.0**53, 2.0]
    assert hash(games[0].written) == hash(games[1].written)


def test_there_is_no_negative_zero() -> None:
    assert str(NormalForm.zero_sum([[0, 1]]).payoffs[1].tolist()) == "[[0.0, -1.0]]"


def test_ties_of_seven_digits_by_hand() -> None:
    """.1234567 + .7654321 is .8888888: all rows tie at half and half. The column player's gains are
    those of pennies in the first two rows, so that it mixes only against half and half."""
    a, b = 0.1234567, 0.7654321
    game = NormalForm.bimatrix([[a, b], [b, a], [0.4444444] * 2], [[0, 1], [1, 0], [0, 0]])
    half = Fraction(1, 2)
    want = {
        ((half, half, 0), (half, half)),
        ((0, 0, 1), (half, half)),
        ((1, 0, 0), (0, 1)),
        ((0, 1, 0), (1, 0)),
    }
    for exact in (True, False):
        found = equilibria(game, exact)
        assert found.complete and {(tuple(x), tuple(y)) for x, y in found} == want
        assert max(regret(game, profile, exact=True) for profile in found) == 0


@pytest.mark.parametrize("exact", [True, False])
def test_units_of_many_digits_change_no_equilibrium(exact: bool) -> None:
    """A degenerate game of whole numbers, in units and from a level of seven digits each: every
    number is a float of its own rounding, and every tie has to survive that."""
    rng = np.random.default_rng(7)
    for _ in range(25):
        whole = rng.integers(0, 3, (2, 3, 3))
        unit, level = rng.integers(10**6, 10**7, (2, 2, 1, 1)) / 10**7
        floats = np.vectorize(float)(rational(unit) * rational(whole) + rational(level))
        plain, moved = (equilibria(NormalForm(p), exact=True) for p in (whole, floats))
        found = equilibria(NormalForm(floats), exact)
        key, ours = (np.array([np.concatenate(p) for p in f], float) for f in (plain, found))
        assert ours == pytest.approx(key, abs=1e-12)
        assert moved.components == plain.components and max(moved.regrets) == 0


def test_a_file_is_as_exact_as_what_it_says(tmp_path: Path) -> None:
    """A difference of 1 in 10^20, which floats do not see, decides who is best."""
    path = tmp_path / "game.nfg"
    path.write_text(
        'NFG 1 R "" { "a" "b" } { 2 1 } 100000000000000000001 0 100000000000000000000 0'
    )
    found = equilibria(read_nfg(path), exact=True)
    assert len(found) == 1 and found[0][0].tolist() == [1, 0]
