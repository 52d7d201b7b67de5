"""What every particle world promises: padding, metrics that mean what they say, scripted scores."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.core.spaces import Discrete
from shoal.envs.particle.scripted import assign, continuous, discrete
from shoal.envs.particle.simple import Simple
from shoal.envs.particle.simple_adversary import SimpleAdversary
from shoal.envs.particle.simple_crypto import ALICE, BOB, EVE, SimpleCrypto
from shoal.envs.particle.simple_push import SimplePush
from shoal.envs.particle.simple_reference import SimpleReference
from shoal.envs.particle.simple_speaker_listener import SimpleSpeakerListener
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.envs.particle.simple_tag import SimpleTag
from shoal.envs.particle.simple_world_comm import SimpleWorldComm
from shoal.envs.particle.world import ParticleState

WORLDS = (
    Simple,
    SimpleSpread,
    SimpleSpeakerListener,
    SimpleReference,
    SimpleAdversary,
    SimplePush,
    SimpleTag,
    SimpleCrypto,
    SimpleWorldComm,
)
REDUCE = {
    "sum": lambda x: x.sum(0),
    "mean": lambda x: x.mean(0),
    "last": lambda x: x[-1],
    "max": lambda x: x.max(0),
}


def random_action(space, key):
    if isinstance(space, Discrete):
        return jax.random.randint(key, (len(space.sizes),), 0, jnp.array(space.sizes))
    return jax.random.uniform(key, (len(space.sizes), space.size))


@cache
def player(world):
    """Compiled: `(scripted [N], keys [K]) -> returns [K, N], metrics`, where agents that are not
    scripted act at random."""
    spec = world.spec

    def episode(scripted, key):
        key_reset, key_run = jax.random.split(key)
        state, _ = world.reset(key_reset)

        def step(state, key):
            chosen, drawn = world.scripted(state), random_action(spec.action, key)
            mask = scripted.reshape(-1, *[1] * (chosen.ndim - 1))
            state, timestep = world.step(key, state, jnp.where(mask, chosen, drawn))
            return state, (timestep.reward, timestep.metrics)

        keys = jax.random.split(key_run, world.horizon)
        _, (reward, metrics) = jax.lax.scan(step, state, keys)
        return reward.sum(0), {name: REDUCE[how](metrics[name]) for name, how in spec.metrics}

    return jax.jit(jax.vmap(episode, (None, 0)))


def play(world, scripted, episodes=200):
    """Mean return of each agent, and the mean of each metric."""
    keys = jax.random.split(jax.random.key(7), episodes)
    returns, metrics = player(world)(jnp.asarray(scripted), keys)
    return np.asarray(returns).mean(0), {k: float(v.mean()) for k, v in metrics.items()}


def team_return(world, team, scripted_teams):
    """The mean return of the agents of `team` where only `scripted_teams` are scripted."""
    teams = np.array(world.spec.teams)
    returns, _ = play(world, np.isin(teams, scripted_teams))
    return returns[teams == team].mean()


def place(world, agents, landmarks, goal=(), message=None):
    """A state with everything where it is told to be, at rest."""
    n = len(world.agents)
    position = jnp.array([*agents, *landmarks], jnp.float32)
    assert position.shape[0] == n + len(world.landmarks)
    words = jnp.zeros((n, world.channel)) if message is None else jnp.array(message, jnp.float32)
    return ParticleState(
        position, jnp.zeros((n, 2)), words, jnp.array(goal, jnp.int32), jnp.int32(0)
    )


def measured(world, *args, **kwargs):
    metrics = world.measure(world.scene(place(world, *args, **kwargs)))
    assert set(metrics) == {name for name, _ in world.metric_reductions}
    return {name: float(value) for name, value in metrics.items()}


# The contract.


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("continuous_actions", [False, True])
def test_spec_agrees_with_what_is_shown(world, continuous_actions):
    world = world(continuous_actions=continuous_actions)
    spec = world.spec
    state, timestep = jax.eval_shape(world.reset, jax.random.key(0))
    action = jnp.zeros((spec.num_agents, *spec.action.shape), None if continuous_actions else int)
    after, stepped = jax.eval_shape(world.step, jax.random.key(0), state, action)
    assert jax.tree.structure((after, stepped)) == jax.tree.structure((state, timestep))
    for ours in (timestep, stepped):
        assert ours.obs.shape == (spec.num_agents, spec.obs_size)
        assert ours.global_state.shape == (spec.state_size,)
        assert set(ours.metrics) == {name for name, _ in spec.metrics}
        assert all(m.shape == () and m.dtype == jnp.float32 for m in ours.metrics.values())
    chosen = jax.eval_shape(world.scripted, state)
    assert (chosen.shape, chosen.dtype) == (action.shape, action.dtype)
    assert {how for _, how in spec.metrics} <= set(REDUCE)
    # Who shares a role sees and does the same kind of thing.
    kinds = {}
    for role, *kind in zip(spec.roles, spec.obs_sizes, spec.action.sizes, spec.teams):
        assert kinds.setdefault(role, kind) == kind


@pytest.mark.parametrize("world", [SimpleSpeakerListener, SimpleWorldComm, SimplePush])
def test_padding_is_zero_and_illegal_actions_are_masked(world):
    world = world()
    spec = world.spec
    state, timestep = world.reset(jax.random.key(3))
    for row, size in zip(np.asarray(timestep.obs), spec.obs_sizes):
        assert not row[size:].any()
        assert row[:size].any() or size == 3  # the speaker of a first step is heard by nobody
    if len(set(spec.action.sizes)) == 1:
        assert timestep.action_mask is None
    else:
        counts = np.asarray(timestep.action_mask).sum(1)
        assert tuple(counts) == spec.action.sizes
        assert np.asarray(timestep.action_mask)[:, 0].all()
    legal = np.asarray(world.scripted(state))
    assert (legal >= 0).all() and (legal < np.array(spec.action.sizes)).all()


@pytest.mark.parametrize("world", [SimpleSpeakerListener, SimpleWorldComm])
def test_padded_dimensions_of_a_continuous_action_change_nothing(world):
    world = world(continuous_actions=True)
    action = jax.random.uniform(jax.random.key(1), (world.spec.num_agents, world.spec.action.size))
    real = jnp.asarray(world.spec.action.mask)
    assert not real.all()
    state, _ = world.reset(jax.random.key(0))
    step = jax.jit(world.step)
    one, two = (
        step(jax.random.key(0), state, jnp.where(real, action, filler)) for filler in (0.0, 0.9)
    )
    assert all(jnp.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two)))


def test_coincident_bodies_do_not_break_the_physics():
    world = SimpleSpread(num_agents=2)
    state = place(world, [(0, 0), (0, 0)], [(0, 0), (0, 0)])
    after, timestep = world.step(jax.random.key(0), state, jnp.zeros(2, int))
    assert jnp.isfinite(after.velocity).all() and jnp.isfinite(timestep.reward).all()


@pytest.mark.parametrize(
    ("world", "field"),
    [
        (SimpleSpread, "num_agents"),
        (SimpleAdversary, "num_agents"),
        (SimpleTag, "num_good"),
        (SimpleTag, "num_adversaries"),
        (SimpleWorldComm, "num_food"),
    ],
)
def test_impossible_counts_are_refused(world, field):
    with pytest.raises(UserError, match=f"{field} is 0, expected at least"):
        world(**{field: 0})


# Metrics, by hand.


def test_metrics_of_worlds_with_one_mover():
    far = measured(Simple(), [(0.3, 0.4)], [(0, 0)])
    assert far == pytest.approx({"distance": 0.5, "success": 0})
    world, marks = SimpleSpeakerListener(), [(0, 0), (0.5, 0), (0, 0.5)]
    there = measured(world, [(0.9, 0.9), (0.5, 0.06)], marks, goal=[1])
    assert there == pytest.approx({"distance": 0.06, "success": 1})
    assert measured(world, [(0.9, 0.9), (0.5, 0.06)], marks, goal=[0])["success"] == 0


def test_metrics_of_spread():
    marks = [(0, 0), (1, 0), (-1, 0)]
    # Agents 0 and 1 overlap (0.2 < 0.3); landmarks 0 and 1 are covered, the third is 0.8 off.
    seen = measured(SimpleSpread(), [(0, 0), (-0.2, 0), (1, 0.05)], marks)
    expected = {"collisions": 1, "landmarks_covered": 2, "distance": 0.85 / 3, "success": 0}
    assert seen == pytest.approx(expected, abs=1e-6)
    assert measured(SimpleSpread(), marks[::-1], marks)["success"] == 1


def test_metrics_of_reference():
    marks = [(0, 0), (1, 0), (0, 1)]
    # Agent 0 knows that agent 1 should go to landmark 2; agent 1 that agent 0 should go to 1.
    seen = measured(SimpleReference(), [(1, 0), (0, 0.5)], marks, goal=[2, 1])
    assert seen == pytest.approx({"distance": 0.25, "goals_reached": 1, "success": 0})
    assert measured(SimpleReference(), [(1, 0), (0, 1)], marks, goal=[2, 1])["success"] == 1


def test_metrics_of_adversary_and_push():
    marks = [(0, 0), (1, 0)]
    seen = measured(SimpleAdversary(), [(1, 0), (0.05, 0), (0.9, 0)], marks, goal=[0])
    expected = {"distance": 0.05, "adversary_distance": 1, "success": 1}
    assert seen == pytest.approx(expected)
    both = measured(SimpleAdversary(), [(0, 0.05), (0.05, 0), (0.9, 0)], marks, goal=[0])
    assert both["success"] == 0
    seen = measured(SimplePush(), [(0, 0), (0.09, 0)], marks, goal=[0])
    expected = {"distance": 0.09, "adversary_distance": 0, "collisions": 1, "success": 1}
    assert seen == pytest.approx(expected)


def test_metrics_of_tag():
    world = SimpleTag(num_good=2, num_adversaries=2, num_obstacles=0)
    # The first prey is touched by both predators (0.1 < 0.125), the second is outside.
    seen = measured(world, [(0, 0.1), (0, -0.1), (0, 0), (1.1, 0.1)], [])
    expected = {"captures": 2, "caught": 1, "distance": (0.1 + 1.1) / 2, "escaped": 0.5}
    assert seen == pytest.approx(expected)


def test_metrics_of_world_comm():
    world = SimpleWorldComm(num_adversaries=2, num_obstacles=0, num_food=1, num_forests=1)
    agents = [(0.9, 0.9), (0.5, 0), (0.5, 0.1), (-0.5, -0.2)]
    seen = measured(world, agents, [(0.5, 0.16), (-0.5, 0)])
    expected = {"captures": 1, "eaten": 1, "caught": 1, "hidden": 0.5, "escaped": 0}
    assert seen == pytest.approx(expected)


def test_metrics_of_crypto():
    world, anywhere = SimpleCrypto(), [(0, 0)] * 3
    words = np.zeros((3, 4))
    words[EVE, 0] = words[BOB, 1] = words[ALICE, 3] = 1
    marks = [(0, 0), (1, 0)]
    right = measured(world, anywhere, marks, goal=[1, 0], message=words)
    assert right == {"bob_accuracy": 1, "eve_accuracy": 0, "secrecy": 1}
    wrong = measured(world, anywhere, marks, goal=[0, 0], message=words)
    assert wrong == {"bob_accuracy": 0, "eve_accuracy": 1, "secrecy": 0}
    # Silence is not a guess at 0.
    silent = measured(world, anywhere, marks, goal=[0, 0])
    assert silent == {"bob_accuracy": 0, "eve_accuracy": 0, "secrecy": 0}


# Scripted controllers.


def test_scripted_words_can_be_decoded():
    marks = [(0, 0), (1, 0), (0, 1)]
    said = SimpleSpeakerListener().scripted(
        place(SimpleSpeakerListener(), [(0, 0)] * 2, marks, goal=[2])
    )
    assert said[0] == 2
    said = SimpleReference().scripted(place(SimpleReference(), [(0, 0)] * 2, marks, goal=[2, 1]))
    assert list(np.asarray(said) // 5) == [2, 1]
    for bit in (0, 1):
        for key in (0, 1):
            state = place(SimpleCrypto(), [(0, 0)] * 3, marks[:2], goal=[bit, key])
            said = np.asarray(SimpleCrypto().scripted(state))
            assert said[BOB] == bit and (said[ALICE] - key) % 2 == bit


def test_assignment_is_the_cheapest_and_one_to_one():
    rng = np.random.default_rng(0)
    for n in (1, 4, 7):  # the last is beyond trying every assignment
        agents, marks = (list(jnp.asarray(rng.uniform(-1, 1, (n, 2)))) for _ in range(2))
        assert sorted(np.asarray(assign(agents, marks)).tolist()) == list(range(n))
    # The closest pair (1, 0) would leave agent 0 a way of 2.
    agents = [jnp.array([0.0, 0.0]), jnp.array([0.9, 0.0])]
    marks = [jnp.array([0.8, 0.0]), jnp.array([2.0, 0.0])]
    assert np.asarray(assign(agents, marks)).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("force", "move"), [((-1, 0.2), 1), ((1, 0.2), 2), ((0.2, -1), 3), ((0.2, 1), 4), ((0, 0), 0)]
)
def test_forces_become_actions(force, move):
    force = jnp.array(force, jnp.float32)
    assert discrete(force) == move
    action = continuous(force)
    np.testing.assert_allclose([action[2] - action[1], action[4] - action[3]], force)


@pytest.mark.parametrize(
    ("world", "margin"),
    [(Simple, 25), (SimpleSpeakerListener, 25), (SimpleReference, 17), (SimpleSpread, 17)],
)
def test_scripted_beats_random_in_cooperative_worlds(world, margin):
    world = world()
    n = world.spec.num_agents
    (random, _), (scripted, metrics) = play(world, [False] * n), play(world, [True] * n)
    assert scripted.mean() > random.mean() + margin
    assert metrics["success"] > 0.85


@pytest.mark.parametrize(
    ("world", "margins"),
    [
        (SimpleAdversary, (10, 10)),
        (SimplePush, (15, 15)),
        (SimpleTag, (3, 50)),
        (SimpleCrypto, (8, 15)),
        (SimpleWorldComm, (5, 40)),
    ],
)
def test_each_scripted_team_beats_a_random_one(world, margins):
    """Against a scripted opponent, the scripted team earns more than a random one by a margin."""
    world = world()
    for team, margin in enumerate(margins):
        gain = team_return(world, team, [0, 1]) - team_return(world, team, [1 - team])
        assert gain > margin


@pytest.mark.parametrize(("continuous_actions", "least"), [(False, -7.3), (True, -5.7)])
def test_scripted_score_of_spread(continuous_actions, least):
    """Per agent, summed over 25 steps, averaged over 1,000 episodes, with a local ratio of 0.5."""
    world = SimpleSpread(continuous_actions=continuous_actions)
    returns, metrics = play(world, [True] * 3, episodes=1000)
    assert least < returns.mean() < -4.0
    assert metrics["landmarks_covered"] > 2.8
