"""Every particle world against `mpe2`, transition by transition.

Contacts are stiff, so that single and double precision drift apart within an episode. Each of our
transitions therefore starts from the state that `mpe2` was in: an error cannot hide behind drift,
and where every transition of an episode agrees so does the episode.
"""

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import mpe2_recordings
import numpy as np
import pytest

from shoal.envs.particle.scene import chain
from shoal.envs.particle.simple import Simple
from shoal.envs.particle.simple_adversary import SimpleAdversary
from shoal.envs.particle.simple_crypto import SimpleCrypto
from shoal.envs.particle.simple_push import SimplePush
from shoal.envs.particle.simple_reference import SimpleReference
from shoal.envs.particle.simple_speaker_listener import SimpleSpeakerListener
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.envs.particle.simple_tag import SimpleTag
from shoal.envs.particle.simple_world_comm import SimpleWorldComm
from shoal.envs.particle.world import ParticleState, ParticleWorld

TOLERANCE = 1e-5


class Case(NamedTuple):
    """A world, what `mpe2` calls it, and how many episodes are compared."""

    world: type[ParticleWorld]
    module: str
    continuous: bool
    episodes: int = 100
    ours: Mapping[str, Any] = MappingProxyType({})
    theirs: Mapping[str, Any] = MappingProxyType({})

    def make(self) -> ParticleWorld:
        return self.world(continuous_actions=self.continuous, **self.ours)

    def __str__(self) -> str:
        actions = "continuous" if self.continuous else "discrete"
        counts = "".join(f"-{value}" for value in self.ours.values())
        return f"{self.module}-{actions}{counts}"


WORLDS = {
    Simple: "simple_v3",
    SimpleSpread: "simple_spread_v3",
    SimpleSpeakerListener: "simple_speaker_listener_v4",
    SimpleReference: "simple_reference_v3",
    SimpleAdversary: "simple_adversary_v3",
    SimplePush: "simple_push_v3",
    SimpleTag: "simple_tag_v3",
    SimpleCrypto: "simple_crypto_v3",
    SimpleWorldComm: "simple_world_comm_v3",
}
TAG_COUNTS = {"num_good": 2, "num_adversaries": 2, "num_obstacles": 1}
WORLD_COUNTS = {
    "num_good": 1,
    "num_adversaries": 2,
    "num_obstacles": 0,
    "num_food": 3,
    "num_forests": 1,
}
MANY_TAG = {"num_good": 2, "num_adversaries": 5, "num_obstacles": 4}
MANY_WORLD = {
    "num_good": 3,
    "num_adversaries": 4,
    "num_obstacles": 2,
    "num_food": 2,
    "num_forests": 3,
}
CASES = [Case(w, module, c) for w, module in WORLDS.items() for c in (False, True)] + [
    Case(SimpleSpread, "simple_spread_v3", False, 20, {"num_agents": 5}, {"N": 5}),
    Case(SimpleSpread, "simple_spread_v3", True, 20, {"local_ratio": 0.2}, {"local_ratio": 0.2}),
    Case(SimpleReference, "simple_reference_v3", False, 20, *[{"local_ratio": 0.9}] * 2),
    Case(SimpleAdversary, "simple_adversary_v3", False, 20, {"num_agents": 4}, {"N": 3}),
    Case(SimpleTag, "simple_tag_v3", True, 20, TAG_COUNTS, TAG_COUNTS),
    Case(SimpleWorldComm, "simple_world_comm_v3", False, 20, WORLD_COUNTS, WORLD_COUNTS),
    # Large worlds, which are stepped on arrays.
    Case(SimpleSpread, "simple_spread_v3", False, 10, {"num_agents": 12}, {"N": 12}),
    Case(SimpleSpread, "simple_spread_v3", True, 10, {"num_agents": 7}, {"N": 7}),
    Case(SimpleAdversary, "simple_adversary_v3", True, 10, {"num_agents": 8}, {"N": 7}),
    Case(SimpleTag, "simple_tag_v3", False, 20, MANY_TAG, MANY_TAG),
    Case(SimpleWorldComm, "simple_world_comm_v3", True, 10, MANY_WORLD, MANY_WORLD),
]


