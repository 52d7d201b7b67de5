"""Where agents go and whom they serve, in a world in which it is known, and counted again."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from host_worlds import Lamp

import shoal
from shoal.core.algorithm import Policy
from shoal.core.distributions import Categorical
from shoal.core.env import Env, EnvSpec, Places, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Discrete
from shoal.envs.cooperative.foraging import Foraging
from shoal.envs.cooperative.navigation import Navigation
from shoal.envs.particle.world import ParticleState
from shoal.envs.rewards import DifferenceRewards
from shoal.training import heat_maps as module
from shoal.training.evaluation import acting, play
from shoal.training.heat_map_picture import figure, maps_of
from shoal.training.heat_maps import heat_maps

HORIZON = 4


class Stand(Env):
    """Agent a stands at the origin; b walks right, a metre a step, and ends its part after two;
    c, far away, never acts. The episode has four steps."""

    counts: str = eqx.field(static=True, default="last")

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec("stand", ("a", "b", "c"), (1,) * 3, Discrete((5,) * 3), HORIZON)

    def reset(self, key):
        return jnp.int32(0), self._show(0)

    def step(self, key, state, action):
        return state + 1, self._show(state + 1)

    def _show(self, time):
        gone, active = jnp.array([False, time >= 2, False]), jnp.array([True, True, False])
        late = time >= HORIZON
        return TimeStep.of(jnp.zeros((3, 5)), terminated=gone, truncated=late, active=active)

    def locate(self, state):
        there = state <= 2
        agents = jnp.array([[0.0, 0.0], [0.0, 0.0], [99.0, 99.0]])
        agents = agents.at[1].set(jnp.where(there, jnp.array([state, 0.0]), -99.0))
        serves = jnp.array([[state == 4, True], [state == 1, there], [True, True]])
        goals = jnp.stack([jnp.array([1.0, 0.5]), jnp.array([state, 0.0])])
        return Places(agents, serves, goals, ("flag", "ball"), self.counts)


class Towards(Policy):
    """In spread each agent goes to the landmark of its own number; elsewhere nobody means it."""

    def initial_carry(self):
        return None

    def __call__(self, timestep, carry, key):
        n = timestep.obs.shape[-2]
        way = jnp.stack([timestep.obs[..., i, 4 + 2 * i : 6 + 2 * i] for i in range(n)], -2)
        x, y = jnp.moveaxis(way - 0.5 * timestep.obs[..., :2], -1, 0)
        logits = 50 * jnp.stack([jnp.zeros_like(x), -x, x, -y, y], -1)
        return Categorical(logits, jnp.ones_like(logits, bool)), carry


class Idle(Policy):
    """Everyone does nothing."""

    def initial_carry(self):
        return None

    def __call__(self, timestep, carry, key):
        logits = jnp.broadcast_to(jnp.array([50.0, 0, 0, 0, 0]), (*timestep.reward.shape, 5))
        return Categorical(logits, jnp.ones_like(logits, bool)), carry


def test_places_by_hand():
    found = heat_maps(Idle(), Stand(), episodes=6, bins=4)
    assert found.extent == (0.0, 2.0, -1.0, 1.0)  # of who acted, and no wider
    a, b, c = found.visits
    assert a[2, 0] == 1 and a.sum() == 1
    assert b[2, 2] == b[2, 3] == 0.5 and b.sum() == 1  # x = 1, and the edge x = 2
    assert c.sum() == 0
    np.testing.assert_allclose(found.goal_places, [[1.0, 0.5], [np.nan, np.nan]])
    assert found.agents == ("a", "b", "c") and found.goals == ("flag", "ball")


def test_goals_by_hand():
    """b's end is its own, after two steps; what it seems to do later is not counted."""
    last = heat_maps(Idle(), Stand(), episodes=6).served
    assert last.mean.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert (last.low[0] < 1).all() and (last.high[0] == 1).all() and (last.high[2] > 0).all()
    mean = heat_maps(Idle(), Stand(counts="mean"), episodes=6).served
    np.testing.assert_allclose(mean.mean, [[0.25, 1], [0.5, 1], [0, 0]])


def test_batches_of_episodes_are_added_up(monkeypatch):
    whole = heat_maps(Idle(), Stand(), episodes=11, bins=4)
    monkeypatch.setattr(module, "BATCH", 4)
    parts = heat_maps(Idle(), Stand(), episodes=11, bins=4)
    np.testing.assert_array_equal(parts.visits, whole.visits)
    np.testing.assert_array_equal(parts.served.low, whole.served.low)
    np.testing.assert_array_equal(parts.goal_places, whole.goal_places)


def test_agents_that_stand_still_are_in_one_cell():
    env = shoal.make("mpe/simple", horizon=7)
    maps = heat_maps(Idle(), env, episodes=2, bins=9)
    assert sorted(maps.visits[maps.visits > 0].tolist()) == [0.5, 0.5]  # one start an episode


