"""Nucleolus and prenucleolus: known cases, the Talmud's rule, a naive method, Kohlberg's proof."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from shoal.core.errors import UserError
from shoal.games.cooperative.characteristic import CharacteristicFunction, excesses, memberships
from shoal.games.cooperative.nucleolus import (
    balanced_weights,
    is_nucleolus,
    nucleolus,
    prenucleolus,
)

C = CharacteristicFunction
ICE = C([0, 0, 0, 500, 0, 500, 750, 1000])
LAME = C([0, 2, 0, 1, 0, 1, 4, 4])
"""Player 1 is worth 2 alone, but the prenucleolus gives it less."""


def random_game(num_players: int, seed: int) -> CharacteristicFunction:
    sizes = np.bitwise_count(np.arange(1 << num_players)).astype(float)
    noise = np.random.default_rng(seed).integers(0, 9, 1 << num_players)
    return C(np.where(sizes > 1, sizes**2 + noise, 0))


def naive(game: CharacteristicFunction, imputations: bool) -> np.ndarray:
    """Lowers the largest excess; asks of each coalition that then has it, by itself, whether its
    share can still rise; fixes those that cannot; and again."""
    n, values = game.num_players, game.gains
    members = memberships(n).astype(float)
    fixed = {len(values) - 1: values[-1]}
    floor = [(values[1 << i] if imputations else None, None) for i in range(n)]
    while np.linalg.matrix_rank(members[list(fixed)]) < n:
        left = [m for m in range(1, len(values)) if m not in fixed]
        equal, right = members[list(fixed)], list(fixed.values())
        first = linprog(
            [0] * n + [1],
            A_ub=-np.hstack([members[left], np.ones((len(left), 1))]),
            b_ub=-values[left],
            A_eq=np.hstack([equal, np.zeros((len(equal), 1))]),
            b_eq=right,
            bounds=[*floor, (None, None)],
        )
        reached = members @ first.x[:n]
        for m in [m for m in left if reached[m] < values[m] - first.fun + 1e-7]:
            rise = linprog(
                -members[m],
                A_ub=-members[left],
                b_ub=first.fun - values[left] + 1e-11,
                A_eq=equal,
                b_eq=right,
                bounds=floor,
            )
            if -rise.fun < values[m] - first.fun + 1e-7:
                fixed[m] = values[m] - first.fun
    shares = np.linalg.lstsq(members[list(fixed)], np.array(list(fixed.values())), rcond=None)[0]
    return -shares if game.costs else shares


@pytest.mark.parametrize(
    ("game", "shares"),
    [
        pytest.param(C.glove(1, 2), [1, 0, 0], id="glove 1 2"),
        pytest.param(C.glove(2, 3), [1, 1, 0, 0, 0], id="glove 2 3"),
        pytest.param(C.weighted_voting(2, [1, 1, 1]), [1 / 3] * 3, id="majority of three"),
        pytest.param(ICE, [500 / 3, 1250 / 3, 1250 / 3], id="ice cream"),
        pytest.param(
            C.weighted_voting(51, [40, 22, 30, 9]), [1 / 3, 1 / 3, 1 / 3, 0], id="shareholders"
        ),
        pytest.param(
            C.weighted_voting(12, [4, 4, 4, 2, 2, 1]),
            [1 / 4, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 0],
            id="EEC",
        ),
        pytest.param(
            C.weighted_voting(65, [47, 46, 17, 16, 2]),
            [2 / 7, 2 / 7, 1 / 7, 1 / 7, 1 / 7],
            id="council of five",
        ),
        pytest.param(C.bankruptcy(100, [100, 200, 300]), [100 / 3] * 3, id="Talmud 100"),
        pytest.param(C.bankruptcy(200, [100, 200, 300]), [50, 75, 75], id="Talmud 200"),
        pytest.param(C.bankruptcy(300, [100, 200, 300]), [50, 100, 150], id="Talmud 300"),
        pytest.param(C.airport([8, 11, 13, 18]), [3.25, 3.25, 3.25, 8.25], id="airport"),
        pytest.param(C([0, 7]), [7], id="alone"),
        pytest.param(C([0, 1, 2, 3]), [1, 2], id="nothing to share"),
    ],
)
def test_known_cases(game: CharacteristicFunction, shares: list[float]) -> None:
    found = nucleolus(game)
    assert found.certified and found.programs < game.num_players
    assert np.allclose(found.allocation, shares, rtol=0, atol=1e-9)
    assert sum(found.exact) == game.exact()[-1]
    # Here no player falls below its floor, so the prenucleolus is the same.
    assert np.allclose(prenucleolus(game).allocation, shares, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("game", "imputations"),
    [
        *(pytest.param(random_game(3, s), True, id=f"random 3, {s}") for s in range(3)),
        *(pytest.param(random_game(4, s), True, id=f"random 4, {s}") for s in range(2)),
        pytest.param(random_game(4, 3), False, id="random 4, prenucleolus"),
        pytest.param(random_game(5, 0), True, id="random 5"),
        pytest.param(LAME, True, id="floor binds"),
        pytest.param(LAME, False, id="no floor"),
        pytest.param(C([0, 3, 4, 8, 6, 7, 8, 9], costs=True), True, id="costs"),
    ],
)
def test_against_the_naive_method(game: CharacteristicFunction, imputations: bool) -> None:
    found = nucleolus(game) if imputations else prenucleolus(game)
    assert found.certified and found.imputations is imputations
    assert np.allclose(found.allocation, naive(game, imputations), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_ten_players_against_the_naive_method(seed: int) -> None:
    game = random_game(10, seed)
    found = nucleolus(game)
    assert found.certified
    assert np.allclose(found.allocation, naive(game, True), rtol=0, atol=1e-9)


def test_the_floor_of_the_nucleolus_by_hand() -> None:
    # Free of floors, {1} and {2, 3} both want: 2 - x = 4 - (4 - x) gives x = 1, less than 2.
    assert prenucleolus(LAME).allocation.tolist() == [1, 1.5, 1.5]
    assert nucleolus(LAME).allocation.tolist() == [2, 1, 1]


@pytest.mark.parametrize("seed", range(4))
def test_bankruptcies_are_shared_as_in_the_talmud(seed: int) -> None:
    # Aumann, Maschler 1985: equal gains up to half the claims, then equal losses down to half.
    rng = np.random.default_rng(seed)
    claims = rng.integers(1, 100, 4).astype(float)
    estate = float(rng.integers(1, claims.sum()))
    short = min(estate, claims.sum() - estate)
    low, high = 0.0, claims.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.minimum(claims / 2, middle).sum() < short else (low, middle)
        )
    equal = np.minimum(claims / 2, low)
    rule = equal if estate <= claims.sum() / 2 else claims - equal
    found = nucleolus(C.bankruptcy(estate, claims))
    assert found.certified and np.allclose(found.allocation, rule, rtol=0, atol=1e-9)


def test_ten_players_certified() -> None:
    game = random_game(10, 0)
    found = nucleolus(game)
    assert found.certified and len(found.levels) < 10
    # The proof by its own word: at each level the weights cover each player once in all.
    members = memberships(10)
    for level in found.levels:
        cover = sum(w * members[m].astype(int) for m, w in level.weights.items())
        cover = cover + np.array([level.floors.get(i, Fraction(0)) for i in range(10)])
        assert (cover == 1).all() and min(level.weights.values()) > 0
    over = excesses(game, np.array(found.exact, object))[1:-1]
    assert len(found.levels[-1].weights) == sum(float(e) >= found.levels[-1].excess for e in over)


def test_values_with_no_short_fractions() -> None:
    game = C(np.append(0, np.random.default_rng(0).random(63) + np.log2(np.arange(1, 64))))
    found = prenucleolus(game)
    assert found.certified and is_nucleolus(game, found.exact, imputations=False)


@pytest.mark.parametrize(
    ("shares", "yes"),
    [
        pytest.param([50, 75, 75], True, id="nucleolus"),
        pytest.param([50, 76, 74], False, id="off at the second level"),
        pytest.param([Fraction(100, 3), Fraction(250, 3), Fraction(250, 3)], False, id="Shapley"),
        pytest.param([50, 75, 76], False, id="too much"),
        pytest.param([50.0, 75.0 + 1e-9, 75.0 - 1e-9], False, id="nearly"),
        pytest.param([-10, 105, 105], False, id="below the floor"),
    ],
)
def test_kohlberg_tells_the_nucleolus_from_others(shares: list, yes: bool) -> None:
    game = C.bankruptcy(200, [100, 200, 300])
    assert is_nucleolus(game, shares) is yes
    assert is_nucleolus(game, [Fraction(x) for x in shares]) is yes


def test_balanced_weights() -> None:
    weights, floors = balanced_weights([3, 5, 6], [], 3)
    assert weights == {3: Fraction(1, 2), 5: Fraction(1, 2), 6: Fraction(1, 2)} and floors == {}
    assert balanced_weights([3, 5], [], 3) is None  # who is in both is covered too often
    weights, floors = balanced_weights([3], [2], 3)
    assert weights == {3: 1} and floors == {2: 1}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nucleolus(C([0, 2, 2, 3])), "worth 4 alone but 3 together.*prenucleolus"),
        (lambda: prenucleolus(C(np.zeros(2**17))), "17 players, expected at most 16"),
        (lambda: is_nucleolus(ICE, [500, 500]), "2 shares, expected 3"),
        (lambda: is_nucleolus(ICE, ["a", 1, 2]), "shares are ragged or not numbers"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
