"""Natural steps against the explicit Fisher matrix, and trust regions that hold."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Coordination, Probe, collect

from shoal.agents.policy_gradient.ppo import mappo
from shoal.agents.policy_gradient.trpo import npg, trpo
from shoal.core.descend import from_rows, rows_of
from shoal.core.errors import UserError
from shoal.training.on_device import OnDevice

KEY = jax.random.key(1)


class Seen(Probe):
    """Four steps, each paid for the action that an agent sees, the second agent 30 times more."""

    length = 4

    def obs(self, state):
        return self._see(2.0 * state.cue - 1, state.time / 4)

    def reward(self, state, action):
        return jnp.array([1.0, 30.0]) * (action == state.cue)


def prepared(algorithm, num_envs=16, unroll=4):
    state, trajectory = collect(algorithm, Seen(), num_envs, unroll)
    batch, _ = algorithm.targets(state, trajectory)
    return state, batch, trajectory


@pytest.mark.parametrize("sharing", ["shared", "independent"])
def test_the_whole_step_is_that_of_the_explicit_matrix(sharing):
    algorithm = npg(hidden=(3,), sharing=sharing, damping=0.05, max_kl=0.02, conjugate_steps=200)
    state, batch, _ = prepared(algorithm)
    actor = state.params["actor"]
    step, metrics = jax.jit(algorithm.natural_step)(actor, batch, None, 0.0)
    groups = actor.network.groups
    start = rows_of(actor, groups.count)

    def log_probs(rows):
        return from_rows(rows, actor).unroll(batch.timestep, None, batch.starts).log_probs

    def scores(rows):  # of every action, [T, B, N, A, G, P]
        return jax.jacobian(log_probs)(rows)

    score, prob = np.asarray(scores(start), np.float64), np.exp(np.asarray(log_probs(start)))
    taken = np.asarray(jax.nn.one_hot(batch.action, 3))
    for group, agents in enumerate(groups.members):
        of = np.concatenate(
            [score[:, :, n, :, group].reshape(-1, 3, start.shape[1]) for n in agents]
        )
        p = np.concatenate([prob[:, :, n].reshape(-1, 3) for n in agents])
        chosen = np.concatenate([taken[:, :, n].reshape(-1, 3) for n in agents])
        advantage = np.concatenate([np.asarray(batch.advantage)[:, :, n].ravel() for n in agents])
        fisher = np.einsum("ba,bai,baj->ij", p, of, of) / len(p) + 0.05 * np.eye(of.shape[-1])
        gradient = np.einsum("b,ba,bai->i", advantage, chosen, of) / len(p)
        x = np.linalg.solve(fisher, gradient)
        expected = np.sqrt(2 * 0.02 / (x @ fisher @ x)) * x
        ours = rows_of(step, groups.count)[group]
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=2e-5)
    assert metrics["line_search"] == 1


@pytest.mark.parametrize("sharing", ["shared", "independent"])
@pytest.mark.parametrize("max_kl", [0.001, 0.05])
def test_no_update_leaves_the_trust_region_and_most_use_it(sharing, max_kl):
    algorithm = trpo(hidden=(8,), sharing=sharing, max_kl=max_kl, discount=0.9)
    learner = OnDevice(algorithm, Seen(), 16, 4)

    @jax.jit
    def run(key):
        state = learner.init(key)
        return jax.lax.scan(lambda s, _: learner.update(s), state, None, 40)

    _, metrics = run(jax.random.key(0))
    assert (metrics["kl"] <= max_kl).all()
    assert np.median(metrics["kl"][:20]) > 0.3 * max_kl
    assert (metrics["policy_gain"] >= 0).all()
    returns = metrics["return_sum"] / metrics["episodes"]
    assert returns[-5:].mean() > returns[:5].mean()


def test_a_step_without_advantage_is_none():
    algorithm = trpo(hidden=(4,))
    state, batch, _ = prepared(algorithm)
    batch = eqx.tree_at(lambda b: b.advantage, batch, jnp.zeros_like(batch.advantage))
    for rule in (algorithm, npg(hidden=(4,))):
        step, metrics = jax.jit(rule.natural_step)(state.params["actor"], batch, None, 0.0)
        assert all((x == 0).all() for x in jax.tree.leaves(step))
        assert metrics["kl"] == 0


def test_the_critic_learns_as_in_ppo():
    """The value loss is one; only the policy's step differs."""
    shape = dict(hidden=(4,), critic="global", epochs=3, minibatches=2, entropy_weight=0.0)
    ours, other = trpo(**shape), mappo(**shape, clip_values=False)
    state, trajectory = collect(ours, Seen(), 16, 4)
    theirs = other.init(Seen().spec, jax.random.key(0))
    theirs = type(theirs)(state.params, theirs.optimizers, state.scales, state.kept)
    after = [jax.jit(a.learn)(s, trajectory, KEY)[0] for a, s in ((ours, state), (other, theirs))]
    for a, b in zip(*(jax.tree.leaves(s.params["critic"]) for s in after)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [trpo, npg])
def test_a_trust_region_of_no_size_is_refused(make):
    with pytest.raises(UserError, match=r"max_kl is -1\.0, expected a positive number"):
        make(max_kl=-1.0)


def test_it_learns_to_coordinate(train_probe):
    run = train_probe(trpo(hidden=(16,), discount=0.9), Coordination(), updates=60)
    np.testing.assert_allclose(run.returns, 1.0)
