"""One device or two: the same data must give the same update."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec as P
from probes import collect

from shoal.agents.cooperative.jal import jal
from shoal.agents.evolution.openai_es import openai_es
from shoal.agents.policy_gradient.happo import happo
from shoal.agents.policy_gradient.ppo import ippo
from shoal.agents.policy_gradient.sac import sac
from shoal.agents.policy_gradient.trpo import trpo
from shoal.core.algorithm import Trajectory
from shoal.core.descend import descend, init_optimizer
from shoal.core.parallel import (
    AXIS,
    MEMBERS,
    all_gather,
    any_member,
    cond,
    group_mean,
    num_shards,
    pmean,
    shard_index,
    weighted_mean,
)
from shoal.envs.particle.simple_spread import SimpleSpread

EVERYWHERE = P()


def on_two(fn: Callable, *specs: P, out: P = EVERYWHERE) -> Callable:
    """`fn` on two devices, compiled."""
    mesh = jax.make_mesh((2,), (AXIS,), axis_types=(AxisType.Auto,))
    return jax.jit(jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False))


def test_helpers_know_how_many_devices_there_are():
    def each(x):
        return all_gather(x)[None], pmean(x.sum())[None], jnp.array([num_shards(), shard_index()])

    gathered, mean, ids = on_two(each, P(AXIS), out=P(AXIS))(jnp.arange(6.0))
    np.testing.assert_array_equal(gathered, np.tile(np.arange(6.0), (2, 1)))
    np.testing.assert_array_equal(mean, [7.5, 7.5])  # (0 + 1 + 2, 3 + 4 + 5)
    np.testing.assert_array_equal(ids, [2, 0, 2, 1])
    one = jnp.arange(6.0)
    np.testing.assert_array_equal(all_gather(one), one)
    assert (num_shards(), shard_index(), pmean(one.sum())) == (1, 0, 15)


def test_any_member_asks_those_that_run_side_by_side():
    """One answer for all, without their axis; alone a member answers for itself."""
    truth = jnp.array([False, True, False])
    asked = jax.vmap(any_member, axis_name=MEMBERS, out_axes=None)
    assert asked(truth) and not asked(jnp.zeros(3, bool))
    assert any_member(truth[1]) and not any_member(truth[0])


def test_a_cond_gives_each_member_its_own_branch_and_stays_one():
    def run(x, operand):
        return cond(x, lambda y: (2 * y, y + 1), lambda y: (y, -y), operand)

    truth, operand = jnp.array([False, True]), jnp.array([3.0, 5.0])
    both = jax.vmap(run, axis_name=MEMBERS)
    for asked in (truth, ~truth, truth & False, truth | True):
        expected = np.where(asked, (2 * operand, operand + 1), (operand, -operand))
        np.testing.assert_array_equal(both(asked, operand), expected)
        np.testing.assert_array_equal([run(*x) for x in zip(asked, operand)], expected.T)
    names = [equation.primitive.name for equation in jax.make_jaxpr(both)(truth, operand).eqns]
    assert names.count("cond") == 1


X = jnp.array([1.0, 2.0, 3.0, 4.0])
WEIGHT = jnp.array([1.0, 0.0, 1.0, 1.0])  # uneven: half as much on the first device


def test_weighted_mean_is_global_however_the_weights_fall():
    expected = (1 + 3 + 4) / 3
    np.testing.assert_allclose(weighted_mean(X, WEIGHT), expected, rtol=1e-6)
    shared = on_two(lambda x, w: pmean(weighted_mean(x, w)), P(AXIS), P(AXIS))
    np.testing.assert_allclose(shared(X, WEIGHT), expected, rtol=1e-6)


def test_a_groups_mean_is_that_of_its_agents_samples_on_all_devices():
    """Three agents, the first and the last in one group; weights leave out what is 100."""
    x = jnp.array([[1.0, 100.0, 3.0], [100.0, 5.0, 2.0]])
    weight = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 2.0]])
    expected = [(1 + 3 + 2 * 2) / 4, 5, (1 + 3 + 2 * 2) / 4]
    of_agent = (1, 0, 1)
    np.testing.assert_allclose(group_mean(x, weight, of_agent), expected, rtol=1e-6)
    two = on_two(lambda x, w: group_mean(x, w, of_agent), P(AXIS), P(AXIS))
    np.testing.assert_allclose(two(x, weight), expected, rtol=1e-6)
    np.testing.assert_array_equal(group_mean(x, 0 * weight, of_agent), 0)


def test_gradients_are_averaged_and_not_added_up():
    """d/dp of the weighted mean of (p - x)^2 at p = 0 is -2 * 8 / 3 on any number of devices."""

    def step(p, x, weight):
        def loss(params):
            return weighted_mean((params["p"] - x) ** 2, weight), {}

        optimizers = {"p": init_optimizer(p)}
        return descend(loss, {"p": p}, optimizers, learning_rate=0.1)[2]["grad_norm"]

    zero = jnp.zeros(())
    np.testing.assert_allclose(step(zero, X, WEIGHT), 16 / 3, rtol=1e-6)
    two = on_two(step, EVERYWHERE, P(AXIS), P(AXIS))
    np.testing.assert_allclose(two(zero, X, WEIGHT), 16 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "algorithm",
    [
        ippo(hidden=(8,), epochs=2, minibatches=1),
        happo(hidden=(8,), epochs=2, minibatches=1),
        trpo(hidden=(8,), epochs=2, minibatches=1, sharing="independent"),
        openai_es(hidden=(4,), population=4),
        jal(),
    ],
    ids=["ippo", "happo", "trpo", "openai_es", "jal"],
)
def test_two_devices_learn_what_one_does(algorithm):
    state, trajectory = collect(algorithm, SimpleSpread(horizon=4), num_envs=4, unroll=6)

    def learn(state, transitions, ends, progress):
        trajectory = Trajectory(transitions, *ends, progress)
        state, metrics = algorithm.learn(state, trajectory, jax.random.key(1))
        return state, pmean(metrics)

    ends = (trajectory.carry, trajectory.last, trajectory.last_carry)
    inputs = (state, trajectory.transitions, ends, trajectory.progress)
    one = jax.jit(learn)(*inputs)
    two = on_two(learn, EVERYWHERE, P(None, AXIS), P(AXIS), EVERYWHERE)(*inputs)
    assert not np.allclose(_numbers(one[0]), _numbers(state))
    np.testing.assert_allclose(_numbers(two[0]), _numbers(one[0]), rtol=1e-5, atol=1e-6)
    for name, value in one[1].items():
        np.testing.assert_allclose(two[1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_two_devices_learn_from_their_halves_of_a_batch_what_one_does():
    """Of discrete actions, for which SAC draws nothing."""
    algorithm = sac(hidden=(8,), capacity=24, learning_starts=24, batch_size=8, update_ratio=0.1)
    state, trajectory = collect(algorithm, SimpleSpread(horizon=4), num_envs=4, unroll=6)
    learned = algorithm.learn(state, trajectory, jax.random.key(1))[0]
    batch = jax.tree.map(lambda x: x.reshape(6, 4, *x.shape[1:]), learned.replay.data)

    def step(learned, batch):
        learned, metrics = algorithm.step(learned, batch, jax.random.key(2), 1e-2)
        del metrics["errors"]  # of each sequence
        return learned, pmean(metrics)

    one = jax.jit(step)(state.learned, batch)
    two = on_two(step, EVERYWHERE, P(None, AXIS))(state.learned, batch)
    assert not np.allclose(_numbers(one[0]), _numbers(state.learned))
    np.testing.assert_allclose(_numbers(two[0]), _numbers(one[0]), rtol=1e-5, atol=1e-6)
    for name, value in one[1].items():
        np.testing.assert_allclose(two[1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def _numbers(state) -> np.ndarray:
    leaves = [x for x in jax.tree.leaves(state) if x.dtype == jnp.float32]
    return np.concatenate([np.ravel(x) for x in leaves])