def _states(env, policy, key, episodes):
    """The states after each step, of the episodes that `play` plays with that key."""
    key_reset, key_steps = jax.random.split(key)
    state, timestep = jax.jit(jax.vmap(env.reset))(jax.random.split(key_reset, episodes))
    step = jax.jit(jax.vmap(env.step))
    for key in jax.random.split(key_steps, env.spec.horizon):
        action = policy(timestep, None, None)[0].mode()
        keys = jax.random.split(jax.random.split(key)[1], episodes)
        state, timestep = step(keys, state, action)
        yield np.asarray(state.position)


def test_spread_counted_again():
    env, episodes, bins = shoal.make("mpe/simple_spread"), 100, 20
    found = heat_maps(Towards(), env, episodes=episodes, seed=3, bins=bins)
    key = jax.random.split(jax.random.key(3), 1)[0]
    states = list(_states(env, Towards(), key, episodes))
    agents = np.stack(states)[:, :, :3]
    left, right, bottom, top = found.extent
    low, high = agents.min((0, 1, 2)), agents.max((0, 1, 2))
    assert left <= low[0] + 1e-5 and right >= high[0] - 1e-5
    assert bottom <= low[1] + 1e-5 and top >= high[1] - 1e-5
    np.testing.assert_allclose(max(high - low), right - left, rtol=1e-5)
    for i in range(3):
        y, x = agents[:, :, i, 1].ravel(), agents[:, :, i, 0].ravel()
        edges = [np.linspace(bottom, top, bins + 1), np.linspace(left, right, bins + 1)]
        count = np.histogram2d(y, x, edges)[0] / y.size
        assert np.abs(count - found.visits[i]).sum() < 1e-3  # a point on an edge may be rounded
    np.testing.assert_allclose(found.visits.sum((1, 2)), 1)

    end = states[-1]
    away = np.linalg.norm(end[:, :3, None] - end[:, None, 3:], axis=-1)
    nearest = away.argmin(1)[:, None] == np.arange(3)[:, None]
    served = (nearest & (away < 0.1)).mean(0)
    np.testing.assert_allclose(found.served.mean, served)
    assert (np.diag(served) > 0.3).all() and served.sum() < 1.1 * np.trace(served)
    covered = play(env, *acting(Towards(), episodes, True), key, episodes)
    covered = np.mean(covered.metrics["landmarks_covered"])
    np.testing.assert_allclose(found.served.mean.sum(), covered, rtol=1e-5)
    assert np.isnan(found.goal_places).all()


def _state(env, agents, landmarks, goal=()):
    position = jnp.array([*agents, *landmarks], jnp.float32)
    n = len(agents)
    return ParticleState(
        position, jnp.zeros((n, 2)), jnp.zeros((n, env.channel)), jnp.array(goal, int), jnp.int32(0)
    )


AT, NEAR, NEARER, FAR = (0.0, 0.0), (0.09, 0.0), (0.0, 0.05), (0.9, 0.9)


@pytest.mark.parametrize(
    "name, agents, landmarks, goal, goals, serves",
    [
        # Two at a landmark: the nearer one. Nobody at the second one.
        ("simple_spread", [NEAR, NEARER, FAR], [AT, (5, 5), (0.9, 0.85)], (),
         "landmark 0, landmark 1, landmark 2", [[0, 0, 0], [1, 0, 0], [0, 0, 1]]),
        # Of each team one, at the landmark that was chosen.
        ("simple_adversary", [NEAR, NEAR, NEARER], [FAR, AT], [1], "goal", [[1], [0], [1]]),
        ("simple_push", [NEAR, FAR], [FAR, AT], [0], "goal", [[0], [1]]),
        ("simple_speaker_listener", [FAR, NEAR], [FAR, FAR, AT], [2], "goal", [[0], [1]]),
        # Each has a goal, here the same; agent 0 knows agent 1's.
        ("simple_reference", [NEAR, NEARER], [AT, FAR, FAR], [0, 0],
         "goal of agent_0, goal of agent_1", [[1, 1], [1, 1]]),
        ("simple_reference", [NEAR, FAR], [AT, FAR, (5, 5)], [2, 0],
         "goal of agent_0, goal of agent_1", [[1, 0], [0, 0]]),
        # Obstacles and symbols are no goals; food is, forests are none.
        ("simple_tag", [AT] * 4, [AT] * 2, (), "", None),
        ("simple_crypto", [AT] * 3, [AT] * 2, [0, 1], "", None),
        ("simple_world_comm", [FAR] * 4 + [NEAR, AT], [AT, AT, (5, 5), FAR, FAR], (),
         "food 0, food 1", [[0, 0]] * 5 + [[1, 0]]),
    ],
)  # fmt: skip
def test_particle_goals_by_hand(name, agents, landmarks, goal, goals, serves):
    env = shoal.make(f"mpe/{name}")
    places = env.locate(_state(env, agents, landmarks, goal))
    np.testing.assert_allclose(places.agents, agents, rtol=1e-6)
    assert ", ".join(places.names) == goals
    assert (None if places.serves is None else places.serves.tolist()) == serves


