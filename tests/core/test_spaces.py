"""Padding, bounds and masks of action spaces, by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete, Factored, legal_actions

UNEVEN = Box(((0.0, -3.0), (2.0,)), ((1.0, 3.0), (10.0,)), (2, 1))
SIGNALS = Factored(((3, 2), (4,)))
T, F = True, False


def test_a_discrete_space():
    space = Discrete((2, 3))
    assert (space.size, space.shape, space.dtype) == (3, (), np.int32)
    assert space.mask.tolist() == [[T, T, F], [T, T, T]]
    assert space.part((1,)) == Discrete((3,)) and space.describe(1) == "3"


def test_bounds_of_each_dimension_are_padded_with_a_box_of_half_width_1():
    assert (UNEVEN.size, UNEVEN.shape, UNEVEN.dtype) == (2, (2,), np.float32)
    assert UNEVEN.lows.tolist() == [[0, -3], [2, -1]]
    assert UNEVEN.highs.tolist() == [[1, 3], [10, 1]]
    assert UNEVEN.center.tolist() == [[0.5, 0], [6, 0]]
    assert UNEVEN.half_width.tolist() == [[0.5, 3], [4, 1]]
    assert UNEVEN.mask.tolist() == [[T, T], [T, F]]


def test_one_pair_of_bounds_is_every_dimension_s():
    space = Box(-1, 5, (1, 2))
    assert (space.low, space.high) == (-1.0, 5.0)
    assert space.lows.tolist() == [[-1, -1], [-1, -1]]
    assert space.highs.tolist() == [[5, 1], [5, 5]]
    assert space.half_width.tolist() == [[3, 1], [3, 3]]


def test_one_bound_may_differ_where_the_other_does_not():
    space = Box(0.0, ((1.0, 2.0), (4.0,)), (2, 1))
    assert space.center.tolist() == [[0.5, 1], [2, 0]]
    assert space.part((1,)) == Box(0.0, 4.0, (1,)) and space.part((0,)).high == ((1.0, 2.0),)


@pytest.mark.parametrize("bounds", [np.full((2, 2), 0.5), [[0.5, 0.5], [0.5, 0.5]], 0.5])
def test_boxes_of_the_same_bounds_are_equal_however_they_are_written(bounds):
    space = Box(bounds, 1, (2, 2))
    assert space == Box(0.5, 1.0, (2, 2)) and hash(space) == hash(Box(0.5, 1.0, (2, 2)))
    assert jax.tree.leaves(space) == []  # static: a program is looked up by it


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.0, -1.0, "the Box goes from 1 to -1, expected two finite numbers, the lower first"),
        (0.0, np.inf, "the Box goes from 0 to inf"),
        (0.0, 1e39, "the Box goes from 0 to 1e.39"),  # float32 cannot hold it
        (100_000_000.0, 100_000_001.0, "from 100000000 to 100000001"),  # nor tell these apart
        (((0.0, 0.0), (-np.inf,)), 1.0, "dimension 0 of agent 1 in the Box goes from -inf to 1"),
        (((0.0, 2.0), (0.0,)), ((1.0, 2.0), (3.0,)), "dimension 1 of agent 0 .* from 2 to 2"),
        (((0.0, float("nan")), (0.0,)), 1.0, "dimension 1 of agent 0 .* from nan to 1"),
        (((0.0, 1.0), (0.0, 1.0)), 2.0, r"low .* rows of \(2, 2\) numbers, expected \(2, 1\)"),
        (0.0, ((1.0, 2.0),), r"high .* rows of \(2,\) numbers, expected \(2, 1\)"),
    ],
)
def test_bounds_that_are_none_are_one_clear_mistake(low, high, said):
    with pytest.raises(UserError, match=said):
        Box(low, high, (2, 1))


def test_units_of_the_box():
    x = jnp.array([[[-1.0, 2.0], [0.5, 0.0]], [[0.0, 0.0], [1.0, 7.0]]])
    action = UNEVEN.from_unit(x)
    assert action[0].tolist() == [[0, 6], [8, 0]] and action[1].tolist() == [[0.5, 0], [10, 7]]
    assert np.allclose(UNEVEN.to_unit(action), x)
    assert UNEVEN.clip(action)[0].tolist() == [[0, 3], [8, 0]]


def test_a_box_in_words_and_of_one_agent():
    assert UNEVEN.describe(0) == "2 in [0, 1] x [-3, 3]" and UNEVEN.describe(1) == "1 in [2, 10]"
    assert Box(-1.0, 1.0, (3,)).describe(0) == "3 in [-1, 1]"
    assert UNEVEN.part((0,)) == Box(((0.0, -3.0),), ((1.0, 3.0),), (2,))


def test_factors_are_padded_to_the_most_factors_and_the_most_options():
    assert (SIGNALS.num_factors, SIGNALS.num_options, SIGNALS.size) == (2, 4, 8)
    assert (SIGNALS.shape, SIGNALS.dtype) == ((2,), np.int32)
    assert SIGNALS.counts.tolist() == [[3, 2], [4, 1]]
    assert SIGNALS.mask.tolist() == [[T, T, T, F, T, T, F, F], [T, T, T, T, T, F, F, F]]
    assert SIGNALS.idle.tolist() == [[F] * 8, [F, F, F, F, T, F, F, F]]
    assert SIGNALS.split(np.arange(16).reshape(2, 8))[1].tolist() == [
        [8, 9, 10, 11],
        [12, *range(13, 16)],
    ]
    assert SIGNALS.part((1,)) == Factored(((4,),)) and SIGNALS.part((1,)).size == 4
    assert SIGNALS.describe(0) == "3 x 2"
    assert not isinstance(SIGNALS, Discrete)


def test_what_exists_is_legal_where_the_environment_says_nothing():
    legal = legal_actions(Discrete((2, 3)), None, (5, 2))
    assert legal.shape == (5, 2, 3) and legal[4].tolist() == [[T, T, F], [T, T, T]]
    assert legal_actions(SIGNALS, None, (2,)).tolist() == SIGNALS.mask.tolist()


def test_what_does_not_exist_is_illegal_whatever_the_environment_says():
    everything = jnp.ones((2, 3), bool)
    assert legal_actions(Discrete((2, 3)), everything, (2,)).tolist() == [[T, T, F], [T, T, T]]
    some = jnp.array([[F, T, T], [T, F, F]])
    assert legal_actions(Discrete((2, 3)), some, (2,)).tolist() == [[F, T, F], [T, F, F]]
    assert legal_actions(Discrete((3, 3)), some, (2,)) is some


def test_a_factor_that_an_agent_lacks_keeps_its_one_option():
    legal = legal_actions(SIGNALS, jnp.zeros((2, 8), bool), (2,))
    assert legal.tolist() == SIGNALS.idle.tolist()


def test_spaces_are_static_parts_of_programs():
    @eqx.filter_jit
    def width(space):
        traces.append(0)
        return jnp.asarray(space.half_width).sum()

    traces: list[int] = []
    for space in (UNEVEN, Box(UNEVEN.low, UNEVEN.high, (2, 1)), Box(0.0, 1.0, (2, 1))):
        width(space)
    assert len(traces) == 2
