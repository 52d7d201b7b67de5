"""Dominated actions by hand: pure and mixed, strict and weak, with what dominates them."""

import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import classic, random
from shoal.games.dominance import dominated_actions, dominator, iterated_elimination
from shoal.games.normal_form import NormalForm, regret
from shoal.games.support_enumeration import support_enumeration

ZERO = [[0, 0], [0, 0], [0, 0]]
MIDDLE = NormalForm.bimatrix([[3, 0], [0, 3], [1, 1]], ZERO)  # half and half gives 3/2 > 1
EDGE = NormalForm.bimatrix([[2, 0], [0, 2], [1, 1]], ZERO)  # half and half gives just 1
WEAK = NormalForm.bimatrix([[1, 1], [1, 0], [0, 0]], ZERO)
MIXED_WEAK = NormalForm.bimatrix(
    [[4, 0, 1], [0, 4, 1], [2, 2, 0]], np.zeros((3, 3))
)  # half and half gives (2, 2, 1)


@pytest.mark.parametrize(
    ("game", "strict", "mixed", "dominated"),
    [
        (classic("prisoners_dilemma"), True, False, [0]),
        (classic("matching_pennies"), False, True, []),
        (classic("rock_paper_scissors"), False, True, []),
        (MIDDLE, True, True, [2]),
        (MIDDLE, True, False, []),
        (EDGE, True, True, []),
        (EDGE, False, True, []),  # equal everywhere is no domination
        (WEAK, True, True, [2]),
        (WEAK, False, True, [1, 2]),
        (MIXED_WEAK, True, True, []),
        (MIXED_WEAK, False, True, [2]),
        (MIXED_WEAK, False, False, []),
        (NormalForm.bimatrix(ZERO, ZERO), False, True, []),
    ],
)
def test_dominated_actions_by_hand(game, strict: bool, mixed: bool, dominated) -> None:
    assert dominated_actions(game, 0, strict, mixed) == dominated


def test_the_witness_is_the_best_mixture_and_exact() -> None:
    found = dominator(MIDDLE, 0, 2)
    assert found is not None and found.exact and found.strict
    assert np.allclose(found.strategy, [0.5, 0.5, 0], rtol=0, atol=1e-12)
    assert abs(found.margin - 0.5) < 1e-12
    weak = dominator(MIXED_WEAK, 0, 2, strict=False)
    assert weak is not None and np.allclose(weak.strategy, [0.5, 0.5, 0], 0, 1e-9) and weak.exact
    assert abs(weak.margin - 1) < 1e-12


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_units_do_not_matter(scale: float) -> None:
    game = NormalForm(np.asarray(MIDDLE.payoffs) * scale)
    assert dominated_actions(game, 0) == [2]


def test_the_middle_player_of_three() -> None:
    payoffs = np.zeros((3, 2, 3, 2))
    payoffs[1, :, 0, :], payoffs[1, :, 1, :] = [[3, 0], [3, 0]], [[0, 3], [0, 3]]
    payoffs[1, :, 2, :] = 1
    assert dominated_actions(NormalForm(payoffs), 1) == [2]
    assert dominated_actions(NormalForm(payoffs), 0) == []
    payoffs[1, 1, 0, 0] = 1.9  # half and half then gives 0.95 in one of the four combinations
    payoffs[1, 1, 1, 0] = 0
    payoffs[1, 0, 0, 0] = 3
    found = dominator(NormalForm(payoffs), 1, 2)
    # 1.9 p > 1 and 3 (1 - p) > 1: p between 0.526 and 0.667; equal gains at p = 3/4.9
    assert found is not None and np.allclose(found.strategy, [3 / 4.9, 1.9 / 4.9, 0], 0, 1e-9)


def test_elimination_in_rounds() -> None:
    """The right column goes first, then the row that was good against it, then a column."""
    game = NormalForm.bimatrix(
        [[1, 1, 0], [0, 0, 2]],
        [[0, 2, 1], [3, 1, 0]],
        actions=[["up", "down"], ["left", "middle", "right"]],
    )
    out = iterated_elimination(game)
    assert out.kept == [[0], [1]] and out.rounds == [1, 2, 3]
    assert [(d.player, d.action) for d in out.order] == [(1, 2), (0, 1), (1, 0)]
    assert out.game.actions == (("up",), ("middle",))
    assert regret(game, out.lift(([1.0], [1.0]))) == 0


def test_weak_elimination_may_lose_equilibria() -> None:
    game = NormalForm.bimatrix([[1, 1], [1, 0]], [[1, 1], [1, 0]])
    assert iterated_elimination(game, strict=False).kept == [[0], [0]]
    assert iterated_elimination(game).kept == [[0, 1], [0, 1]]


def test_payoffs_that_differ_by_rounding_are_equal() -> None:
    rows = [[0.1 + 0.2, 1], [0.3, 2]]  # the first is larger in its last bit
    found = dominator(NormalForm.bimatrix(rows, np.zeros((2, 2))), 0, 0, strict=False)
    assert found is not None and found.margin == 1 and not found.exact
    assert dominator(NormalForm.bimatrix(rows, np.zeros((2, 2))), 0, 0) is None


@pytest.mark.parametrize("seed", range(6))
def test_equilibria_of_the_reduced_game_are_all_of_the_game(seed: int) -> None:
    game = random((4, 4), seed)
    out = iterated_elimination(game)
    inside = [out.lift(p) for p in support_enumeration(out.game)]
    whole = support_enumeration(game)
    assert len(inside) == len(whole) and max(regret(game, p) for p in inside) < 1e-9
    assert all(d.margin > 0 and d.exact for d in out.order)


@pytest.mark.parametrize("seed", range(3))
def test_an_undominated_action_is_a_best_response(seed: int) -> None:
    """Pearce 1984: with two players, not strictly dominated is best against something."""
    game = random((6, 3), seed)
    rows = np.asarray(game.payoffs[0])
    rng = np.random.default_rng(seed)
    best = set(np.argmax(rows @ rng.dirichlet([0.5] * 3, 20_000).T, 0).tolist())
    assert set(range(6)) - set(dominated_actions(game, 0)) == best


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: dominated_actions(MIDDLE, 2), "player 2 does not exist"),
        (lambda: dominator(MIDDLE, 0, 3), "action 3 does not exist"),
        (lambda: dominated_actions(random((5, 20, 20)), 0), "use mixed=False"),
    ],
)
def test_bad_input_is_named(build, said: str, monkeypatch) -> None:
    monkeypatch.setattr("shoal.games.dominance.LARGEST_PROGRAM", 10**3)
    with pytest.raises(UserError, match=said):
        build()
