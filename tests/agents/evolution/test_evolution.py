"""What all strategies share: generations by ask, updates by tell, wherever members were played."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import DyingAgent, SeenAction, collect

from shoal.agents.scales import ScaledPolicy
from shoal.core.algorithm import Trajectory
from shoal.core.parallel import AXIS
from shoal.registry import make_algorithm

NAMES = ["openai_es", "snes", "cma_es", "nses", "nsres"]
P, G = 8, 2


def make(name: str, **settings):
    plain = dict(population=P, hidden=(3,), sharing="independent", sigma=0.5)
    return make_algorithm(name, **{**plain, **settings})


def began(algorithm):
    """A state two generations old, so that every part of it has moved."""
    state = algorithm.init(DyingAgent().spec, jax.random.key(0))
    for seed in range(2):
        fitness, behaviours = earned(seed)
        state, _ = jax.jit(algorithm.tell)(state, fitness, behaviours)
    return state


def earned(seed: int):
    """Fitness of all members, and where they ended."""
    rng = np.random.default_rng(seed)
    fitness, behaviours = rng.normal(size=(P, G)), rng.normal(size=(P, G, 3))
    return jnp.asarray(fitness, jnp.float32), jnp.asarray(behaviours, jnp.float32)


def numbers(tree) -> np.ndarray:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return np.concatenate([np.ravel(x) for x in leaves])


@pytest.fixture(scope="module", params=NAMES)
def told(request):
    algorithm = make(request.param)
    return algorithm, began(algorithm)


def test_some_members_are_those_of_all(told):
    """Whichever are asked for; and those that this device plays, and in a larger population."""
    algorithm, state = told
    everyone = algorithm.members(state, jnp.arange(P))
    jax.tree.map(np.testing.assert_array_equal, algorithm.acting(state).members, everyone)
    larger = dataclasses.replace(algorithm, population=2 * P)
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(x[:P], y), larger.acting(state).members, everyone
    )
    for seed in range(5):
        ids = np.random.default_rng(seed).permutation(P)[: seed + 1]
        some = algorithm.members(state, jnp.asarray(ids))
        chosen = jax.tree.map(lambda x, ids=ids: x[ids], everyone)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), some, chosen)
    first = jax.tree.leaves(everyone)[0]
    assert len({x.tobytes() for x in np.asarray(first)}) == P


@pytest.mark.parametrize("first, count", [(0, 8), (1, 3), (2, 1), (3, 4), (7, 1), (5, 3)])
@pytest.mark.parametrize("name", ["openai_es", "snes"])
def test_noise_in_a_row_is_that_of_each(name, first, count):
    algorithm = make(name)
    state = algorithm.init(DyingAgent().spec, jax.random.key(0))
    row = algorithm.noise(state, first, count)
    np.testing.assert_array_equal(row, algorithm.noise(state, 0, P)[first : first + count])


def test_equal_fitness_moves_nothing(told):
    """Nor do widths and shapes; behaviours that are all alike are no news either."""
    algorithm, state = told
    if hasattr(algorithm, "weight_decay"):
        algorithm = eqx.tree_at(lambda a: a.weight_decay, algorithm, 0.0)
        state = algorithm.init(DyingAgent().spec, jax.random.key(0))  # Adam remembers nothing yet
    still = jnp.full((P, G), 3.0), jnp.ones((P, G, 3))
    after, metrics = jax.jit(algorithm.tell)(state, *still)
    np.testing.assert_allclose(numbers(after.params), numbers(state.params), atol=1e-7)
    assert metrics["grad_norm"] < 1e-6 and metrics["skipped_updates"] == 0
    assert after.generation == state.generation + 1
    if not hasattr(algorithm, "weight_decay"):
        np.testing.assert_allclose(numbers(after.search), numbers(state.search), atol=1e-6)


def test_what_is_not_a_number_is_the_worst(told):
    """In twenty generations with some members lost, in one group or in both; never all of them."""
    algorithm, state = told
    tell = jax.jit(algorithm.tell)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        fitness, behaviours = earned(seed)
        lost = rng.random((P, G)) < rng.random()
        lost[rng.integers(P)] = False
        broken = jnp.where(lost[..., None] & (seed % 2 == 0), jnp.nan, behaviours)
        after, metrics = tell(state, jnp.where(lost, jnp.nan, fitness), broken)
        assert np.isfinite(numbers(after)).all() and metrics["skipped_updates"] == 0
        if not hasattr(algorithm, "novelty_weight"):
            expected, _ = tell(state, jnp.where(lost, -99.0, fitness), broken)
            np.testing.assert_array_equal(numbers(after), numbers(expected))


def test_one_groups_fitness_moves_no_other_group(told):
    algorithm, state = told
    (fitness, behaviours), (other, _) = earned(0), earned(1)
    mixed = fitness.at[:, 1].set(other[:, 1])
    tell = jax.jit(algorithm.tell)
    one, two = (tell(state, f, behaviours)[0] for f in (fitness, mixed))
    rows = [(a, b) for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params))]
    assert all(np.array_equal(a[0], b[0]) for a, b in rows)
    moved = any((a[1] != b[1]).any() for a, b in rows)
    assert moved == (getattr(algorithm, "novelty_weight", 0) < 1)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_all_one_where_members_were_played(name):
    """Their environments shared out among 1, 2 or 4 devices, with scales of observations."""
    algorithm = make(name, normalise_observations=True)
    state, trajectory = collect(algorithm, SeenAction(), num_envs=2 * P, unroll=8)

    def on(devices: int):
        def shared(x, axis):
            x = x.reshape(*x.shape[:axis], devices, -1, *x.shape[axis + 1 :])
            return jnp.moveaxis(x, axis, 0)

        transitions = jax.tree.map(lambda x: shared(x, 1), trajectory.transitions)
        last = jax.tree.map(lambda x: shared(x, 0), trajectory.last)

        def learn(transitions, last):
            part = Trajectory(transitions, None, last, None, trajectory.progress)
            members = algorithm.acting(state).members
            return members, algorithm.learn(state, part, jax.random.key(1))

        return jax.jit(jax.vmap(learn, axis_name=AXIS))(transitions, last)

    members, (expected, told) = on(1)
    assert np.abs(numbers(expected.params) - numbers(state.params)).max() > 1e-4
    for devices in (2, 4):
        parts, (after, metrics) = on(devices)
        for ours, whole in zip(jax.tree.leaves(parts), jax.tree.leaves(members)):
            np.testing.assert_allclose(ours.reshape(whole.shape), whole, atol=1e-6)
        for device in range(devices):
            here = jax.tree.map(lambda x, d=device: x[d : d + 1], (after, metrics))
            ours, whole = (
                numbers((s.params, s.search, s.scales.obs.mean, s.scales.obs.variance))
                for s in (here[0], expected)
            )
            np.testing.assert_allclose(ours, whole, atol=1e-6)
            np.testing.assert_allclose(here[1]["fitness_mean"], told["fitness_mean"], rtol=1e-6)


def test_members_and_policy_see_through_the_scale_of_all_that_was_seen():
    algorithm = make("openai_es", normalise_observations=True)
    state, trajectory = collect(algorithm, DyingAgent(), num_envs=P, unroll=8)
    after, _ = jax.jit(algorithm.learn)(state, trajectory, jax.random.key(0))
    steps = trajectory.transitions.timestep
    seen = np.asarray(steps.obs)[np.asarray(steps.active)]
    np.testing.assert_allclose(after.scales.obs.mean[0], seen.mean(0), atol=1e-6)
    np.testing.assert_allclose(after.scales.obs.variance[0], seen.var(0), atol=1e-5)
    assert after.scales.obs.weight[0] == len(seen)
    policy, now = algorithm.policy(after), trajectory.last
    assert isinstance(policy, ScaledPolicy)
    alone = policy(now, None, jax.random.key(0))[0].mode()
    scaled = after.scales.apply(now)
    np.testing.assert_array_equal(alone, after.params["mean"](scaled, None)[0].mode())
    acting = algorithm.acting(after)
    action, _, _ = algorithm.act(acting, now, None, jax.random.key(0))
    for b in range(P):
        member = jax.tree.map(lambda x, b=b: x[b], acting.members)
        mine = jax.tree.map(lambda x, b=b: x[b], scaled)
        np.testing.assert_array_equal(action[b], member(mine, None)[0].mode())
