"""Sequences out of a replay begin with what a recurrent network remembered when it acted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe, ProbeState

from shoal.agents.cooperative.iql import QLearning
from shoal.core.algorithm import where_done
from shoal.training.on_device import OnDevice, batch_carry

EPISODE, ROLLOUT, ENVS, UPDATES = 25, 10, 4, 6


class Walk(Probe):
    """Episodes of 25 steps. Agents see a number that is their episode's own, and the time."""

    length = EPISODE
    limit = True

    def reset(self, key):
        state, timestep = super().reset(key)
        state = ProbeState(state.time, jax.random.randint(key, (2,), 0, 10**6), state.told)
        return state, eqx.tree_at(lambda t: t.obs, timestep, self.obs(state))

    def obs(self, state):
        own = state.cue / 1e6
        return jnp.stack(
            [own, jnp.sin(state.time * (1 + own)), jnp.full(2, state.time / EPISODE)], -1
        )


class Watched(QLearning):
    """Hands out what its loss reads of each sampled step, and learns nothing."""

    def step(self, learned, batch, key, learning_rate):
        shape = batch.reward.shape
        each = jnp.eye(batch.reward.size).reshape(-1, *shape)  # weight on one value alone

        def value(weight):
            return self.error(learned.params, batch, jnp.zeros(shape), weight)[1]["q_mean"]

        values = jax.vmap(value)(each).reshape(shape)
        seen = (batch.obs, batch.action, values, self.weight_of(batch))
        jax.debug.callback(lambda *seen: CAUGHT.append(jax.tree.map(np.asarray, seen)), *seen)
        return learned, {"loss": jnp.float32(0)}


CAUGHT = []


def acted(network, trajectories):
    """`[60, B, N, A]`: action values at every step since the first, one step at a time."""
    fresh = batch_carry(network.initial_carry(), ENVS)
    step, carry, q = eqx.filter_jit(network.step), fresh, []
    for trajectory in trajectories:
        steps = trajectory.transitions
        for t in range(ROLLOUT):
            now, carry = step(steps.timestep.obs[t], carry)
            carry = where_done(steps.successor.done[t], fresh, carry)
            q.append(now)
    return np.stack(q)


@pytest.mark.parametrize(
    ("sequence_length", "burn_in", "learned"), [(0, 0, 10), (4, 0, 4), (4, 3, 4), (0, 4, 6)]
)
def test_learning_sees_the_values_that_acting_saw(sequence_length, burn_in, learned):
    algorithm = Watched(
        hidden=(8,),
        recurrent=8,
        activation="tanh",
        sequence_length=sequence_length,
        burn_in=burn_in,
        learning_starts=40,
        capacity=1000,
        batch_size=12 * learned,
        update_ratio=0.05,
    )
    learner = OnDevice(algorithm, Walk(), ENVS, ROLLOUT, total_updates=6.0)
    state, trajectories = jax.jit(learner.init)(jax.random.key(0)), []

    @jax.jit
    def update(state):
        key, key_collect, key_learn = jax.random.split(state.key, 3)
        acting = algorithm.acting(state.algorithm)
        loop, trajectory, _ = learner.collect(acting, state.loop, jnp.float32(0.5), key_collect)
        after, _ = algorithm.learn(state.algorithm, trajectory, key_learn)
        return eqx.tree_at(
            lambda s: (s.algorithm, s.loop, s.key), state, (after, loop, key)
        ), trajectory

    CAUGHT.clear()
    for _ in range(UPDATES):
        state, trajectory = update(state)
        trajectories.append(trajectory)
    jax.effects_barrier()
    assert len(CAUGHT) == 2 * UPDATES

    q = acted(state.algorithm.learned.params["q"], trajectories)
    shown = np.concatenate([np.asarray(t.transitions.timestep.obs) for t in trajectories])
    where = {
        row.tobytes(): at for at, row in zip(np.ndindex(shown.shape[:2]), shown.reshape(-1, 6))
    }
    starts = set()
    for obs, action, values, weight in CAUGHT:
        assert obs.shape[:2] == (learned + burn_in, 12)
        np.testing.assert_array_equal(weight[:, 0, 0], np.arange(len(obs)) >= burn_in)
        rows = [[where[obs[i, m].tobytes()] for m in range(12)] for i in range(len(obs))]
        at = np.array(rows)  # [L, M, 2]: when, and in which environment
        assert (np.diff(at[..., 0], axis=0) == 1).all() and (np.diff(at[..., 1], axis=0) == 0).all()
        starts |= set((at[0, :, 0] % ROLLOUT).tolist())
        truth = np.take_along_axis(q[at[..., 0], at[..., 1]], action[..., None], -1)[..., 0]
        assert np.abs(values - truth).max() < 1e-5
    whole = sequence_length == burn_in == 0
    assert starts == {0} if whole else len(starts) > 3
