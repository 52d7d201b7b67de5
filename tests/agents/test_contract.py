"""What every algorithm of the registry must do, whatever it is.

Trainings: a plain one of each, with parameters shared by role; and of one name of each class (the
others differ in settings only) one with images, a GRU and parameters for each agent, and one of two
settings side by side on two devices. A new algorithm needs no line here.
"""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Int

from shoal.agents.policy_gradient.ppo import ippo
from shoal.agents.together import Together
from shoal.core.algorithm import Algorithm, Learner
from shoal.core.descend import Optimizer
from shoal.core.env import Env, EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.replay import Replay
from shoal.core.spaces import Box, Discrete
from shoal.registry import ALGORITHMS, make_algorithm
from shoal.runs.checkpoint import load, save
from shoal.training.metrics import MEANINGS
from shoal.training.on_device import OnDevice
from shoal.training.program import Program, stack

N, ENVS, UNROLL = 3, 4, 4
KEY = jax.random.key(0)
TINY = dict(
    hidden=(4,),
    epochs=2,
    minibatches=2,
    capacity=96,
    learning_starts=16,
    batch_size=8,
    update_ratio=0.125,
    population=4,
    embed=2,
    hypernet=3,
)
BY_TARGET = {entry.target: name for name, entry in ALGORITHMS.items()}  # some have two names
NAMES = [*BY_TARGET.values(), "together"]


class State(eqx.Module):
    time: Int[Array, ""]
    cue: Int[Array, "N"]


class Tiny(Env):
    """Three agents, two of a kind, are paid for the action that each sees, for three steps. The
    second may act at every other step only, and the third dies in some episodes at the second."""

    box: bool = eqx.field(static=True, default=False)
    pictures: bool = eqx.field(static=True, default=False)

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name="tiny",
            agents=("a", "b", "c"),
            roles=(0, 0, 1),
            obs_sizes=(2 + 16 * self.pictures,) * N,
            images=((4, 4, 1),) if self.pictures else (),
            action=Box(-1.0, 2.0, (2,) * N) if self.box else Discrete((3,) * N),
            state_size=4,
            horizon=3,
        )

    def reset(self, key):
        state = State(jnp.int32(0), jax.random.randint(key, (N,), 0, 3))
        return state, self._show(state, jnp.zeros(N))

    def step(self, key, state, action):
        if self.box:
            reward = -((action - state.cue[:, None]) ** 2).mean(-1)
        else:
            reward = 1.0 * (action == state.cue)
        state = State(state.time + 1, state.cue)
        return state, self._show(state, reward)

    def _show(self, state, reward):
        obs = jnp.stack([state.cue - 1.0, jnp.full(N, state.time / 3)], -1)
        if self.pictures:
            shades = jnp.sin(jnp.arange(16) * (1.0 + state.cue[:, None]))
            obs = jnp.concatenate([shades, obs], -1)
        died = (state.time >= 2) & (state.cue[0] == 0)
        legal = jnp.ones((N, 3), bool).at[0, 2].set(state.cue[0] == 2)
        return TimeStep.of(
            obs,
            reward=reward,
            terminated=jnp.array([False, False, True]) & died,
            truncated=state.time >= 3,
            active=jnp.ones(N, bool).at[1].set(state.time % 2 == 0),
            action_mask=None if self.box else legal,
            global_state=jnp.append(state.cue, state.time).astype(jnp.float32),
        )


def make(name: str, **settings) -> Algorithm:
    """A tiny one: of the settings, those that it has."""
    if name == "together":
        return Together((make("ippo", **settings), make("iql", **settings)), ((0, 2), (1,)))
    if name == "sable":  # whose agents are one network
        settings = {k: v for k, v in settings.items() if k != "sharing"}
    fields = {field.name for field in dataclasses.fields(make_algorithm(name))}
    return make_algorithm(name, **{k: v for k, v in (TINY | settings).items() if k in fields})


def world(algorithm: Algorithm, **settings) -> Tiny:
    """With choices, or where it has none with numbers."""
    try:
        algorithm.check(Tiny().spec)
    except UserError:
        return Tiny(box=True, **settings)
    return Tiny(**settings)


