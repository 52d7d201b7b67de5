"""Targets of PQN on steps made by hand, its carries and schedules, and small trainings."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe, collect

from shoal.agents.cooperative.pqn import PQN, pqn_iql, pqn_vdn
from shoal.core.algorithm import Trajectory, Transition, where_done
from shoal.core.env import EnvSpec, TimeStep, settle, to_act_on
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.envs.cooperative.two_step import TwoStepGame
from shoal.training.on_device import OnDevice, batch_carry

GAMMA = 0.9
KEY = jax.random.key(0)


def spec(teams=(0, 0), action=None) -> EnvSpec:
    return EnvSpec("tiny", ("a", "b"), (1, 1), action or Discrete((2, 2)), 10, teams=teams)


def linear(make, environment: EnvSpec, **settings):
    """One layer: action 0 is worth what the agent sees, and action 1 twice as much."""
    algorithm = make(hidden=(), agent_id=False, discount=GAMMA, td_lambda=0.5, **settings)
    state = algorithm.init(environment, KEY)
    head = lambda s: s.params["q"].stack.head.weight  # noqa: E731
    return algorithm, eqx.tree_at(head, state, jnp.array([[[1.0, 2.0]]]))


# Step 1 runs into a time limit at (10, 20), and a reset shows (3, 4). Agent 1 terminates by step 2,
# and agent 0 by step 3, which ends that episode: what step 3 pays agent 1 is no longer its own.
# Step 4 is of a third one.
OBS = [(1, 2), (2, 3), (3, 4), (4, 99), (7, 8)]
NEXT_OBS = [(2, 3), (10, 20), (4, 99), (99, 99), (8, 9)]
REWARD = [(1, 10), (2, 20), (3, 30), (4, 999), (5, 50)]
GONE = [(0, 0), (0, 0), (0, 0), (0, 1), (0, 0)]  # before each step
TERMINATED = [(0, 0), (0, 0), (0, 1), (1, 1), (0, 0)]
CUT = [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)]
ACTION = [(0, 1), (1, 0), (0, 0), (1, 1), (0, 1)]


def trajectory(**changes) -> Trajectory:
    def steps(obs, **fields) -> TimeStep:
        arrays: Any = {name: jnp.asarray(x)[:, None] for name, x in fields.items()}
        return TimeStep.of(jnp.asarray(obs, jnp.float32)[:, None, :, None], **arrays)

    before = steps(OBS, terminated=GONE)
    then = {"reward": REWARD, "terminated": TERMINATED, "truncated": CUT, **changes}
    after = settle(before, steps(NEXT_OBS, **then))
    last = jax.tree.map(lambda x: x[-1], after)
    transitions = Transition(to_act_on(before), jnp.array(ACTION)[:, None], {}, after)
    return Trajectory(transitions, None, last, None, jnp.float32(0.1))


def targets(make, environment=None, steps=None, **settings):
    algorithm, state = linear(make, environment or spec(), **settings)
    batch, _ = algorithm.targets(state, steps or trajectory())
    return np.asarray(batch.target[:, 0]), np.asarray(batch.weight[:, 0])


# The best value of what follows is 2 o'. 0.5 of each return looks on, but never past an end.
FIRST = [1 + 0.9 * (0.5 * 4 + 0.5 * 20), 2 + 0.9 * 20, 3 + 0.9 * (0.5 * 8 + 0.5 * 4), 4]
SECOND = [10 + 0.9 * (0.5 * 6 + 0.5 * 56), 20 + 0.9 * 40, 30, 0]
EACH = np.array([*zip(FIRST, SECOND), (5 + 0.9 * 16, 50 + 0.9 * 18)])


def test_each_agents_return_stops_at_its_end_and_at_a_time_limit():
    returns, weight = targets(pqn_iql)
    acts = np.array([(1, 1), (1, 1), (1, 1), (1, 0), (1, 1)])
    np.testing.assert_array_equal(weight, acts)
    np.testing.assert_allclose(returns * acts, EACH, rtol=1e-6)


def test_a_team_is_paid_the_mean_and_plays_on_for_those_who_are_left():
    returns, weight = targets(pqn_vdn)
    third = 16.5 + 0.9 * (0.5 * 8 + 0.5 * 2)
    second = 11 + 0.9 * (20 + 40)
    first = 5.5 + 0.9 * (0.5 * 10 + 0.5 * second)
    np.testing.assert_allclose(returns[:, 0], [first, second, third, 2, 27.5 + 0.9 * 34], rtol=1e-6)
    np.testing.assert_array_equal(weight, 1)


def test_rewards_stay_within_a_team():
    returns, weight = targets(pqn_vdn, spec(teams=(1, 0)))
    np.testing.assert_allclose(returns * weight, EACH[:, ::-1], rtol=1e-6)


def test_illegal_actions_of_what_follows_are_not_its_best():
    mask = np.ones((5, 2, 2), bool)
    mask[1, 0, 1] = False
    returns, _ = targets(pqn_iql, steps=trajectory(action_mask=mask))
    np.testing.assert_allclose(returns[1], [2 + 0.9 * 10, SECOND[1]], rtol=1e-6)


def test_at_lambda_0_a_target_looks_one_step_ahead():
    algorithm, state = linear(pqn_iql, spec())
    batch, _ = eqx.tree_at(lambda a: a.td_lambda, algorithm, 0.0).targets(state, trajectory())
    np.testing.assert_allclose(batch.target[0, 0], [1 + 0.9 * 4, 10 + 0.9 * 6], rtol=1e-6)


class Echo(Probe):
    """Four steps to a true end, each paid by what was done."""

    length = 4

    def obs(self, state):
        return self._see(state.told, state.time)

    def reward(self, state, action):
        return action * (1.0 + state.time)


def test_at_lambda_1_targets_are_what_was_earned():
    algorithm = pqn_iql(td_lambda=1.0, discount=GAMMA, hidden=(8,))
    state, steps = collect(algorithm, Echo(), num_envs=3, unroll=8)
    batch, _ = algorithm.targets(state, steps)
    earned = np.asarray(steps.transitions.successor.reward)
    expected = np.zeros_like(earned)
    for t in reversed(range(8)):
        expected[t] = earned[t] + (GAMMA * expected[t + 1] if t % 4 != 3 else 0)
    assert np.unique(earned).size > 3
    np.testing.assert_allclose(batch.target, expected, rtol=1e-5)


def test_the_loss_is_half_the_mean_square_of_what_weighs():
    algorithm, state = linear(pqn_iql, spec())
    batch, _ = algorithm.targets(state, trajectory())
    loss, metrics = algorithm.objective(state.params, batch, None, jnp.float32(0))
    q = np.array([(1, 4), (4, 3), (3, 4), (8, 0), (7, 16)])
    acts = np.array([(1, 1), (1, 1), (1, 1), (1, 0), (1, 1)], bool)
    np.testing.assert_allclose(loss, ((q - EACH)[acts] ** 2).mean() / 2, rtol=1e-5)
    np.testing.assert_allclose(metrics["q_mean"], q[acts].mean(), rtol=1e-6)


# Memory.


class Walk(Probe):
    """Episodes of five steps with a time limit; what is seen moves with what is done."""

    length = 5
    limit = True

    def obs(self, state):
        return self._see(jnp.sin(1.0 + state.time + state.told), state.cue)

    def reward(self, state, action):
        return jnp.sin(action + state.time)


def test_memory_goes_on_from_the_rollout_before_and_a_successor_is_read_with_what_was_left():
    """A rollout of four steps that begins with the last one of an episode."""
    algorithm = pqn_iql(hidden=(8,), recurrent=8, td_lambda=0.0, discount=GAMMA, minibatches=1)
    learner = OnDevice(algorithm, Walk(), num_envs=3, unroll=4)
    state = learner.init(KEY)
    acting = algorithm.acting(state.algorithm)
    collected = jax.jit(lambda loop: learner.collect(acting, loop, jnp.float32(0), KEY))
    _, steps, _ = collected(collected(state.loop)[0])
    assert np.abs(steps.carry).min() > 0 and steps.transitions.successor.done[0].all()

    network, now = state.algorithm.params["q"], steps.transitions.timestep
    after, carry, taken, target = steps.transitions.successor, steps.carry, [], []
    fresh = batch_carry(network.initial_carry(), 3)
    for t in range(4):
        q, carry = network.step(now.obs[t], carry)
        action = np.asarray(steps.transitions.action[t])
        taken.append(np.take_along_axis(np.asarray(q), action[..., None], -1)[..., 0])
        best = network.step(after.obs[t], carry)[0].max(-1)
        target.append(after.reward[t] + GAMMA * best)
        carry = where_done(after.done[t], fresh, carry)
    batch, _ = algorithm.targets(state.algorithm, steps)
    np.testing.assert_allclose(batch.target, np.stack(target), rtol=1e-4, atol=1e-5)
    parts, first = algorithm._parts(batch, steps.carry, KEY)
    part, first = jax.tree.map(lambda x: x[0], (parts, first))
    loss, metrics = algorithm.objective(state.algorithm.params, part, first, jnp.float32(0))
    np.testing.assert_allclose(metrics["q_mean"], np.mean(taken), rtol=1e-4)
    np.testing.assert_allclose(
        loss, np.mean((np.stack(taken) - np.stack(target)) ** 2) / 2, rtol=1e-4
    )


def test_single_steps_are_dealt_out_however_many_environments_there_are():
    """Of one pass in two parts, each has some steps of all but few environments; with a GRU whole
    environments."""
    for recurrent, whole in ((0, False), (4, True)):
        algorithm = pqn_iql(hidden=(4,), recurrent=recurrent, minibatches=2)
        state, steps = collect(algorithm, Walk(), num_envs=64, unroll=5)
        batch, _ = algorithm.targets(state, steps)
        marked = eqx.tree_at(lambda b: b.action, batch, batch.action * 0 + jnp.arange(64)[:, None])
        part = np.asarray(algorithm._parts(marked, steps.carry, KEY)[0].action[0])
        assert part.size == 64 * 5
        assert (len(np.unique(part)) == 32) == whole


# Exploring.


def test_exploring_falls_with_training_and_what_is_evaluated_explores_least():
    schedule = dict(epsilon_end=0.1, exploration_fraction=0.2)
    algorithm, state = linear(pqn_vdn, spec(), minibatches=1, **schedule)
    assert algorithm.acting(state).params["q"].epsilon == 1.0
    after, metrics = jax.jit(algorithm.learn)(state, trajectory(), KEY)
    assert metrics["epsilon"] == 1.0  # that of the rollout
    np.testing.assert_allclose(algorithm.acting(after).params["q"].epsilon, 0.55, rtol=1e-6)
    np.testing.assert_allclose(algorithm.learned_policy(after).epsilon, 0.1, rtol=1e-6)


def test_actions_in_a_box_are_refused():
    with pytest.raises(UserError, match="discrete actions and tiny has others"):
        pqn_vdn().check(spec(action=Box(-1.0, 1.0, (1, 1))))


# Learning.


def greedy(env, algorithm: PQN, seed: int) -> tuple[float, float]:
    """What the best actions earn after 32,000 steps, and what the team was then said to be worth
    at the first step."""
    learner = OnDevice(algorithm, env, num_envs=32, unroll=10, total_updates=100.0)

    @jax.jit
    def run():
        state = learner.init(jax.random.key(seed))
        state, _ = jax.lax.scan(lambda s, _: learner.update(s), state, None, 100)
        policy, earned, worth = algorithm.learned_policy(state.algorithm), jnp.zeros(()), []
        place, timestep = env.reset(KEY)
        for _ in range(env.spec.horizon):
            worth.append(policy.network.step(timestep.obs, None)[0].max(-1).sum())
            action = policy(timestep, None, KEY)[0].mode()
            place, timestep = env.step(KEY, place, action)
            earned += timestep.reward.mean()
        return earned, worth[0]

    earned, worth = run()
    return float(earned), float(worth)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_sum_of_values_settles_for_7_in_the_two_step_game(seed):
    """Tried alike, B's table (0, 1; 1, 8) is fitted best by a sum that says 6.5 of its 8."""
    algorithm = pqn_vdn(hidden=(32,), epsilon_end=1.0, td_lambda=0.0, discount=1.0)
    earned, worth = greedy(TwoStepGame(), algorithm, seed)
    assert earned == 7
    assert abs(worth - 7) < 0.3


class Shared(Probe):
    """Paid to both by the second agent's choice alone: 3 at the best action, else 0."""

    def reward(self, state, action):
        return jnp.full(2, 3.0 * (action[1] == 2))


@pytest.mark.parametrize(("make", "worth"), [(pqn_vdn, 3.0), (pqn_iql, 3.0 + 1.0)])
def test_of_a_teams_values_the_sum_is_what_it_earns(make, worth):
    """Alone, the first agent learns the 1 that chance brings it, whatever it does."""
    algorithm = make(hidden=(32,), epsilon_end=1.0, sharing="independent")
    earned, said = greedy(Shared(), algorithm, 1)
    assert earned == 3
    np.testing.assert_allclose(said, worth, atol=0.3)
