"""Cooperative games: constructors by hand, coalitions by name, excesses, and what is refused."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.games.cooperative.characteristic import (
    CharacteristicFunction,
    excesses,
    memberships,
    subset_sums,
    whole_numbers,
)

C = CharacteristicFunction
ICE = C([0, 0, 0, 500, 0, 500, 750, 1000], players=["Ann", "Bob", "Cid"])


@pytest.mark.parametrize(
    ("game", "values"),
    [
        pytest.param(C.weighted_voting(3, [2, 1, 1]), [0, 0, 0, 1, 0, 1, 0, 1], id="voting"),
        # In floats 0.7 + 0.1 is less than 0.8.
        pytest.param(C.weighted_voting(0.8, [0.7, 0.1]), [0, 0, 0, 1], id="quota met to the dot"),
        pytest.param(C.airport([8, 11]), [0, 8, 11, 11], id="airport"),
        pytest.param(C.bankruptcy(4, [1, 2, 3]), [0, 0, 0, 1, 1, 2, 3, 4], id="bankruptcy"),
        pytest.param(C.glove(1, 2), [0, 0, 0, 1, 0, 1, 0, 1], id="glove"),
        pytest.param(
            C.induced_subgraph([[5, 1, 2], [1, 0, 4], [2, 4, 0]]),
            [0, 5, 0, 6, 0, 7, 4, 12],
            id="graph with a loop",
        ),
        pytest.param(C.unanimity([0, 2], 3), [0, 0, 0, 0, 0, 1, 0, 1], id="unanimity"),
        pytest.param(
            C.from_function(lambda s: 10 * len(s) + sum(s), 2), [0, 10, 11, 21], id="function"
        ),
    ],
)
def test_values_by_hand(game: CharacteristicFunction, values: list[float]) -> None:
    assert np.asarray(game.values).tolist() == values
    assert 1 << game.num_players == len(values)


def test_coalitions_by_name_and_number() -> None:
    assert ICE.worth(["Bob", "Cid"]) == ICE.worth({1, 2}) == 750
    assert ICE.mask(["Ann", 2]) == 5 and ICE.coalition(5) == ("Ann", "Cid")
    assert C([0, 1]).players == ("player 1",)
    assert ICE.of(memberships(3)).tolist() == np.asarray(ICE.values).tolist()


def test_excesses_by_hand_and_in_fractions() -> None:
    assert excesses(ICE, [200, 300, 500]).tolist() == [0, -200, -300, 0, -500, -200, -50, 0]
    thirds = np.array([Fraction(1000, 3)] * 3)
    assert excesses(ICE, thirds)[6] == Fraction(250, 3)
    # Of costs the sign turns: who pays 7 for a runway of 8 has no complaint.
    assert excesses(C.airport([8, 11]), [7, 4]).tolist() == [0, -1, -7, 0]
    assert C.airport([8, 11]).gains.tolist() == [0, -8, -11, -11]


def test_whole_numbers_do_not_overflow() -> None:
    small, scale = whole_numbers(np.array([Fraction(1, 2), Fraction(2, 3)]))
    assert (small.tolist(), scale, small.dtype) == ([3, 4], 6, np.int64)
    large, scale = whole_numbers(np.array([Fraction(2**61), Fraction(2**61)]))
    assert subset_sums(large).tolist()[-1] == 2**62 and scale == 1


def test_games_are_pytrees() -> None:
    games = jax.vmap(C)(jnp.stack([jnp.asarray(ICE.values)] * 3))
    assert jax.vmap(lambda game: game.values[-1])(games).tolist() == [1000.0] * 3


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: C([0, 1, 2]), r"shape \[3\], expected \[2\^N\].*power of two"),
        (lambda: C([[0, 1], [1, 2]]), r"shape \[2, 2\]"),
        (lambda: C([1, 1]), r"values\[0\] is 1, expected 0"),
        (lambda: C([0, float("inf")]), "value 1 is inf"),
        (lambda: C([0, [1, 2]]), "ragged"),
        (lambda: C([0, 1], players=["a", "b"]), "2 names, expected 1"),
        (lambda: C([0, 1, 1, 2], players=["a", "a"]), "player 'a' is there twice"),
        (lambda: ICE.worth(["Bop"]), "unknown player 'Bop': did you mean 'Bob'"),
        (lambda: ICE.worth([3]), "no player 3, expected 0 to 2"),
        (lambda: C.weighted_voting(5, [1, 2]), "quota is 5"),
        (lambda: C.weighted_voting(0, [1, 2]), "quota is 0"),
        (lambda: C.weighted_voting(float("nan"), [1, 2]), "quota is nan, expected a finite number"),
        (lambda: C.weighted_voting(1, ["a"]), "weights are ragged or not numbers"),
        (lambda: C.weighted_voting(1, [1, -2]), "none below 0"),
        (lambda: C.airport([1, float("nan")]), "finite"),
        (lambda: C.bankruptcy(7, [1, 2]), "estate is 7, expected between 0 and .* 3"),
        (lambda: C.glove(0, 2), "0 left and 2 right"),
        (lambda: C.induced_subgraph([[0, 1], [2, 0]]), "symmetric"),
        (lambda: C.unanimity([], 2), "empty"),
        (lambda: C.airport(range(1, 26)), "25 players, expected 1 to 24.*shapley_sampled"),
        (lambda: excesses(ICE, [1, 2]), r"shape \[2\], expected \[3\]"),
    ],
)
def test_bad_input_is_named(build, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build()


def test_decimals_of_a_bankruptcy_are_exact() -> None:
    """The claims of the others leave .3 - .2, .3 - .1 and .3; of all smaller ones nothing."""
    game = CharacteristicFunction.bankruptcy(0.3, [0.1, 0.2, 0.3])
    tenth = Fraction(1, 10)
    assert game.exact().tolist() == [0, 0, 0, 0, 0, tenth, 2 * tenth, 3 * tenth]
    assert CharacteristicFunction([0, 2**53 + 1]).exact().tolist() == [0, 2**53 + 1]