class Trained(NamedTuple):
    """Two updates from one key, and the program that made them."""

    learner: OnDevice
    init: Any
    update: Any
    first: Any
    last: Any
    metrics: dict[str, Array]


def train(algorithm: Algorithm, **settings) -> Trained:
    learner = OnDevice(algorithm, world(algorithm, **settings), ENVS, UNROLL, total_updates=8.0)
    # Functions of their own: what an equal learner has traced is not used again.
    init, update = jax.jit(lambda key: learner.init(key)), jax.jit(lambda s: learner.update(s))
    first = state = init(KEY)
    for _ in range(2):
        state, metrics = update(state)
    return Trained(learner, init, update, first, state, metrics)


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    """One algorithm after the other: programs of all hold more memory maps than Linux gives."""
    yield request.param
    jax.clear_caches()


@pytest.fixture(scope="module")
def once(name):
    """Each training of an algorithm is made once."""
    made = {}

    def get(kind) -> Any:
        if kind not in made:
            made[kind] = kind(name)
        return made[kind]

    return get


def plain(name: str) -> Trained:
    return train(make(name, sharing="role"))


def rich(name: str) -> Trained:
    settings = dict(sharing="independent", recurrent=8, residual=True, prioritised=True)
    return train(make(name, **settings), pictures=True)


CLASSES = {type(make(name)): name for name in reversed(NAMES)}
one_a_class = pytest.mark.parametrize("name", CLASSES.values(), indirect=True)


@pytest.fixture
def runs(once, name) -> list[Trained]:
    """The plain training and, of one name a class, the rich one."""
    return [once(plain), *([once(rich)] if name in CLASSES.values() else [])]


def parameters(state) -> list[np.ndarray]:
    """All numbers that learning may change, but no keys."""
    leaves = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return [np.asarray(x) for x in leaves]


def differ(a, b) -> float:
    return max(np.abs(x - y).max() for x, y in zip(parameters(a), parameters(b)))


def test_what_it_reports_is_explained(runs):
    sums = {"episodes", "return_sum", "episode_length_sum"}
    for run in runs:
        names = {name.removeprefix("part_0/").removeprefix("part_1/") for name in run.metrics}
        assert sums <= names and not names - sums - MEANINGS.keys()


def test_it_compiles_once_and_learns(runs):
    for run in runs:
        assert run.update._cache_size() == 1
        assert all(np.isfinite(float(value)) for value in run.metrics.values())
        assert run.metrics["skipped_updates"] == 0
        before, after = (run.learner.policy(state) for state in (run.first, run.last))
        assert all(np.isfinite(x).all() for x in parameters(after))
        assert differ(before, after) > 1e-5


@pytest.mark.parametrize("name", ["ippo", "sac"], indirect=True)
def test_it_compiles_once_for_actions_in_a_box(name):
    """No number is weakly typed before the first update alone."""
    assert train(make(name), box=True).update._cache_size() == 1


def test_one_key_gives_one_result(once, name):
    """Also when all is traced anew."""
    run, again = once(plain), plain(name)
    for ours, expected in zip(parameters(again.last), parameters(run.last)):
        np.testing.assert_array_equal(ours, expected)
    other = run.learner.policy(run.init(jax.random.key(1)))
    assert differ(other, run.learner.policy(run.first)) > 0


def test_acting_needs_no_optimizer_and_no_replay(runs):
    heavy = (Optimizer, Replay)
    for run in runs:
        acting = run.learner.algorithm.acting(run.last.algorithm)
        policy = run.learner.policy(run.last)
        for light in (acting, policy):
            nodes = jax.tree.leaves(light, is_leaf=lambda x: isinstance(x, heavy))
            assert not [x for x in nodes if isinstance(x, heavy)]
        nodes = jax.tree.leaves(run.last, is_leaf=lambda x: isinstance(x, heavy))
        assert [x for x in nodes if isinstance(x, Optimizer)]  # it would be found


def test_it_is_a_learner_and_its_state_keeps_its_shape(once):
    run = once(plain)
    assert isinstance(run.learner, Learner) and run.learner.steps_per_update == ENVS * UNROLL
    before, after = (jax.tree.map(lambda x: (x.shape, x.dtype), s) for s in (run.first, run.last))
    assert before == after


