"""Core and least core: known cases, proofs of emptiness, and a plain primal program as referee."""

import numpy as np
import pytest
from scipy.optimize import linprog

from shoal.core.errors import UserError
from shoal.games.cooperative.characteristic import CharacteristicFunction, excesses, memberships
from shoal.games.cooperative.core import core, is_convex, is_superadditive, least_core
from shoal.games.cooperative.programs import solve_rational

C = CharacteristicFunction
ICE = C([0, 0, 0, 500, 0, 500, 750, 1000])


def random_game(num_players: int, seed: int) -> CharacteristicFunction:
    sizes = np.bitwise_count(np.arange(1 << num_players)).astype(float)
    noise = np.random.default_rng(seed).integers(0, 9, 1 << num_players)
    return C(np.where(sizes > 0, sizes**2 + noise, 0))


def largest_excess(game: CharacteristicFunction, allocation: np.ndarray) -> float:
    return float(excesses(game, allocation)[1:-1].max())


def primal_epsilon(game: CharacteristicFunction) -> float:
    """The least core's own program, with all coalitions as rows."""
    members = memberships(game.num_players)[1:-1].astype(float)
    found = linprog(
        [0] * game.num_players + [1],
        A_ub=-np.hstack([members, np.ones((len(members), 1))]),
        b_ub=-game.gains[1:-1],
        A_eq=[[1] * game.num_players + [0]],
        b_eq=game.gains[-1:],
        bounds=(None, None),
    )
    return found.fun


@pytest.mark.parametrize(
    ("game", "epsilon"),
    [
        pytest.param(C.glove(1, 2), 0, id="glove"),
        pytest.param(C.weighted_voting(2, [1, 1, 1]), 1 / 3, id="majority of three"),
        pytest.param(ICE, -250 / 3, id="ice cream"),
        pytest.param(C.weighted_voting(51, [40, 22, 30, 9]), 1 / 3, id="shareholders"),
        pytest.param(C.weighted_voting(35, [10, 10, 10, 10]), -1 / 4, id="all needed"),
        pytest.param(C.airport([8, 11, 13, 18]), -3.25, id="airport"),
        *(pytest.param(random_game(4, s), None, id=f"random 4, {s}") for s in range(4)),
        *(pytest.param(random_game(6, s), None, id=f"random 6, {s}") for s in range(3)),
    ],
)
def test_least_core(game: CharacteristicFunction, epsilon: float | int | None) -> None:
    found = least_core(game)
    expected = primal_epsilon(game) if epsilon is None else epsilon
    assert found.certified and np.isclose(found.epsilon, expected, rtol=0, atol=1e-9)
    assert np.isclose(found.allocation.sum(), game.values[-1], rtol=0, atol=1e-9)
    assert np.isclose(largest_excess(game, found.allocation), found.epsilon, rtol=0, atol=1e-9)
    # The proof: balanced weights, by which no allocation can have less excess everywhere.
    members, weights = memberships(game.num_players), found.weights
    assert np.allclose(sum(w * members[m] for m, w in weights.items()), 1, rtol=0, atol=1e-12)
    assert min(weights.values()) > 0
    gained = sum(w * game.gains[m] for m, w in weights.items()) - game.gains[-1]
    assert np.isclose(gained / sum(weights.values()), found.epsilon, rtol=0, atol=1e-9)


def test_the_core_of_gloves_is_one_point() -> None:
    found = core(C.glove(1, 2))
    assert not found.empty and found.weights is None and found.certified
    assert np.allclose(found.allocation, [1, 0, 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("game", "empty"),
    [
        pytest.param(C.weighted_voting(2, [1, 1, 1]), True, id="majority of three"),
        pytest.param(C.weighted_voting(51, [40, 22, 30, 9]), True, id="shareholders"),
        pytest.param(ICE, False, id="ice cream"),
        pytest.param(C.airport([8, 11, 13, 18]), False, id="airport"),
        # Only just: pairs get 2/3 each, or a 1e-9 more.
        pytest.param(C([0, 0, 0, 2 / 3, 0, 2 / 3, 2 / 3, 1]), False, id="at the edge"),
        pytest.param(C([0, 0, 0, 2 / 3, 0, 2 / 3, 2 / 3 + 1e-9, 1]), True, id="over the edge"),
        pytest.param(C([0, 5]), False, id="alone"),
    ],
)
def test_core(game: CharacteristicFunction, empty: bool) -> None:
    found = core(game)
    assert found.empty is empty and found.certified
    if empty:
        members = memberships(game.num_players)
        cover = sum(w * members[mask] for mask, w in found.weights.items())
        worth = sum(w * game.values[mask] for mask, w in found.weights.items())
        assert np.allclose(cover, 1, rtol=0, atol=1e-12) and worth > game.values[-1]
        assert np.isclose(worth - game.values[-1], found.surplus, rtol=0, atol=1e-12)
    else:
        assert np.isclose(found.allocation.sum(), game.values[-1], rtol=0, atol=1e-9)
        assert excesses(game, found.allocation).max() <= 1e-9


@pytest.mark.parametrize(
    ("game", "convex", "superadditive"),
    [
        pytest.param(C.bankruptcy(200, [100, 200, 300]), True, True, id="bankruptcy"),
        pytest.param(C.airport([8, 11, 13, 18]), True, True, id="airport: costs are concave"),
        pytest.param(C.glove(1, 2), False, True, id="glove"),
        # Two winning pairs that do not meet: together they win only once.
        pytest.param(C.weighted_voting(2, [1, 1, 1, 1]), False, False, id="half wins"),
        pytest.param(C([0, 3, 4, 6]), False, False, id="better apart"),
        pytest.param(C([0, 3, 4, 7]), True, True, id="additive"),
        pytest.param(C([0, 1]), True, True, id="alone"),
    ],
)
def test_convex_and_superadditive(
    game: CharacteristicFunction, convex: bool, superadditive: bool
) -> None:
    assert is_convex(game) is convex and is_superadditive(game) is superadditive


def test_superadditive_looks_at_every_pair() -> None:
    # Only {0, 3} and {1, 2} would lose by uniting: 7.75 + 7.75 > 15, but 7.75 + 1 < 9.
    plain = [0.0, 1.0, 4.0, 9.0, 15.0]
    assert is_superadditive(C.from_function(lambda s: plain[len(s)], 4))
    game = C.from_function(lambda s: 7.75 if s in ({0, 3}, {1, 2}) else plain[len(s)], 4)
    assert not is_superadditive(game)


def test_rational_solutions() -> None:
    assert [str(x) for x in solve_rational([[2, 1], [1, 1], [3, 2]], [1, 0, 1])] == ["1", "-1"]
    assert solve_rational([[2, 1], [1, 1], [3, 2]], [1, 0, 2]) is None  # contradictory
    assert solve_rational([[1, 1], [2, 2]], [1, 2]) is None  # many


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: least_core(C([0, 1])), "needs 2 players"),
        (lambda: core(C(np.zeros(2**17))), "17 players, expected at most 16"),
        (lambda: is_superadditive(C(np.zeros(2**19))), "19 players, expected at most 18"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
