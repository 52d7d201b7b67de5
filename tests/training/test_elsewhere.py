"""A policy acts in a swarm of another size where its networks have the same shapes there."""

import jax
import numpy as np
import pytest

import shoal
from shoal.core.errors import UserError
from shoal.envs.cooperative.coverage import Coverage
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.registry import make_algorithm
from shoal.training.elsewhere import act_in
from shoal.training.evaluation import evaluate_policy

SMALL = dict(hidden=(8,))


def policy_of(name: str, env, **settings):
    algorithm = make_algorithm(name, **SMALL | settings)
    return algorithm, algorithm.policy(algorithm.init(env.spec, jax.random.key(0)))


@pytest.mark.parametrize(
    "name, settings",
    [
        ("ippo", dict(agent_id=False, normalise_observations=True)),
        ("mappo", dict(agent_id=False, critic="both", recurrent=4)),
        ("vdn", dict(agent_id=False)),
        ("openai_es", {}),
    ],
)
def test_it_acts_as_it_does_at_home_whatever_the_number_of_others(name, settings):
    home, there = Coverage(num_agents=6, horizon=3), Coverage(num_agents=9, horizon=3)
    algorithm, policy = policy_of(name, home, **settings)
    (moved,) = act_in(there.spec, [policy], algorithm, home.spec)
    assert evaluate_policy(moved, there, jax.random.key(1), 2).per_agent.shape == (2, 9)
    _, shown = there.reset(jax.random.key(2))
    _, at_home = home.reset(jax.random.key(2))
    seen = jax.tree.map(lambda x: x[None], at_home)
    few = jax.tree.map(lambda x: x[None], shown)
    few = type(few)(**{**vars(few), "obs": few.obs.at[:, :6].set(seen.obs)})

    def first(policy, timestep):
        carry = jax.tree.map(lambda x: x[None], policy.initial_carry())
        return np.asarray(policy(timestep, carry, jax.random.key(3))[0].mode())[0, :6]

    np.testing.assert_array_equal(first(moved, few), first(policy, seen))


@pytest.mark.parametrize(
    "there, settings, complaint",
    [
        (Coverage(num_agents=9), dict(sharing="independent"), "train with --algo.sharing role"),
        (Coverage(num_agents=9), dict(agent_id=True), "train with --algo.agent-id False"),
        (Coverage(num_agents=6, neighbours=2), {}, "shown 16 numbers and it was trained on 36"),
        (SimpleSpread(num_agents=5), {}, "shown 30 numbers and it was trained on 36"),
        (Coverage(num_agents=6, continuous_actions=True), {}, "it was trained on Discrete"),
    ],
    ids=["independent", "numbers", "neighbours", "another", "actions"],
)
def test_what_does_not_fit_is_a_clear_mistake(there, settings, complaint):
    home = Coverage(num_agents=6)
    algorithm, policy = policy_of("ippo", home, **dict(agent_id=False) | settings)
    with pytest.raises(UserError, match=complaint):
        act_in(there.spec, [policy], algorithm, home.spec)


def test_a_policy_of_another_environment_is_one_line():
    policy = shoal.train("ippo", "mpe/simple_spread", total_steps=64, **SMALL).policies[0]
    for there in ("mpe/simple", shoal.make("mpe/simple_spread", num_agents=5)):
        with pytest.raises(UserError, match="the policy does not fit mpe/simple"):
            shoal.evaluate(policy, there, episodes=2)
    assert shoal.evaluate("scripted", "mpe/simple", episodes=2).mean > -50


def test_a_run_that_ends_before_it_learns_is_warned_of(tmp_path, capsys):
    few = dict(total_steps=64, hidden=(4,), capacity=20_000)
    shoal.train("iql", "mpe/simple", out=tmp_path / "never", **few)
    said = "warning: learning_starts is 10,000, and the run has 64 steps: nothing is learned"
    assert said in capsys.readouterr().err.splitlines()
    shoal.train("iql", "mpe/simple", out=tmp_path / "soon", learning_starts=32, **few)
    assert "nothing is learned" not in capsys.readouterr().err
