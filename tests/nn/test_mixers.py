"""How agents' values make a team's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.nn.mixers import MIXERS


def spec(teams: tuple[int, ...]) -> EnvSpec:
    n = len(teams)
    names = tuple(f"agent_{i}" for i in range(n))
    return EnvSpec("tiny", names, (2,) * n, Discrete((2,) * n), 10, teams=teams)


def mixer(name: str, *teams: int):
    return MIXERS[name](spec(teams), jax.random.key(0))


Q = jnp.array([[1.0, 2.0, 4.0], [-1.0, 0.5, 8.0]])


def test_a_sum_over_one_team_is_the_sum():
    np.testing.assert_array_equal(mixer("sum", 0, 0, 0)(Q, None), Q.sum(-1, keepdims=True))


def test_a_sum_is_a_linear_mixer_of_unit_weights():
    """Its Jacobian is a one for every member and a zero for every stranger."""
    jacobian = jax.jacobian(lambda q: mixer("sum", 7, 3, 7)(q, None))(Q[0])
    np.testing.assert_array_equal(jacobian, [[0, 1, 0], [1, 0, 1]])


def test_teams_may_have_any_numbers_and_any_order():
    np.testing.assert_array_equal(mixer("sum", 7, 3, 7)(Q, None), [[2.0, 5.0], [0.5, 7.0]])


def test_no_mixer_leaves_values_alone():
    np.testing.assert_array_equal(mixer("none", 0, 0, 1)(Q, None), Q)


def test_rewards_are_averaged_over_a_team_and_own_without_a_mixer():
    np.testing.assert_allclose(mixer("sum", 0, 1, 0).mean(Q), [[2.5, 2.0], [3.5, 0.5]])
    np.testing.assert_array_equal(mixer("none", 0, 1, 0).mean(Q), Q)


def test_any_and_all_are_of_a_team():
    x = jnp.array([True, False, False])
    team = mixer("sum", 0, 0, 1)
    np.testing.assert_array_equal(team.any(x), [True, False])
    np.testing.assert_array_equal(team.all(x), [False, False])
    np.testing.assert_array_equal(team.all(jnp.array([True, True, False])), [True, False])


def test_leading_axes_are_free():
    q = jnp.arange(24.0).reshape(2, 4, 3)
    assert mixer("sum", 0, 1, 1)(q, None).shape == (2, 4, 2)


def test_these_mixers_have_nothing_to_learn():
    assert not jax.tree.leaves(eqx.filter(mixer("sum", 0, 0), eqx.is_array))
