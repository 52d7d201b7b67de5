"""Archives, behaviours and weights of novelty search by hand, and a trap that it leaves."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe, ProbeState, collect

from shoal.agents.evolution.novelty_es import Archive, NoveltyES, nses, nsres
from shoal.agents.evolution.openai_es import ranks
from shoal.core.algorithm import Trajectory, Transition
from shoal.core.descend import rows_of
from shoal.core.env import TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Box
from shoal.training.on_device import OnDevice

NAN = np.nan


def test_an_archive_takes_the_most_typical_and_forgets_the_oldest():
    archive = Archive(jnp.zeros((1, 2, 1)), jnp.zeros(1, jnp.int32))
    for behaviours in ([0.0, 1.0, 5.0], [10.0, 11.0, 18.0], [NAN, 7.0, 8.5], [NAN] * 3):
        archive = archive.add(jnp.array(behaviours)[:, None, None])
    # Means are 2, 13 and 7.75: 1, then 11, then 7 (as near as 8.5, and before it) in place of 1.
    np.testing.assert_array_equal(archive.behaviours[0, :, 0], [7.0, 11.0])
    assert archive.added[0] == 3
    told = archive.novelty(jnp.array([7.0, 9.0, 20.0])[:, None, None], 1)
    np.testing.assert_allclose(told[:, 0], [0, 2, 9])


def steps(done, active, shown, **metrics) -> Trajectory:
    """Of one environment with two agents, from lists over time."""
    active = jnp.asarray(active, bool)[:, None]
    obs = jnp.asarray(shown, jnp.float32)[:, None, :, None]
    done = jnp.broadcast_to(jnp.asarray(done, bool)[:, None, None], active.shape)
    told = {name: jnp.asarray(x, jnp.float32)[:, None] for name, x in metrics.items()}
    after = TimeStep.of(0 * obs, truncated=done, metrics=told)
    before = TimeStep.of(obs, active=active)
    return Trajectory(
        Transition(before, jnp.zeros(active.shape), None, after), None, before, None, jnp.float32(0)
    )


def test_a_behaviour_is_what_was_last_acted_on_before_an_end():
    """Two episodes end; what the third shows does not count, nor what is shown out of turn."""
    active = [[1, 1], [1, 0], [1, 1], [1, 1], [0, 1]]
    shown = [[1, 2], [3, 99], [5, 6], [7, 8], [9, 10]]
    played = steps([0, 1, 0, 1, 0], active, shown)
    np.testing.assert_allclose(nses().endings(played)[0, :, 0], [(3 + 7) / 2, (2 + 8) / 2])
    unended = steps([0, 0, 0, 0, 0], active, shown)
    np.testing.assert_allclose(nses().endings(unended)[0, :, 0], [7, 10])


def test_a_behaviour_may_be_metrics_of_the_environment():
    played = steps(
        [0, 1, 0, 1, 0], [[1, 1]] * 5, [[0, 0]] * 5, x=[1, 2, 3, 4, 9], y=[0, 10, 0, 30, 9]
    )
    both = nses(behaviour=("y", "x")).endings(played)
    np.testing.assert_allclose(both, [[[20, 3], [20, 3]]])


def test_what_is_no_metric_is_refused():
    spec = dataclasses.replace(Probe().spec, metrics=(("distance", "last"),))
    nses(behaviour=("distance",)).check(spec)
    with pytest.raises(UserError, match=r"unknown metric of Probe 'distances'.*'distance'"):
        nses(behaviour=("distances",)).check(spec)


@pytest.mark.parametrize("make, weight", [(nses, 1.0), (nsres, 0.5)])
def test_the_step_is_the_papers(make, weight):
    algorithm = make(population=6, hidden=(2,), sigma=0.5, nearest=2, weight_decay=0.1)
    state = algorithm.init(Probe().spec, jax.random.key(0))
    rng = np.random.default_rng(0)
    archive = rng.normal(size=(4, 3))
    held = jnp.zeros((1, 1000, 3)).at[0, :4].set(archive)
    state = eqx.tree_at(lambda s: s.search, state, Archive(held, jnp.array([4], jnp.int32)))
    behaviours, fitness = rng.normal(size=(6, 1, 3)), rng.normal(size=(6, 1))
    novel = np.linalg.norm(behaviours - archive, axis=-1)
    novel = np.sort(novel, 1)[:, :2].mean(1, keepdims=True)
    weights = weight * ranks(jnp.array(novel)) + (1 - weight) * ranks(jnp.array(fitness))
    noise, mean = algorithm.noise(state, 0, 6), rows_of(state.params["mean"], 1)
    expected = 0.1 * mean - np.einsum("pg,pgd->gd", weights, noise) / (6 * 0.5)
    told = [jnp.asarray(x, jnp.float32) for x in (fitness, behaviours)]
    after, metrics = jax.jit(algorithm.tell)(state, *told)
    np.testing.assert_allclose(
        after.optimizers["mean"].moments.mu, 0.1 * expected, rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(metrics["novelty_mean"], novel.mean(), rtol=1e-5)
    assert after.search.added[0] == 5


class Trap(Probe):
    """Each agent walks along a line for eight steps, and is paid what it gains by going left of 0
    a little; far on the right, behind a loss, lies ten times as much."""

    length = 8

    @property
    def spec(self):
        space = Box(-0.5, 0.5, (1, 1))
        return dataclasses.replace(super().spec, action=space, metrics=(("place", "last"),))

    def reset(self, key):
        state = ProbeState(jnp.int32(0), jnp.zeros(2), jnp.zeros(2, jnp.int32))
        return state, self._told(state, jnp.zeros(2))

    def step(self, key, state, action):
        place = state.cue + jnp.clip(action[:, 0], -0.5, 0.5)
        pay = jnp.where(state.time == 7, self.worth(place), 0.0)
        state = ProbeState(state.time + 1, place, state.told)
        return state, self._told(state, pay)

    def worth(self, place):
        return jnp.where(place > 3, 10.0, jnp.where(place < 0, jnp.minimum(-place, 1), -place))

    def _told(self, state, pay):
        return dataclasses.replace(self._show(state, pay), metrics={"place": state.cue.mean()})

    def obs(self, state):
        return self._see(state.cue / 4, state.time / 8)

    def legal(self, state):
        return None


@pytest.mark.parametrize("settings", [{}, {"behaviour": ("place",)}])
def test_novelty_leaves_a_trap_that_reward_walks_into(settings):
    """60 generations of 32 members; reward alone stays on the left."""

    def most(algorithm):
        learner = OnDevice(algorithm, Trap(), 32, 8)

        def train(key):
            return jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), None, 60)[1]

        return jax.jit(train)(jax.random.key(0))["fitness_max"]

    plain = dict(population=32, hidden=(4,), learning_rate=0.05, sigma=0.1)
    assert most(NoveltyES(novelty_weight=0.0, **plain, **settings)).max() < 2
    assert most(nses(**plain, **settings)).max() > 9
    assert collect(nses(population=2), Trap(), 2, 8)[1].transitions.successor.metrics
