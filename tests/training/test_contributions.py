"""Who does how much, in a game in which it is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.algorithm import Policy
from shoal.core.distributions import Categorical
from shoal.core.env import Env, EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Discrete
from shoal.games.cooperative.values import shapley
from shoal.training.contributions import contributions


class Lift(Env):
    """Agents 0 and 1 earn 6 for their team where one of them lifts, and agent 2 earns 2 by itself;
    agent 3 plays against them and takes 1 where it lifts."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name="lift",
            agents=("a", "b", "c", "rival"),
            roles=(0, 0, 0, 1),
            teams=(0, 0, 0, 1),
            obs_sizes=(1,) * 4,
            action=Discrete((4,) * 4),
            state_size=0,
            horizon=1,
        )

    def reset(self, key):
        return jnp.int32(0), self._show(jnp.zeros(4), False)

    def step(self, key, state, action):
        lifts = action == 3
        team = 6.0 * (lifts[0] | lifts[1]) + 2.0 * lifts[2] - 1.0 * lifts[3]
        return state + 1, self._show(jnp.stack([team, team, team, -team]), True)

    def _show(self, reward, over):
        return TimeStep.of(jnp.zeros((4, 1)), reward=reward, terminated=over)


class Lifts(Policy):
    """Everyone always lifts."""

    def initial_carry(self):
        return None

    def __call__(self, timestep, carry, key):
        logits = jnp.broadcast_to(jnp.array([0.0, 0, 0, 50]), (*timestep.reward.shape, 4))
        return Categorical(logits, jnp.ones_like(logits, bool)), carry


def test_shares_by_hand():
    """At random an agent lifts one time in four."""
    found = contributions(Lifts(), Lift(), episodes=4000)
    both, one = 6 * (1 - 0.75**2), 6.0
    worth = np.array([both, one, one, one]) - both  # of no one, a, b, a and b
    np.testing.assert_allclose(found.at_random, both + 0.5 - 1, atol=0.15)
    np.testing.assert_allclose(found.game.values[:4], worth, atol=0.1)
    np.testing.assert_allclose(found.game.values[4:], worth + 1.5, atol=0.1)
    np.testing.assert_allclose(found.difference.mean, [0, 0, 1.5], atol=0.06)
    half = (one - both) / 2
    np.testing.assert_allclose(found.shapley.mean, [half, half, 1.5], atol=0.1)
    assert found.agents == ("a", "b", "c")
    assert (found.shapley.low < [half, half, 1.5]).all()
    assert (found.shapley.high > [half, half, 1.5]).all()


def test_they_are_those_of_the_game_and_share_all_of_it():
    found = contributions(Lifts(), Lift(), episodes=50, seed=3)
    np.testing.assert_allclose(found.shapley.mean, shapley(found.game), atol=1e-5)
    np.testing.assert_allclose(found.shapley.mean.sum(), found.game.values[-1], atol=1e-5)


@pytest.mark.parametrize(
    "settings, complaint",
    [
        (dict(team=7), "team is 7, expected one of"),
        (dict(episodes=1), "episodes is 1, expected at least 2"),
    ],
)
def test_what_cannot_be_played_is_a_clear_mistake(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        contributions(Lifts(), Lift(), **settings)
