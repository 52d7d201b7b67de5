"""Scales of observations: what they see, that policies keep them, and what is remembered."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe, SeenAction, collect

from shoal.agents.policies import Actor
from shoal.agents.policy_gradient.ppo import ippo, mappo
from shoal.agents.scales import LIMIT, ScaledPolicy, Scales
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.spaces import Discrete
from shoal.registry import make_algorithm
from shoal.training.on_device import OnDevice

SPEC = EnvSpec("tiny", ("a", "b", "c"), (2,) * 3, Discrete((2,) * 3), 9, roles=(0, 1, 0))


def steps(seed: int, active, shape=(6, 5), state_size: int = 0) -> TimeStep:
    rng = np.random.default_rng(seed)
    obs = jnp.asarray(rng.normal([5.0, -300.0], [2.0, 40.0], (*shape, 3, 2)), jnp.float32)
    state = jnp.asarray(rng.normal(7.0, 3.0, (*shape, 4)), jnp.float32) if state_size else None
    return TimeStep.of(obs, active=jnp.broadcast_to(active, (*shape, 3)), global_state=state)


def test_scales_are_of_a_role_and_of_those_who_act():
    seen = steps(0, np.array([True, True, False]))
    obs = Scales.of(SPEC).update(seen).obs
    for role, agent in ((0, 0), (1, 1)):
        own = np.asarray(seen.obs[:, :, agent]).reshape(-1, 2)
        np.testing.assert_allclose(obs.mean[role], own.mean(0), rtol=1e-5)
        np.testing.assert_allclose(obs.variance[role], own.var(0), rtol=1e-4)


def test_networks_see_within_limits_and_zeros_for_who_does_not_act():
    scales = Scales.of(SPEC).update(steps(0, True))
    now = steps(1, np.array([True, False, True]), shape=(4,))
    far = eqx.tree_at(lambda t: t.obs, now, now.obs.at[0, 0].set(jnp.array([1e9, -1e9])))
    seen = scales.apply(far).obs
    np.testing.assert_array_equal(seen[0, 0], [LIMIT, -LIMIT])
    np.testing.assert_array_equal(seen[:, 1], 0)
    mean, deviation = scales.obs.mean[0], jnp.sqrt(scales.obs.variance[0])
    np.testing.assert_allclose(seen[1:, 0], (now.obs[1:, 0] - mean) / deviation, rtol=1e-4)
    visible = scales.apply(far, jnp.ones((4, 3), bool)).obs  # cut: its last observation counts
    np.testing.assert_array_equal(visible, scales.see(far.obs))


def test_a_global_state_has_a_scale_of_its_own():
    spec = dataclasses.replace(SPEC, state_size=4)
    shown = steps(0, True, state_size=4)
    scales = Scales.of(spec).update(shown)
    state = np.asarray(scales.apply(shown).global_state).reshape(-1, 4)
    np.testing.assert_allclose([state.mean(0), state.std(0)], [[0] * 4, [1] * 4], atol=1e-4)


@pytest.mark.parametrize("make", [ippo, mappo])
def test_what_is_learned_from_is_what_was_acted_on(make):
    """A rollout that was acted on under a scale is as likely under the policy that learns: without
    a change of parameters the divergence is 0."""
    algorithm = make(hidden=(4,), normalise_observations=True, epochs=1, minibatches=1)
    learner = OnDevice(algorithm, SeenAction(), num_envs=4, unroll=6)
    update = jax.jit(learner.update)
    state, first = update(learner.init(jax.random.key(0)))
    second = update(state)[1]
    np.testing.assert_allclose([first["kl"], second["kl"]], 0, atol=1e-6)
    assert float(state.algorithm.scales.obs.weight[0]) == 6 * 4 * 2


def test_a_policy_keeps_the_scale_it_was_trained_with():
    algorithm = ippo(hidden=(4,), normalise_observations=True)
    state, trajectory = collect(algorithm, SeenAction(), num_envs=4, unroll=6)
    moved, _ = jax.jit(algorithm.learn)(state, trajectory, jax.random.key(0))
    policy, now = algorithm.policy(moved), trajectory.transitions.timestep
    assert isinstance(policy, ScaledPolicy) and isinstance(policy.inner, Actor)
    distribution, _ = policy(now, None, jax.random.key(0))
    seen = eqx.tree_at(lambda t: t.obs, now, moved.scales.obs.normalise(now.obs))
    expected, _ = moved.params["actor"](seen, None)
    np.testing.assert_allclose(distribution.log_probs, expected.log_probs, atol=1e-6)
    assert not np.allclose(expected.log_probs, moved.params["actor"](now, None)[0].log_probs)


# Replay.


class Constant(Probe):
    """Two agents see 100 and 3, and time; the scales move on while these numbers stay."""

    length = 4

    def obs(self, state):
        seen = jnp.array([[100.0, 0, 0], [3.0, 0, 0]])
        return seen.at[:, 1].set(state.time * (1.0 + state.cue))


OFF_POLICY = dict(hidden=(4,), learning_starts=8, capacity=128, batch_size=8, update_ratio=0.1)


@pytest.mark.parametrize("name", ["iql", "vdn", "qmix"])
def test_a_replay_holds_what_was_seen_as_it_was(name):
    """The same number at different times is the same number there, whatever scale it was seen
    under; the batch that is learned from is scaled, all of it by the scale of that day."""
    algorithm = make_algorithm(name, normalise_observations=True, **OFF_POLICY)
    learner = OnDevice(algorithm, Constant(), num_envs=4, unroll=6)
    update, state = jax.jit(learner.update), learner.init(jax.random.key(0))
    scales = []
    for _ in range(3):
        state, metrics = update(state)
        scales.append(float(state.algorithm.scales.obs.mean[0, 1]))
    assert len(set(scales)) == 3 and np.isfinite(float(metrics["loss"]))
    replay = state.algorithm.replay
    kept = jax.tree.map(lambda x: np.asarray(x[: 3 * 24]), replay.data)
    active = kept.active
    for agent, number in enumerate((100.0, 3.0)):
        assert set(kept.obs[active[:, agent], agent, 0].tolist()) == {number}
    times = kept.obs[..., 1][active]
    assert set(times.tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0, 6.0}

    batch, _, _ = replay.sample(jax.random.key(1), 40, chunk=(6, 4))
    seen = batch.under(state.algorithm.scales, pixels=0)
    expected = jnp.where(batch.active[..., None], state.algorithm.scales.see(batch.obs), 0)
    np.testing.assert_allclose(seen.obs, expected, rtol=1e-5)
    assert np.abs(seen.obs).max() < 5


def test_a_state_that_is_all_observations_is_scaled_as_they_are():
    """As acting sees it, where critics of everyone's observations remember."""
    algorithm = make_algorithm("qmix", normalise_observations=True, **OFF_POLICY)
    learner = OnDevice(algorithm, Constant(), num_envs=4, unroll=6)
    state, _ = jax.jit(learner.update)(learner.init(jax.random.key(0)))
    batch, _, _ = state.algorithm.replay.sample(jax.random.key(1), 40, chunk=(6, 4))
    seen = batch.under(state.algorithm.scales, pixels=0)
    assert state.algorithm.scales.state is None and float(jnp.abs(batch.state).max()) > 50
    np.testing.assert_array_equal(seen.state, seen.obs.reshape(*seen.state.shape))
    np.testing.assert_array_equal(seen.next_state, seen.next_obs.reshape(*seen.state.shape))