def test_a_large_world_is_read_as_a_small_one_is():
    env = shoal.make("mpe/simple_spread", num_agents=6)
    spots = [(0.3 * i, 0.0) for i in range(6)]
    places = env.locate(_state(env, spots[::-1], spots))
    assert places.serves.tolist() == np.eye(6, dtype=bool)[::-1].tolist()


def test_swarms_by_hand():
    env = Navigation(num_agents=3, obstacles_per_robot=0.0)
    goals = jnp.array([[1.0, 1.0], [0.5, 0.5], [0.2, 1.2]])
    position = jnp.array([[1.05, 1.0], [0.2, 1.2], [1.5, 0.3]])
    places = env.locate(jax.jit(env.at)(position, jnp.zeros((3, 2)), goals))
    assert places.serves.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert places.names[2] == "goal of robot_2"

    env = Foraging(num_agents=3, items_per_robot=0.67, needed=2)
    items = jnp.array([[0.5, 0.5], [1.5, 1.5]])
    position = jnp.array([[0.6, 0.5], [0.4, 0.5], [1.5, 1.4]])
    places = env.locate(jax.jit(env.at)(position, jnp.zeros((3, 2)), items))
    assert places.serves.tolist() == [[1], [1], [0]]  # alone at an item is not enough
    assert places.counts == "mean"


@pytest.mark.parametrize("name", ["coverage", "flocking"])
def test_swarms_without_goals(name):
    found = heat_maps(Idle(), shoal.make(f"coop/{name}", num_agents=4), episodes=3, bins=5)
    np.testing.assert_allclose(found.visits.sum((1, 2)), 1)
    assert found.served is None and found.goals == () and found.goal_places is None


def test_other_rewards_leave_places_as_they_are():
    env = shoal.make("mpe/simple_spread")
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    places = DifferenceRewards(env).locate(state)
    np.testing.assert_array_equal(places.agents, state.position[:3])


class Wrong(Stand):
    def locate(self, state):
        return Places(jnp.zeros((2, 2)))


class Lost(Stand):
    def locate(self, state):
        return Places(jnp.full((3, 2), jnp.nan))


@pytest.mark.parametrize(
    "env, settings, complaint",
    [
        (lambda: shoal.make("coop/climbing"), {}, "have no places: heat maps are of mpe/"),
        (lambda: shoal.from_gymnasium(Lamp, name="lamp"), {}, "lamp is not compiled: heat maps"),
        (Wrong, {}, r"agents of stand's locate has shape \(2, 2\), expected \(3, 2\)"),
        (Lost, {}, "where no number says"),
        (Stand, dict(episodes=1), "episodes is 1, expected at least 2"),
        (Stand, dict(bins=0), "bins is 0, expected 1 to 200"),
    ],
)
def test_what_cannot_be_counted_is_a_clear_mistake(env, settings, complaint):
    with pytest.raises(UserError, match=complaint):
        heat_maps(Idle(), env(), **settings)


def test_the_picture_says_what_it_shows():
    drawn = figure(heat_maps(Idle(), Stand(), episodes=6), "idle in stand")
    *maps, matrix, scale = drawn.axes
    assert [axes.get_title("left") for axes in maps] == ["a", "b", "c"]
    assert all(axes.get_aspect() == 1 for axes in maps)
    texts = [[text.get_text() for text in axes.texts] for axes in maps]
    assert texts == [["flag"], ["flag"], ["never acted", "flag"]]  # the ball moves
    assert [t.get_text() for t in matrix.get_yticklabels()] == ["a", "b", "c"]
    assert matrix.texts[0].get_text() == "100%\n61% to 100%"
    assert "episodes at whose end" in matrix.get_xlabel() and "in a cell" in scale.get_xlabel()


def test_many_agents_share_a_map_for_each_kind():
    env = shoal.make("mpe/simple_tag", num_adversaries=10, num_good=4)
    maps = heat_maps(Idle(), env, episodes=2, bins=5)
    hunters, prey = maps_of(maps)
    assert hunters.name == "adversary: mean of 10 agents" and prey.name == "agent: mean of 4 agents"
    np.testing.assert_allclose(prey.visits, maps.visits[10:].mean(0))
    assert len(figure(maps, "idle").axes) == 3  # without goals there is no matrix


def test_numbers_lie_beside_the_picture(tmp_path):
    maps = heat_maps(Idle(), Stand(), episodes=6, bins=4)
    path = maps.save(tmp_path / "maps.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((tmp_path / "maps.json").read_text())
    assert numbers["visits"] == maps.visits.tolist() and numbers["extent"] == [0, 2, -1, 1]
    assert numbers["served"]["mean"] == maps.served.mean.tolist()
    assert numbers["goal_places"][1] == [None, None]
    maps.save(path)  # its own may be replaced
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match=r"other\.json exists and is not a heat map's"):
        maps.save(tmp_path / "other.png")
    with pytest.raises(UserError, match=r"expected NAME\.png"):
        maps.save(tmp_path / "maps.jpg")
