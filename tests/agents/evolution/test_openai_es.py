"""Populations, fitness and updates of evolution strategies by hand, and a slope they must climb."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import DyingAgent, Probe, ProbeState, collect

from shoal.agents.evolution.openai_es import OpenAIES, openai_es
from shoal.core.algorithm import Trajectory
from shoal.core.env import TimeStep, settle
from shoal.core.errors import UserError
from shoal.core.spaces import Box
from shoal.training.on_device import OnDevice


def flat(tree, axes: int) -> np.ndarray:
    """All numbers of a pytree behind its first `axes` axes."""
    leaves = jax.tree.leaves(tree)
    return np.concatenate([np.reshape(x, (*x.shape[:axes], -1)) for x in leaves], -1)


def everyone(algorithm: OpenAIES, state):
    """All members of a generation."""
    return algorithm.members(state, jnp.arange(algorithm.population))


@pytest.fixture(scope="module")
def played():
    """Six members in twelve environments, two groups of agents; an episode has four steps."""
    algorithm = openai_es(
        population=6, hidden=(3,), sigma=0.5, weight_decay=0.1, sharing="independent"
    )
    return algorithm, *collect(algorithm, DyingAgent(), num_envs=12, unroll=8)


def paid(trajectory: Trajectory, reward) -> Trajectory:
    """The trajectory with other rewards, `[B, N]` at each step, for who is paid at all."""
    steps = trajectory.transitions
    reward = jnp.broadcast_to(jnp.asarray(reward, jnp.float32), steps.successor.reward.shape)
    offered = eqx.tree_at(lambda t: t.reward, steps.successor, reward)
    successor = settle(steps.timestep, offered)
    return eqx.tree_at(lambda t: t.transitions.successor, trajectory, successor)


def test_members_are_opposite_pairs_around_the_mean(played):
    algorithm, state, _ = played
    noise = (flat(everyone(algorithm, state), 1) - flat(state.params["mean"], 0)) / 0.5
    np.testing.assert_allclose(noise[0::2], -noise[1::2], atol=1e-5)
    pairs = noise[0::2]
    assert np.abs(np.corrcoef(pairs) - np.eye(3)).max() < 0.6  # of 50 numbers, independent
    assert abs(pairs.mean()) < 0.2 and 0.85 < pairs.std() < 1.15


def test_the_update_is_the_papers(played):
    """Gradient by hand from the members; each group is improved by what its own agents earned."""
    algorithm, state, trajectory = played
    by_member = np.array([[3, 1], [1, 2], [5, 3], [2, 4], [9, 5], [7, 0]], np.float32)  # [P, G]
    weights = np.array([[2, 1], [0, 2], [3, 3], [1, 4], [5, 5], [4, 0]]) / 5 - 0.5
    after, metrics = jax.jit(algorithm.learn)(
        state, paid(trajectory, np.repeat(by_member, 2, 0)), jax.random.key(0)
    )
    noise = (flat(everyone(algorithm, state), 2) - flat(state.params["mean"], 1)) / 0.5
    ascent = np.einsum("pg,pgd->gd", weights, noise) / (6 * 0.5)
    expected = 0.1 * flat(state.params["mean"], 1) - ascent
    np.testing.assert_allclose(
        after.optimizers["mean"].moments.mu, 0.1 * expected, rtol=1e-3, atol=1e-6
    )
    norms = np.linalg.norm(expected, axis=1)  # of each group
    np.testing.assert_allclose(metrics["grad_norm"], np.sqrt((norms**2).mean()), rtol=1e-4)
    # The first agent lives for 1 step of 4, the second for all: 2 episodes of 8 steps.
    fitness = by_member * [1, 4]
    np.testing.assert_allclose(metrics["fitness_mean"], fitness.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["fitness_max"], (9 + 20) / 2, rtol=1e-5)
    np.testing.assert_allclose(metrics["fitness_std"], fitness.std(0).mean(), rtol=1e-5)


def test_equal_fitness_moves_nothing_and_no_generation_is_like_another(played):
    algorithm, state, trajectory = played
    still = eqx.tree_at(lambda a: a.weight_decay, algorithm, 0.0)
    after, metrics = jax.jit(still.learn)(state, paid(trajectory, 1.0), jax.random.key(0))
    np.testing.assert_allclose(
        flat(after.params["mean"], 0), flat(state.params["mean"], 0), atol=1e-7
    )
    assert metrics["grad_norm"] == 0
    assert after.generation == 1
    now, before = (flat(everyone(algorithm, s), 1) for s in (after, state))
    assert np.abs(now - before).min(1).max() > 0


def test_a_member_whose_fitness_is_not_a_number_ranks_last(played):
    algorithm, state, trajectory = played
    reward = np.repeat(np.arange(6.0), 2)[:, None].repeat(2, 1)
    worst = np.where(reward == 5, -1.0, reward)
    broken = np.where(reward == 5, np.nan, reward)
    learn = jax.jit(algorithm.learn)
    expected, _ = learn(state, paid(trajectory, worst), jax.random.key(0))
    after, metrics = learn(state, paid(trajectory, broken), jax.random.key(0))
    np.testing.assert_array_equal(flat(after.params["mean"], 0), flat(expected.params["mean"], 0))
    assert metrics["skipped_updates"] == 0


def test_each_environment_is_played_by_its_member(played):
    algorithm, state, trajectory = played
    timestep, members = trajectory.last, everyone(algorithm, state)
    action, _, _ = algorithm.act(algorithm.acting(state), timestep, None, jax.random.key(0))
    for b in range(12):
        member = jax.tree.map(lambda x, b=b: x[b // 2], members)
        alone, _ = member(jax.tree.map(lambda x, b=b: x[b], timestep), None)
        np.testing.assert_array_equal(action[b], alone.mode())
        np.testing.assert_array_equal(action[b], alone.sample(jax.random.key(b)))


class Aim(Probe):
    """Box actions; pays minus the squared distance to 1.5, or for the second agent to -0.5."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=Box(-2.0, 2.0, (1, 1)))

    def step(self, key, state, action):
        cost = (action[:, 0] - jnp.array([1.5, -0.5])) ** 2
        state = ProbeState(state.time + 1, state.cue, state.told)
        return state, self._show(state, -cost)

    def legal(self, state):
        return None


