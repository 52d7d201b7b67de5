"""How agents' values make a team's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from shoal.agents.cooperative.vdn import SumMixer
from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.nn.mixers import Choice, NoMixer, agents_of_team


def teams(*teams: int) -> tuple[tuple[int, ...], ...]:
    n = len(teams)
    names = tuple(f"agent_{i}" for i in range(n))
    return agents_of_team(EnvSpec("tiny", names, (2,) * n, Discrete((2,) * n), 10, teams=teams))


def summed(*numbers: int) -> SumMixer:
    return SumMixer(teams(*numbers))


def choice(q) -> Choice:
    """Chosen values; what a sum does not read is not a number."""
    return Choice(q, q * jnp.nan, jnp.zeros(q.shape, jnp.int32), None)


Q = jnp.array([[1.0, 2.0, 4.0], [-1.0, 0.5, 8.0]])


def test_a_sum_over_one_team_is_the_sum():
    np.testing.assert_array_equal(summed(0, 0, 0)(choice(Q)), Q.sum(-1, keepdims=True))


def test_a_sum_is_a_linear_mixer_of_unit_weights():
    """Its Jacobian is a one for every member and a zero for every stranger."""
    jacobian = jax.jacobian(lambda q: summed(7, 3, 7)(choice(q)))(Q[0])
    np.testing.assert_array_equal(jacobian, [[0, 1, 0], [1, 0, 1]])


def test_teams_may_have_any_numbers_and_any_order():
    assert teams(7, 3, 7) == ((1,), (0, 2))
    np.testing.assert_array_equal(summed(7, 3, 7)(choice(Q)), [[2.0, 5.0], [0.5, 7.0]])


def test_no_mixer_leaves_values_alone():
    np.testing.assert_array_equal(NoMixer()(choice(Q)), Q)


def test_rewards_are_averaged_over_a_team_and_own_without_a_mixer():
    np.testing.assert_allclose(summed(0, 1, 0).mean(Q), [[2.5, 2.0], [3.5, 0.5]])
    np.testing.assert_array_equal(NoMixer().mean(Q), Q)


def test_any_and_all_are_of_a_team():
    x = jnp.array([True, False, False])
    team = summed(0, 0, 1)
    np.testing.assert_array_equal(team.any(x), [True, False])
    np.testing.assert_array_equal(team.all(x), [False, False])
    np.testing.assert_array_equal(team.all(jnp.array([True, True, False])), [True, False])
    np.testing.assert_array_equal(NoMixer().all(x), x)


def test_leading_axes_are_free():
    q = jnp.arange(24.0).reshape(2, 4, 3)
    assert summed(0, 1, 1)(choice(q)).shape == (2, 4, 2)


def test_these_mixers_have_nothing_to_learn():
    assert not jax.tree.leaves(eqx.filter((summed(0, 0), NoMixer()), eqx.is_array))
