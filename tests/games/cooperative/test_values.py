"""Shapley, Banzhaf, Owen and Myerson values: known cases, brute force over orders, and axioms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.cooperative.characteristic import CharacteristicFunction
from shoal.games.cooperative.values import (
    banzhaf,
    dividends,
    myerson,
    owen,
    restricted,
    semivalue,
    shapley,
    shapley_weights,
)

C = CharacteristicFunction


def random_game(num_players: int, seed: int = 0) -> CharacteristicFunction:
    values = np.random.default_rng(seed).normal(size=1 << num_players)
    values[0] = 0
    return C(values)


def by_orders(game: CharacteristicFunction, orders) -> np.ndarray:
    """The mean contribution over these orders of arrival, one by one."""
    total, count = np.zeros(game.num_players), 0
    for order in orders:
        count, mask = count + 1, 0
        for i in order:
            total[i] += game.values[mask | 1 << i] - game.values[mask]
            mask |= 1 << i
    return total / count


@pytest.mark.parametrize(
    ("game", "value"),
    [
        pytest.param(C.glove(1, 2), [2 / 3, 1 / 6, 1 / 6], id="glove 1 2"),
        pytest.param(C.glove(2, 3), [13 / 20] * 2 + [7 / 30] * 3, id="glove 2 3"),
        pytest.param(C([0, 0, 0, 500, 0, 500, 750, 1000]), [250, 375, 375], id="ice cream"),
        pytest.param(
            C.weighted_voting(51, [40, 22, 30, 9]), [1 / 3, 1 / 3, 1 / 3, 0], id="shareholders"
        ),
        pytest.param(
            C.weighted_voting(12, [4, 4, 4, 2, 2, 1]), [7 / 30] * 3 + [3 / 20] * 2 + [0], id="EEC"
        ),
        pytest.param(
            C.weighted_voting(65, [47, 46, 17, 16, 2]),
            [21 / 60, 16 / 60, 11 / 60, 6 / 60, 6 / 60],
            id="council of five",
        ),
        pytest.param(C.bankruptcy(200, [100, 200, 300]), [100 / 3, 250 / 3, 250 / 3], id="Talmud"),
        pytest.param(C.airport([8, 11, 13, 18]), [2, 3, 4, 9], id="airport"),
        pytest.param(C([0, 7]), [7], id="alone"),
    ],
)
def test_known_shapley_values(game: CharacteristicFunction, value: list[float]) -> None:
    assert np.allclose(shapley(game), value, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("game", "value"),
    [
        pytest.param(C.glove(1, 2), [0.6, 0.2, 0.2], id="glove"),
        pytest.param(
            C.weighted_voting(12, [4, 4, 4, 2, 2, 1]), [5 / 21] * 3 + [1 / 7] * 2 + [0], id="EEC"
        ),
        pytest.param(
            C.weighted_voting(65, [47, 46, 17, 16, 2]),
            [9 / 27, 7 / 27, 5 / 27, 3 / 27, 3 / 27],
            id="council of five",
        ),
    ],
)
def test_known_banzhaf_indices(game: CharacteristicFunction, value: list[float]) -> None:
    assert np.allclose(banzhaf(game, normalised=True), value, rtol=0, atol=1e-9)


def test_values_of_a_random_game_are_means_of_contributions() -> None:
    game = random_game(5)
    assert np.allclose(
        shapley(game), by_orders(game, itertools.permutations(range(5))), rtol=0, atol=1e-12
    )
    swings = [
        np.mean([game.values[m | 1 << i] - game.values[m] for m in range(32) if not m >> i & 1])
        for i in range(5)
    ]
    assert np.allclose(banzhaf(game), swings, rtol=0, atol=1e-12)


def test_dividends_make_up_the_game_and_the_shapley_value() -> None:
    game = random_game(6, seed=1)
    parts = dividends(game)
    built = sum(
        parts[mask] * np.asarray(C.unanimity([i for i in range(6) if mask >> i & 1], 6).values)
        for mask in range(1, 64)
    )
    assert np.allclose(built, game.values, rtol=0, atol=1e-12)
    shared = [
        sum(parts[mask] / mask.bit_count() for mask in range(64) if mask >> i & 1) for i in range(6)
    ]
    assert np.allclose(shapley(game), shared, rtol=0, atol=1e-12)


def test_closed_forms_for_eighteen_players() -> None:
    # Littlechild, Owen 1973: each part of the runway is shared by those whose planes need it.
    costs = np.arange(1.0, 19.0)
    assert np.allclose(
        shapley(C.airport(costs)), np.cumsum(1 / np.arange(18, 0, -1)), rtol=0, atol=1e-9
    )
    # Deng, Papadimitriou 1994: each end of an edge gets half of it.
    weights = np.random.default_rng(0).integers(0, 9, (12, 12))
    weights = weights + weights.T
    expected = (weights.sum(1) + weights.diagonal()) / 2
    assert np.allclose(shapley(C.induced_subgraph(weights)), expected, rtol=0, atol=1e-9)


def test_the_kernel_is_batched_and_differentiable_in_both_precisions() -> None:
    weights = jnp.asarray(shapley_weights(4))
    games = [random_game(4, seed) for seed in range(3)]
    batch = jax.vmap(semivalue, (0, None))(
        jnp.stack([jnp.asarray(g.values) for g in games]), weights
    )
    assert batch.dtype == jnp.float32
    assert np.allclose(batch, [shapley(g) for g in games], rtol=0, atol=1e-5)
    slope = jax.jacobian(semivalue)(jnp.asarray(games[0].values), weights)
    # Player 1 gets a quarter of v(N) and of v({1}), and loses 1/4 of v(N - 1).
    assert np.allclose(slope[1, [15, 2, 13]], [0.25, 0.25, -0.25], rtol=0, atol=1e-6)
    with jax.enable_x64(True):
        double = semivalue(jnp.asarray(games[0].values), jnp.asarray(shapley_weights(4)))
    assert double.dtype == jnp.float64


UNIONS = [[0, 3], [1], [2, 4]]


def test_owen_is_the_mean_over_orders_that_keep_unions_together() -> None:
    game = random_game(5, seed=2)
    orders = [
        list(itertools.chain(*parts))
        for arrangement in itertools.permutations(UNIONS)
        for parts in itertools.product(*(itertools.permutations(union) for union in arrangement))
    ]
    assert np.allclose(owen(game, UNIONS), by_orders(game, orders), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "unions", [[[i] for i in range(5)], [list(range(5))]], ids=["alone", "all in one"]
)
def test_owen_of_trivial_unions_is_shapley(unions: list[list[int]]) -> None:
    game = random_game(5, seed=3)
    assert np.allclose(owen(game, unions), shapley(game), rtol=0, atol=1e-12)


def test_owen_gives_unions_what_they_get_as_players() -> None:
    game = random_game(5, seed=4)
    shares = owen(game, UNIONS)
    whole = C.from_function(lambda s: game.worth([i for k in s for i in UNIONS[k]]), 3)
    assert np.allclose([shares[u].sum() for u in UNIONS], shapley(whole), rtol=0, atol=1e-12)


def test_restricted_worth_by_hand() -> None:
    game = C.from_function(lambda s: float(len(s)) ** 2, 4)
    path = restricted(game, [(0, 1), (1, 2)])
    assert path.worth([0, 1, 2]) == 9 and path.worth([0, 2]) == 2 and path.worth([0, 1, 3]) == 5
    # A path of three: the middle links both.
    assert np.allclose(
        myerson(game, [(0, 1), (1, 2)]), [8 / 3, 11 / 3, 8 / 3, 1], rtol=0, atol=1e-12
    )


def test_myerson_is_fair_and_shares_out_each_component() -> None:
    game, edges = random_game(6, seed=5), [(0, 1), (1, 2), (0, 2), (2, 3), (4, 5)]
    shares = myerson(game, edges)
    assert np.isclose(shares[:4].sum(), game.worth([0, 1, 2, 3]), rtol=0, atol=1e-12)
    assert np.isclose(shares[4:].sum(), game.worth([4, 5]), rtol=0, atol=1e-12)
    for a, b in edges:  # to cut a link costs both ends the same
        cut = myerson(game, [edge for edge in edges if edge != (a, b)])
        assert np.isclose(shares[a] - cut[a], shares[b] - cut[b], rtol=0, atol=1e-12)
    complete = itertools.combinations(range(6), 2)
    assert np.allclose(myerson(game, complete), shapley(game), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: owen(C.glove(1, 2), [[0, 1]]), r"players \[0, 1\], expected each of 0 to 2 once"),
        (lambda: owen(C.glove(1, 2), [[0, 1], [1, 2]]), "expected each of 0 to 2 once"),
        (lambda: owen(C.glove(1, 2), [[0, 1], [2], []]), "expected each of 0 to 2 once"),
        (lambda: myerson(C.glove(1, 2), [(0, 3)]), r"edge \(0, 3\) names no player"),
        (lambda: banzhaf(C([0, 0]), normalised=True), "sums to 0"),
    ],
)
def test_bad_input_is_named(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