def test_it_climbs_to_known_box_actions():
    """60 generations of 64 members, 3,840 steps, seed 0."""
    learner = OnDevice(openai_es(population=64, hidden=(8,), learning_rate=0.05), Aim(), 64, 1)

    def train(key):
        state, metrics = jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), None, 60)
        policy = learner.algorithm.policy(state.algorithm)
        chosen, _ = policy(learner.env.reset(key)[1], None, key)
        return chosen.mode(), chosen.sample(key), metrics["fitness_mean"]

    mode, sample, fitness = jax.jit(train)(jax.random.key(0))
    np.testing.assert_allclose(mode[:, 0], [1.5, -0.5], atol=0.15)
    np.testing.assert_allclose(sample, mode, atol=1e-5)
    assert fitness[-1] > -0.2 > -1 > fitness[0]


def test_a_recurrent_population_carries_its_memory():
    algorithm = openai_es(population=2, hidden=(3,), recurrent=5)
    _, trajectory = collect(algorithm, DyingAgent(), num_envs=4, unroll=6)
    assert trajectory.last_carry.shape == (4, 2, 5)
    assert np.abs(trajectory.last_carry).min() > 0


def test_a_stochastic_policy_draws():
    algorithm = openai_es(population=2, hidden=(3,), stochastic=True)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    chosen, _ = algorithm.policy(state)(TimeStep.of(jnp.ones((50, 2, 3))), None)
    drawn = np.unique(chosen.sample(jax.random.key(0)))
    assert len(drawn) == 3  # of 3 actions, nearly even at first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 7}, "population is 7, expected an even number"),
        ({"sigma": 0.0}, "sigma is 0.0, expected a positive number"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        OpenAIES(**settings).check(Probe().spec)


def test_environments_must_divide_among_members():
    algorithm = openai_es(population=4, hidden=(3,))
    with pytest.raises(UserError, match=r"6 environments .* evenly among 4 members"):
        collect(algorithm, Probe(), num_envs=6, unroll=1)
