"""Agents that learn one after the other."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Coordination, Probe, collect

from shoal.agents.policy_gradient.happo import happo, hatrpo, one_by_one
from shoal.agents.policy_gradient.ppo import mappo
from shoal.agents.policy_gradient.trpo import trpo
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError

KEY = jax.random.key(3)


class Seen(Probe):
    """Four steps, each paid to both for the actions that they see."""

    length = 4

    @property
    def spec(self) -> EnvSpec:
        return dataclasses.replace(super().spec, roles=(0, 1))

    def obs(self, state):
        return self._see(2.0 * state.cue - 1, state.time / 4)

    def reward(self, state, action):
        return jnp.full(2, 1.0 * (action == state.cue).all())


def log_prob(state, batch):
    return state.params["actor"].unroll(batch.timestep, None, batch.starts).log_prob(batch.action)


def test_each_learns_from_what_those_before_it_have_become():
    """With a stand-in for learning that moves the policies of whoever is not frozen, and tells what
    it was given."""
    algorithm = happo(hidden=(4,))
    state, trajectory = collect(algorithm, Seen(), 5, 3)
    batch, _ = algorithm.targets(state, trajectory)

    def shift(state, part, trajectory, key, frozen):
        move = lambda x: x + 0.5 * ~frozen["actor"].reshape(-1, *[1] * (x.ndim - 1))  # noqa: E731
        stack = jax.tree.map(move, state.params["actor"].network.stack)
        after = eqx.tree_at(lambda s: s.params["actor"].network.stack, state, stack)
        told = (part.advantage, part.weight, log_prob(after, batch), frozen["critic"])
        return after, {f"{i}": x[None] for i, x in enumerate(told)}

    seen = []

    def recorded(*args):
        state, told = shift(*args)
        jax.debug.callback(lambda *x: seen.append([np.asarray(v)[0] for v in x]), *told.values())
        return state, {}

    after, _ = one_by_one(recorded, state, batch, trajectory, KEY)
    jax.block_until_ready(after)
    jax.effects_barrier()
    first = int(np.argmax(seen[0][1].sum((0, 1))))
    second = 1 - first
    np.testing.assert_allclose(seen[0][0], batch.advantage)
    ratio = np.exp(seen[0][2] - log_prob(state, batch))[..., first]
    assert np.abs(ratio - 1).max() > 1e-3
    np.testing.assert_allclose(seen[1][0], batch.advantage * ratio[..., None], rtol=1e-5)
    for weight, agent in ((seen[0][1], first), (seen[1][1], second)):
        np.testing.assert_array_equal(weight[..., agent], 1)
        np.testing.assert_array_equal(weight[..., 1 - agent], 0)
    assert not seen[0][3].any() and seen[1][3].all()


def test_the_order_is_drawn():
    state, trajectory = collect(happo(hidden=(4,)), Seen(), 5, 3)
    batch, _ = happo(hidden=(4,)).targets(state, trajectory)

    def order(key):
        def learn(state, part, trajectory, key, frozen):
            return state, {"first": jnp.argmin(frozen["actor"]) * (1.0 - frozen["critic"].all())}

        return float(one_by_one(learn, state, batch, trajectory, key)[1]["first"])

    assert len({order(jax.random.key(i)) for i in range(8)}) == 2


@pytest.mark.parametrize(("ours", "plain"), [(happo, mappo), (hatrpo, trpo)])
def test_of_one_group_it_is_the_algorithm_itself(ours, plain):
    """No minibatches, so that nothing is drawn."""
    shape = dict(hidden=(4,), sharing="shared", critic="global", epochs=3, minibatches=1)
    state, trajectory = collect(ours(**shape), Seen(), 5, 4)
    after = [jax.jit(a(**shape).learn)(state, trajectory, KEY) for a in (ours, plain)]
    for a, b in zip(*(jax.tree.leaves(s) for s in after)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_in_an_update_each_policy_moves_and_the_critic_as_often_as_in_mappo():
    shape = dict(hidden=(4,), epochs=3, minibatches=1)
    algorithm = happo(**shape)
    state, trajectory = collect(algorithm, Seen(), 5, 4)
    after, metrics = jax.jit(algorithm.learn)(state, trajectory, KEY)
    for old, new in zip(
        *(jax.tree.leaves(s.params["actor"].network.stack) for s in (state, after))
    ):
        assert all(np.abs(new[g] - old[g]).max() > 1e-5 for g in range(2))
    like = jax.jit(mappo(**shape, sharing="independent").learn)(state, trajectory, KEY)[0]
    for a, b in zip(*(jax.tree.leaves(s.params["critic"]) for s in (after, like))):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert metrics["kl"] > 0 and metrics["skipped_updates"] == 0


@pytest.mark.parametrize("make", [happo, hatrpo])
def test_advantages_are_not_recomputed(make):
    with pytest.raises(UserError, match="recompute_advantages would lose"):
        make(recompute_advantages=True).check(Seen().spec)


@pytest.mark.parametrize("make", [happo, hatrpo])
def test_it_learns_to_coordinate(train_probe, make):
    run = train_probe(make(hidden=(16,), discount=0.9), Coordination(), updates=60)
    np.testing.assert_allclose(run.returns, 1.0)