@one_a_class
def test_what_is_saved_and_loaded_acts_the_same(once, tmp_path):
    """By a template that nothing was computed for; then it learns on as if it had never stopped."""
    run = once(rich)
    save(tmp_path, 1, run.last, config_hash="x", extra={}, keep=1)
    loaded = load(tmp_path, jax.eval_shape(run.init, KEY), config_hash="x").state
    now = run.last.loop.timestep

    @jax.jit
    def act(state):
        policy = run.learner.policy(state)
        carry = jax.tree.map(lambda x: jnp.stack([x] * ENVS), policy.initial_carry())
        distribution, carry = policy(now, carry, KEY)
        return distribution.mode(), distribution.sample(KEY), carry

    jax.tree.map(np.testing.assert_array_equal, act(loaded), act(run.last))
    for ours, expected in zip(*(parameters(run.update(s)[0]) for s in (loaded, run.last))):
        np.testing.assert_array_equal(ours, expected)


# Members and devices.


def side_by_side(name: str):
    """Two learning rates, on two devices; parameters after three updates, `[D, K, ...]`."""
    learners = []
    for rate in (1e-2, 1e-5):
        sizes = dict(learning_rate=rate, max_kl=rate**2)
        algorithm = make(name, sharing="shared", agent_id=True, **sizes)
        learners.append(OnDevice(algorithm, world(algorithm), ENVS, UNROLL, total_updates=8.0))
    program = Program(stack(learners), devices=2)
    state = program.init(jnp.stack([KEY, KEY]))
    before = jax.tree.map(np.array, parameters(learned(state.algorithm)))
    state, total, _ = program.run(state, 3)
    return before, parameters(learned(state.algorithm)), total


def learned(state):
    """The networks of an algorithm's state, without moments and replay."""
    if hasattr(state, "each"):
        return [learned(part) for part in state.each]
    return getattr(state, "learned", state).params


@one_a_class
def test_devices_agree_and_members_do_not(once):
    before, after, total = once(side_by_side)
    assert (total["skipped_updates"] == 0).all()
    for old, new in zip(before, after):
        np.testing.assert_array_equal(new[0], new[1])  # bit for bit on both devices
        np.testing.assert_array_equal(old[:, 0], old[:, 1])  # of one key
    moved = [max(np.abs(n[0, k] - o[0, k]).max() for o, n in zip(before, after)) for k in (0, 1)]
    assert 0 < moved[1] < 1e-3 < moved[0]


# Symmetry.


@pytest.mark.parametrize("name", sorted({*BY_TARGET.values()} - {"sable"}), indirect=True)
def test_agents_that_share_parameters_are_interchangeable(name):
    """Without a number of its own, who sees what another saw does what the other did; but for
    sable's agents, who decide in an order."""
    algorithm = make(name, sharing="shared", agent_id=False, recurrent=3)
    spec = world(algorithm).spec
    obs = jax.random.normal(jax.random.key(1), (5, N, 2))
    carry = jax.random.normal(jax.random.key(2), (5, N, 3))
    order = np.array([2, 0, 1])

    @jax.jit
    def act(obs, carry):
        policy = algorithm.policy(algorithm.init(spec, KEY))
        distribution, after = policy(TimeStep.of(obs), carry, KEY)
        return distribution.mode(), distribution.entropy(), after

    here, there = act(obs, carry), act(obs[:, order], carry[:, order])
    for plain, other, near in zip(here, there, (1e-6, 1e-5, 1e-6)):
        np.testing.assert_allclose(other, plain[:, order], atol=near)


def test_with_a_number_of_its_own_an_agent_is_no_other():
    policy = ippo(hidden=(4,), sharing="shared").start(Tiny().spec, KEY)[0]["actor"]
    obs = jnp.broadcast_to(jax.random.normal(jax.random.key(1), (5, 1, 2)), (5, N, 2))
    entropy = policy(TimeStep.of(obs), None)[0].entropy()
    assert np.abs(entropy - entropy[:, :1])[:, 1:].min() > 0
