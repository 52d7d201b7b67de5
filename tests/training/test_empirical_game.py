"""Empirical games: in worlds whose payoffs are known, the estimates and their intervals."""

import jax
import numpy as np
import pytest

import shoal
from shoal.core.errors import UserError
from shoal.envs.game.repeated import repeated
from shoal.games import cfr, classic, equilibria, kuhn, value, zero_sum
from shoal.training.empirical_game import empirical_game, players_of

RPS = repeated(classic("rock_paper_scissors"))
PURE = [RPS.as_policy([np.eye(3)[a]] * 2) for a in range(3)]


def test_pure_strategies_give_back_the_game():
    found = empirical_game(PURE, RPS, episodes=2, names=RPS.actions)
    assert np.array_equal(found.game.payoffs, classic("rock_paper_scissors").payoffs)
    assert np.array_equal(found.low, found.game.payoffs)
    assert np.array_equal(found.high, found.game.payoffs)
    assert found.game.actions == RPS.actions
    assert zero_sum(found.game).row == pytest.approx(np.full(3, 1 / 3))


def test_intervals_hold_the_truth_as_often_as_they_say():
    world = shoal.make("game/kuhn")
    table = np.random.default_rng(0).dirichlet([1, 1], size=12)
    policies, truth = [world.as_policy(table)], value(kuhn(), table)[0]
    inside = 0
    for seed in range(100):
        found = empirical_game(policies, world, episodes=400, seed=seed)
        inside += found.low[0, 0, 0] <= truth <= found.high[0, 0, 0]
        assert np.allclose(found.game.payoffs[0], -found.game.payoffs[1])
    assert 90 <= inside <= 99  # of 100, each with probability 0.95


def test_an_equilibrium_policy_is_not_beaten():
    world = shoal.make("game/kuhn")
    policies = [world.as_policy(kuhn().uniform()), world.as_policy(cfr(kuhn(), 300, "cfr+").policy)]
    found = empirical_game(policies, world, episodes=4000)
    solved = equilibria(found.game)
    assert any(x[1] > 0.99 and y[1] > 0.99 for x, y in solved)
    estimate, bound = found.regret(([0, 1], [0, 1]))
    assert estimate == 0 and 0 < bound < 0.3


def test_players_are_teams_and_one_team_is_its_agents():
    assert players_of(shoal.make("mpe/simple_tag")) == ((0, 1, 2), (3,))
    assert players_of(shoal.make("mpe/simple_spread")) == ((0,), (1,), (2,))


def test_each_team_acts_by_its_own_policy():
    env = shoal.make("mpe/simple_tag", horizon=5)
    algorithm = shoal.make_algorithm("ippo", hidden=(4,))
    init = jax.jit(lambda key: algorithm.init(env.spec, key))
    policies = [algorithm.policy(init(jax.random.key(s))) for s in range(2)]
    found = empirical_game([policies, policies[:1]], env, episodes=20, greedy=True)
    assert found.game.num_actions == (2, 1)
    direct = shoal.evaluate(policies[0], env, episodes=20, seed=0).metrics
    prey = env.spec.agents[3]
    assert found.game.payoffs[1, 0, 0] == pytest.approx(direct[f"return/{prey}"]["mean"], abs=1e-4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: empirical_game([], RPS), "there are no policies"),
        (lambda: empirical_game([PURE], RPS), "there are 1 lists of policies, expected 2"),
        (lambda: empirical_game(PURE, RPS, episodes=1), "expected at least 2"),
        (lambda: empirical_game([PURE * 200] * 2, RPS), "more than 100,000 action profiles"),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(UserError, match=said):
        make()
