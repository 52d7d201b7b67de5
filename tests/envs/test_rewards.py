"""Other rewards leave what is best as it is."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.envs.check import check_environment
from shoal.envs.cooperative.climbing import Climbing
from shoal.envs.cooperative.two_step import TwoStepGame
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.envs.particle.simple_tag import SimpleTag
from shoal.envs.rewards import DifferenceRewards, Shaped

KEY = jax.random.key(0)
PAIRS = list(itertools.product(range(2), repeat=2))


class Guided(Shaped):
    """Likes the second branch, for the second agent twice as much."""

    def potential(self, state):
        return 3.0 * state.place * jnp.array([1.0, 2.0]) + 5.0


def rewards(env, plan) -> np.ndarray:
    state, _ = env.reset(KEY)
    paid = []
    for action in plan:
        state, timestep = env.step(KEY, state, jnp.array(action))
        paid.append(timestep.reward)
    return np.array(paid)


def test_every_plan_is_worth_as_much_less_as_the_potential_of_its_start():
    gamma = 0.9
    plain, shaped = TwoStepGame(), Guided(TwoStepGame(), discount=gamma)
    for plan in itertools.product(PAIRS, PAIRS):
        before, after = (gamma ** np.arange(2) @ rewards(env, plan) for env in (plain, shaped))
        np.testing.assert_allclose(after, before - 5.0, rtol=1e-5)
    first = rewards(shaped, [(1, 0)])[0]
    np.testing.assert_allclose(first, [gamma * 11 - 5, gamma * 17 - 5], rtol=1e-5)


@pytest.mark.parametrize(
    "env, choices", [(Climbing(), 3), (SimpleSpread(), 5), (SimpleTag(), 5)], ids=str
)
def test_what_helps_an_agent_helps_its_team_as_much(env, choices):
    """A change of one agent's action changes its reward as it changes the team's mean."""
    wrapped, n = DifferenceRewards(env), env.spec.num_agents
    state, _ = env.reset(jax.random.key(3))
    rng = np.random.default_rng(0)
    teams = np.array(env.spec.teams)
    step = jax.jit(lambda env, action: env.step(KEY, state, action)[1].reward, static_argnums=())
    for _ in range(6):
        action, agent = rng.integers(choices, size=n), rng.integers(n)
        other = action.copy()
        other[agent] = (action[agent] + 1) % choices
        mates = teams == teams[agent]
        change = [np.asarray(step(wrapped, jnp.array(a)))[agent] for a in (action, other)]
        team = [np.asarray(step(env, jnp.array(a)))[mates].mean() for a in (action, other)]
        np.testing.assert_allclose(change[1] - change[0], team[1] - team[0], atol=1e-5)


def test_who_does_the_default_is_paid_nothing():
    wrapped = DifferenceRewards(Climbing(), default=2)
    state, _ = wrapped.reset(KEY)
    _, timestep = wrapped.step(KEY, state, jnp.array([0, 2]))
    np.testing.assert_allclose(timestep.reward, [0.0 - 5.0, 0.0])
    assert timestep.metrics["paid"] == 0


def test_they_are_environments():
    for env in (Guided(TwoStepGame()), DifferenceRewards(Climbing())):
        findings = check_environment(env, episodes=2)
        assert not [f for f in findings if f.severity == "error"], findings


def test_a_discount_above_one_is_a_clear_mistake():
    with pytest.raises(UserError, match="discount is"):
        Guided(TwoStepGame(), discount=1.5)


def test_in_several_steps_a_difference_may_lead_elsewhere():
    """The safe branch pays 7 whatever is done, so that nobody makes a difference there."""
    env = TwoStepGame(best=6.5)
    wrapped = DifferenceRewards(env)
    safe, risky = [(0, 0), (0, 0)], [(1, 0), (1, 1)]
    assert rewards(env, safe).sum() > rewards(env, risky).sum()
    assert rewards(wrapped, safe).sum() == 0 < rewards(wrapped, risky).sum()


def test_the_innermost_environment_says_what_was_paid():
    wrapped = DifferenceRewards(DifferenceRewards(Climbing()))
    assert [name for name, _ in wrapped.spec.metrics].count("paid") == 1
    state, _ = wrapped.reset(KEY)
    assert wrapped.step(KEY, state, jnp.array([0, 0]))[1].metrics["paid"] == 11


@pytest.mark.parametrize("default", [7, 0.5, -1])
def test_a_default_that_is_no_action_is_a_clear_mistake(default):
    with pytest.raises(UserError, match="expected an action of coop/climbing"):
        DifferenceRewards(Climbing(), default=default)
