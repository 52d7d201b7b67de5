"""Games by name: what is known of each, by hand."""

import jax
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.classic import (
    CLASSIC,
    blotto,
    braess,
    classic,
    congestion,
    covariant,
    hawk_dove,
    machines,
    pigou,
    random,
    sealed_bid,
)
from shoal.games.dominance import dominated_actions
from shoal.games.normal_form import pure, regret
from shoal.games.pure_equilibria import pure_action_profiles

DEFECT, UNIFORM = [0, 1], [1 / 3] * 3


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("prisoners_dilemma", (DEFECT, DEFECT)),
        ("stag_hunt", ([2 / 3, 1 / 3], [2 / 3, 1 / 3])),  # 4p + (1-p) = 3
        ("chicken", ([2 / 3, 1 / 3], [2 / 3, 1 / 3])),  # 6p + 2(1-p) = 7p
        ("hawk_dove", ([0.5, 0.5], [0.5, 0.5])),  # V/C = 2/4
        ("matching_pennies", ([0.5, 0.5], [0.5, 0.5])),
        ("rock_paper_scissors", (UNIFORM, UNIFORM)),
        ("battle_of_the_sexes", ([0.6, 0.4], [0.4, 0.6])),
        ("coordination", ([0.5, 0.5], [0.5, 0.5])),
        ("shapley", (UNIFORM, UNIFORM)),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_known_equilibrium_is_one(name: str, profile) -> None:
    assert regret(classic(name), profile) < 1e-12


@pytest.mark.parametrize("name", [n for n in CLASSIC if n != "congestion"])
def test_every_name_gives_a_game_without_options(name: str) -> None:
    game = classic(name)
    assert game.title and np.isfinite(np.asarray(game.payoffs)).all()


def test_hawks_are_value_over_cost() -> None:
    p = [1 / 5, 4 / 5]
    assert regret(hawk_dove(1.0, 5.0), (p, p)) < 1e-12


def test_blotto_by_hand() -> None:
    game = blotto(2, 2)
    assert game.actions[0] == ("0-2", "1-1", "2-0")
    assert (np.asarray(game.payoffs) == 0).all()  # one field each, or a draw
    big = blotto(10, 3)
    assert big.num_actions == (66, 66)
    row = np.asarray(big.payoffs[0])
    assert (row == -row.T).all()  # so that the value is 0
    names = big.actions[0]
    assert row[names.index("3-3-4"), names.index("0-5-5")] == -1
    assert row[names.index("3-3-4"), names.index("10-0-0")] == 1


def test_sealed_bids_by_hand() -> None:
    """Values 4 and 3, bids 3 and 2, then 2 and 2; three who tie share the chance of winning."""
    for rule, won, tied in (("first", [1, 0], [1, 0.5]), ("second", [2, 0], [1, 0.5])):
        payoffs = np.asarray(sealed_bid(rule=rule).payoffs)
        assert payoffs[:, 3, 2].tolist() == won and payoffs[:, 2, 2].tolist() == tied
    every = np.asarray(sealed_bid(rule="all-pay").payoffs)
    assert every[:, 3, 2].tolist() == [1, -2] and every[:, 2, 2].tolist() == [0, -0.5]
    three = np.asarray(sealed_bid([6, 6, 9], [0, 3]).payoffs)
    assert three[:, 1, 1, 1].tolist() == [1, 1, 2] and three[:, 0, 0, 0].tolist() == [2, 2, 3]
    assert three[:, 1, 0, 1].tolist() == [1.5, 0, 3]
    assert sealed_bid([1, 2], [0, 0.5]).actions[1] == ("0", "0.5")


def test_what_is_known_of_sealed_bids() -> None:
    # Truth is never worse at the second price, so that everything else that is not equal is.
    second = sealed_bid([4, 3], range(6), "second")
    assert dominated_actions(second, 0, strict=False) == [0, 1, 2, 3, 5]
    # At the first price the loser bids its value or just below, the winner that or just above.
    assert pure_action_profiles(sealed_bid([4, 2], range(6))) == [(2, 1), (2, 2), (3, 2)]
    # Where all pay, the loser would rather bid 0, and then the winner less.
    assert pure_action_profiles(sealed_bid([3, 3], range(4), "all-pay")) == []


def test_congestion_by_hand() -> None:
    """Two players, three roads: road 1 is on a route of each."""
    game = congestion([[1, 10], [2, 5], [4, 4]], [[[0, 1], [2]], [[1], [2]]])
    costs = -np.asarray(game.payoffs)
    assert costs[0].tolist() == [[1 + 5, 1 + 2], [4, 4]]
    assert costs[1].tolist() == [[5, 4], [2, 4]]
    heavy = -np.asarray(machines([3, 1], 2).payoffs)
    assert heavy.tolist() == [[[4, 3], [3, 4]], [[4, 1], [1, 4]]]


def test_all_on_the_new_road_is_an_equilibrium() -> None:
    assert regret(pigou(4), pure(pigou(4), (1,) * 4)) == 0
    game = braess(4)
    assert regret(game, pure(game, (2,) * 4)) == 0
    assert game.payoffs[:, 2, 2, 2, 2].tolist() == [-2.0] * 4
    assert game.payoffs[:, 0, 0, 1, 1].tolist() == [-1.5] * 4


@pytest.mark.parametrize(
    ("sizes", "rho"), [((40, 50), -1.0), ((40, 50), 0.6), ((15, 15, 15), -0.5), ((9, 9, 9), 1.0)]
)
def test_covariant_payoffs_have_the_correlation(sizes, rho: float) -> None:
    payoffs = np.asarray(covariant(sizes, rho, 3).payoffs).reshape(len(sizes), -1)
    found = np.corrcoef(payoffs)[0, 1]
    assert abs(found - rho) < (1e-9 if abs(rho) == 1 else 0.06)  # 2000 profiles: 0.02 a deviation
    assert abs(payoffs.std() - 1) < 0.1


def test_random_games_repeat_by_seed_and_by_key() -> None:
    def same(a, b):
        return bool((np.asarray(random((2, 3), a).payoffs) == random((2, 3), b).payoffs).all())

    assert same(1, 1) and not same(1, 2)
    assert same(jax.random.key(1), jax.random.key(1))
    assert not same(jax.random.key(1), jax.random.key(2))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: classic("chiken"), "unknown game 'chiken': did you mean 'chicken'"),
        (lambda: covariant((2, 2, 2), -0.6), r"rho is -0.6, expected -0.5 to 1"),
        (lambda: random((2, 0)), "num_actions"),
        (lambda: random((10,) * 9), "limit"),
        (lambda: congestion([[1, 2]], [[[0]], [[1]]]), "resource 1 does not exist"),
        (lambda: congestion([[1]], [[[0]], [[0]]]), r"expected \[R, 2 or more\]"),
        (lambda: congestion([[1, 2]], [[[0]], [[0]]], [-1, 2]), r"weights are \[-1, 2\]"),
        (lambda: congestion([["a", 2]], [[[0]], [[0]]]), "delays are ragged or not numbers"),
        (lambda: pigou(0), "routes are empty"),
        (lambda: sealed_bid(rule="frist"), "unknown rule 'frist': did you mean 'first'"),
        (lambda: sealed_bid([1]), "needs 2 bidders"),
        (lambda: sealed_bid([1, float("nan")]), r"values are not all finite numbers, .* \[1\]"),
        (lambda: sealed_bid(bids=[0, -1]), r"bids are \[0.0, -1.0\], expected none below 0"),
        (lambda: sealed_bid(bids=[1, 1]), "'1' is there twice"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()