@pytest.fixture(scope="module")
def recordings():
    """What `mpe2` does, by case: recorded in other processes while our side compiles."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), context) as pool:
        yield {
            str(case): pool.submit(
                mpe2_recordings.record,
                case.module,
                case.continuous,
                case.episodes,
                dict(case.theirs),
            )
            for case in CASES
        }


@jax.jit
def replay(world: ParticleWorld, states: tuple[jax.Array, ...], actions: jax.Array):
    """One step from each of many states. The numbers of `world` are arguments of the compiled
    program: changing one compiles nothing."""

    def one(state, action):
        return world.step(jax.random.key(0), ParticleState(*state), action)

    return jax.vmap(one)(states, actions)


def differences(world: ParticleWorld, recording: mpe2_recordings.Recording) -> dict[str, float]:
    """The largest absolute difference between a world and `mpe2` in each quantity."""
    episodes, steps = recording.action.shape[:2]

    def flat(x):
        return jnp.asarray(x.reshape(episodes * steps, *x.shape[2:]))

    before = [flat(x[:, :-1].astype(np.float32)) for x in recording[:3]]
    goal = flat(np.repeat(recording.goal[:, None], steps, 1))
    time = flat(np.tile(np.arange(steps, dtype=np.int32), (episodes, 1)))
    after, timestep = replay(world, (*before, goal, time), flat(recording.action))
    pairs = {
        "obs": (timestep.obs, recording.obs[:, 1:]),
        "position": (after.position, recording.position[:, 1:]),
        "velocity": (after.velocity, recording.velocity[:, 1:]),
        "message": (after.message, recording.message[:, 1:]),
        "reward": (timestep.reward, recording.reward),
        "truncated": (timestep.truncated, recording.truncated),
        "terminated": (timestep.terminated, np.zeros_like(recording.truncated)),
    }
    return {
        name: float(np.abs(np.float64(ours) - np.float64(flat(theirs))).max(initial=0))
        for name, (ours, theirs) in pairs.items()
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_transition_is_that_of_mpe2(case, recordings):
    world, recording = case.make(), recordings[str(case)].result()
    wrong = {k: v for k, v in differences(world, recording).items() if not v <= TOLERANCE}
    assert not wrong


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_spec_is_that_of_mpe2(case, recordings):
    world, recording = case.make(), recordings[str(case)].result()
    spec = world.spec
    assert spec.agents == recording.agents
    assert spec.obs_sizes == recording.obs_sizes
    assert spec.action.sizes == recording.action_sizes
    assert spec.horizon == recording.truncated.shape[1]
    # Truncated at the last step and not before.
    assert recording.truncated[:, -1].all() and not recording.truncated[:, :-1].any()


@pytest.mark.parametrize("case", [c for c in CASES if not c.continuous], ids=str)
def test_first_observations_are_those_of_mpe2(case, recordings):
    world, theirs = case.make(), recordings[str(case)].result()
    start = [jnp.asarray(x[0, 0], jnp.float32) for x in theirs[:3]]
    state = ParticleState(*start, jnp.asarray(theirs.goal[0]), jnp.int32(0))
    rows = [row for o in chain(world.observe(world.scene(state))) for row in jnp.atleast_2d(o)]
    for ours, padded in zip(rows, theirs.obs[0, 0], strict=True):
        np.testing.assert_allclose(ours, padded[: len(ours)], atol=TOLERANCE)


@pytest.mark.parametrize("case", [c for c in CASES if not c.continuous], ids=str)
def test_episodes_start_as_in_mpe2(case, recordings):
    world, theirs = case.make(), recordings[str(case)].result()
    ours = jax.vmap(world._draw)(jax.random.split(jax.random.key(0), 400))
    assert not np.asarray(ours.velocity).any() and not theirs.velocity[:, 0].any()
    assert not np.asarray(ours.message).any() and not theirs.message[:, 0].any()
    n = len(world.agents)
    for start in (np.asarray(ours.position), theirs.position[:, 0]):
        for places, edge in ((start[:, :n], 1.0), (start[:, n:], world.spread)):
            assert edge - 0.1 < places.max(initial=-np.inf) <= edge or places.size == 0
            assert -edge <= places.min(initial=np.inf) < -edge + 0.1 or places.size == 0
    assert np.asarray(ours.goal).shape[1] == theirs.goal.shape[1] == len(world.goals)
    for k, among in enumerate(world.goals):
        assert set(np.asarray(ours.goal)[:, k]) == set(theirs.goal[:, k]) == set(range(among))


@pytest.mark.parametrize(
    ("world", "field", "value"),
    [
        (SimpleSpread, "damping", 0.26),
        (SimpleSpread, "dt", 0.101),
        (SimpleSpread, "agent_size", 0.16),
        (SimpleSpread, "contact_force", 101.0),
        (SimpleSpread, "contact_margin", 2e-3),
        (SimpleSpread, "local_ratio", 0.4),
        (SimpleReference, "local_ratio", 0.6),
        (SimplePush, "size", 0.06),
        (SimpleTag, "agent_max_speed", 1.0),
        (SimpleTag, "adversary_acceleration", 3.1),
        (SimpleTag, "obstacle_size", 0.21),
        (SimpleWorldComm, "forest_size", 0.31),
        (SimpleWorldComm, "food_size", 0.05),
    ],
)
def test_a_changed_constant_is_noticed(world, field, value, recordings):
    """The comparison can fail: no constant is out of its sight."""
    case = Case(world, WORLDS[world], False)
    changed = eqx.tree_at(lambda w: getattr(w, field), case.make(), value)
    recording = recordings[str(case)].result()
    assert max(differences(changed, recording).values()) > 10 * TOLERANCE
