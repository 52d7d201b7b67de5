"""One equilibrium of any game: certified, and the one that the branch is known to select."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import braess, classic, random
from shoal.games.homotopy import logit_nash, n_player_equilibrium
from shoal.games.normal_form import NormalForm, regret


@pytest.mark.parametrize(
    ("game", "profile"),
    [
        (classic("prisoners_dilemma"), ([0, 1], [0, 1])),
        (classic("stag_hunt"), ([0, 1], [0, 1])),  # the hare: 3 against 2.5 at the start
        (classic("rock_paper_scissors"), ([1 / 3] * 3, [1 / 3] * 3)),
        (classic("coordination", num_actions=3), ([1 / 3] * 3, [1 / 3] * 3)),  # by symmetry
        (NormalForm.bimatrix([[9, 0], [0, 1]], [[0, 1], [1, 0]]), ([0.5, 0.5], [0.1, 0.9])),
        (NormalForm.zero_sum([[2, 1, 5], [-3, -4, -2]]), ([1, 0], [0, 1, 0])),
    ],
    ids=["dilemma", "stag-hunt", "rps", "coordination", "pennies", "saddle"],
)
def test_what_the_branch_selects(game, profile) -> None:
    found = logit_nash(game)
    assert len(found) == 1 and found.regrets[0] < 1e-9 and not found.complete
    assert all(np.allclose(x, want, rtol=0, atol=1e-9) for x, want in zip(found[0], profile))


@pytest.mark.parametrize(
    "game",
    [random((3, 3, 3), 2), random((2,) * 5, 3), braess(3)],
    ids=["3x3x3", "2^5", "braess"],
)
def test_any_number_of_players(game) -> None:
    found = n_player_equilibrium(game)
    assert len(found) == 1 and regret(game, found[0]) < 1e-9


def test_more_starts_find_more() -> None:
    found = n_player_equilibrium(classic("coordination", num_actions=2), starts=4, seed=1)
    assert len(found) == 3 and max(found.regrets) < 1e-9


def test_units_do_not_matter() -> None:
    game = random((2, 2, 3), 7)
    small = NormalForm(np.asarray(game.payoffs) * 1e-6)
    one, other = logit_nash(game), logit_nash(small)
    assert all(np.allclose(a, b, rtol=0, atol=1e-9) for a, b in zip(one[0], other[0]))


@pytest.mark.parametrize("shift", [1e6, 1e9])
def test_payoffs_far_from_nothing(shift: float) -> None:
    game = NormalForm(np.asarray(classic("prisoners_dilemma").payoffs) + shift)
    assert [x.tolist() for x in logit_nash(game)[0]] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("scale", [1e-6, 1e-12, 1e12])
def test_each_player_has_its_own_units(scale: float) -> None:
    game = random((3, 3), 0)
    other = NormalForm(np.asarray(game.payoffs) * np.array([1, scale]).reshape(2, 1, 1))
    found = n_player_equilibrium(other)
    assert len(found) == 1 and regret(game, found[0]) < 1e-9


def test_where_nothing_matters_the_start_is_the_end() -> None:
    found = logit_nash(NormalForm(np.zeros((2, 2, 3))))
    assert [x.round(9).tolist() for x in found[0]] == [[0.5] * 2, [round(1 / 3, 9)] * 3]


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="starts is 0"):
        n_player_equilibrium(classic("chicken"), starts=0)
