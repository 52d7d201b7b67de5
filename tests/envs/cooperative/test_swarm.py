"""Swarms: neighbours, one step, what is paid and measured, and that nothing depends on N."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.core.errors import UserError
from shoal.core.picture import Circle
from shoal.envs.cooperative.neighbours import find_near

NAMES = ("coop/coverage", "coop/flocking", "coop/foraging", "coop/navigation")
REDUCE = {"sum": lambda x: x.sum(0), "last": lambda x: x[-1]}


# Compiled whole: operation by operation takes ten times as long.
reset = eqx.filter_jit(lambda env, key: env.reset(key))
step = eqx.filter_jit(lambda env, key, state, action: env.step(key, state, action))
at = eqx.filter_jit(lambda env, *where: env.at(*where))
pay = eqx.filter_jit(lambda env, before, after: env.reward(before, after))
measure = eqx.filter_jit(lambda env, state: env.measure(state))


def state_of(env, position, velocity=None, places=()):
    """A state with everything where it is told to be."""
    position = jnp.array(position, jnp.float32)
    velocity = jnp.zeros_like(position) if velocity is None else jnp.array(velocity, jnp.float32)
    return at(env, position, velocity, jnp.array(places, jnp.float32).reshape(-1, 2))


@cache
def play(name, who, num_agents, episodes=6):
    """The mean return of a robot, and the mean of each metric."""
    env = shoal.make(name, num_agents=num_agents)

    def episode(key):
        key_reset, key_run = jax.random.split(key)

        def advance(state, key):
            drawn = jax.random.randint(key, (num_agents,), 0, 5)
            action = env.scripted(state) if who == "scripted" else drawn
            state, shown = env.step(key, state, action)
            return state, (shown.reward.mean(), shown.metrics)

        start, keys = env.reset(key_reset)[0], jax.random.split(key_run, env.horizon)
        reward, metrics = jax.lax.scan(advance, start, keys)[1]
        return reward.sum(), {k: REDUCE[how](metrics[k]) for k, how in env.spec.metrics}

    found = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(3), episodes))
    return jax.tree.map(lambda x: float(x.mean()), found)


# Who is near whom ------------------------------------------------------------------------------


def by_brute_force(places, points, side, sight, count, touch, torus, others):
    """Index, distance, overlap and number that touch, from all pairs."""
    apart = np.asarray(points, np.float64)[None] - np.asarray(places, np.float64)[:, None]
    if torus:
        apart -= side * np.round(apart / side)
    distance = np.hypot(*np.moveaxis(apart, -1, 0))
    if others:
        np.fill_diagonal(distance, np.inf)
    depth = np.maximum(touch - distance, 0) / np.where(distance > 0, distance, 1)
    overlap = -(depth[..., None] * apart).sum(1)
    touching = (distance < touch).sum(1)
    seen = np.where(distance <= sight, distance, np.inf)
    seen = np.pad(seen, ((0, 0), (0, count)), constant_values=np.inf)
    index = np.argsort(seen, 1, kind="stable")[:, :count]
    nearest = np.take_along_axis(seen, index, 1)
    return np.where(np.isfinite(nearest), index, 0), nearest, overlap, touching


@pytest.mark.parametrize("torus", [False, True])
@pytest.mark.parametrize(("n", "side"), [(2, 1.0), (20, 4.5), (60, 1.7), (100, 30.0), (300, 12.0)])
def test_neighbours_are_those_of_all_pairs(n, side, torus):
    points = side * jax.random.uniform(jax.random.key(n), (n, 2))
    places = side * jax.random.uniform(jax.random.key(n + 1), (7, 2))
    how = {"side": side, "sight": 1.1, "count": 5, "touch": 0.4, "torus": torus}
    for around, others in ((points, True), (places, False)):
        found = jax.jit(partial(find_near, **how, others=others))(around, points)
        index, distance, overlap, touching = by_brute_force(around, points, **how, others=others)
        assert np.array_equal(found.index, index)
        assert np.allclose(found.distance, distance, atol=1e-4)
        assert np.allclose(found.overlap, overlap, atol=1e-3)
        assert np.array_equal(found.touching, touching)


def test_a_crowd_in_one_cell_loses_nobody_and_a_batch_is_its_members():
    crowd = 5.0 + 0.1 * jax.random.uniform(jax.random.key(0), (150, 2))
    thin = 10.0 * jax.random.uniform(jax.random.key(1), (150, 2))
    both = jnp.stack([crowd, thin])
    how = {"side": 10.0, "sight": 1.0, "count": 149, "touch": 1.0, "others": True}
    found = jax.vmap(lambda x: find_near(x, x, **how))(both)
    assert (found.touching[0] == 149).all()
    assert np.array_equal(np.sort(found.index[0], 1)[5], np.delete(np.arange(150), 5))
    for k, points in enumerate(both):
        _, distance, _, touching = by_brute_force(points, points, **how, torus=False)
        assert np.allclose(found.distance[k], distance, atol=1e-4)
        assert np.array_equal(found.touching[k], touching)


def test_what_touches_is_weighed():
    places, points = jnp.array([[1.0, 1.0]]), jnp.array([[1.1, 1.0], [1.0, 0.8], [1.0, 1.6]])
    how = {"side": 2.0, "sight": 1.0, "count": 1, "touch": 0.5}
    found = find_near(places, points, weight=jnp.array([2.0, 3.0, 100.0]), **how)
    assert found.touching.tolist() == [5.0]


# One step ----------------------------------------------------------------------------------------


def test_a_step_of_two_robots_that_touch():
    env = shoal.make("coop/coverage", num_agents=2)
    state = state_of(env, [[0.5, 0.5], [0.65, 0.5]], [[0.2, 0.0], [0.0, 0.0]])
    after, _ = step(env, jax.random.key(0), state, jnp.array([0, 4]))
    # Overlap 0.05 at 30 a metre: 1.5 m/s^2 each, and 5 m/s^2 upwards for who moves up.
    assert np.allclose(after.velocity, [[0.75 * 0.2 - 0.15, 0.0], [0.15, 0.5]], atol=1e-5)
    assert np.allclose(after.position, [[0.5, 0.5], [0.665, 0.55]], atol=1e-5)


def test_walls_stop_and_speed_is_limited():
    env = shoal.make("coop/coverage", num_agents=1)
    state = state_of(env, [[0.05, 0.5]], [[-1.0, 0.9]])
    after, shown = step(env, jax.random.key(0), state, jnp.array([1]))
    pushed = np.array([-0.75 - 0.5, 0.675])
    pushed /= np.hypot(*pushed)
    assert np.allclose(after.position, [[0.0, 0.5 + 0.1 * pushed[1]]], atol=1e-5)
    assert np.allclose(after.velocity, [[-0.5, pushed[1]]], atol=1e-4)
    walls = np.minimum([0, after.position[0, 1], 1, 1 - after.position[0, 1]], 1.5) / 1.5
    assert np.allclose(shown.obs[0, 2:6], walls, atol=1e-5)


def test_discrete_moves_are_corners_of_continuous_ones():
    for name in NAMES:
        one, many = shoal.make(name), shoal.make(name, continuous_actions=True)
        state, _ = reset(one, jax.random.key(1))
        action = jnp.arange(one.num_agents) % 5
        a, shown = step(one, jax.random.key(2), state, action)
        b, _ = step(many, jax.random.key(2), state, jax.nn.one_hot(action, 5))
        assert np.allclose(a.position, b.position) and np.allclose(a.velocity, b.velocity)
        assert many.scripted(state).shape == (one.num_agents, 5)
        assert shown.obs.shape == (one.num_agents, one.spec.obs_size)


# Every world --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_robots_have_no_numbers(name):
    env = shoal.make(name, num_agents=12)
    order = jax.random.permutation(jax.random.key(5), 12)
    state, _ = reset(env, jax.random.key(1))
    places = state.places
    if name == "coop/navigation":  # goals move with their robots
        places = jnp.concatenate([places[:12][order], places[12:]])
    other = at(env, state.position[order], state.velocity[order], places)
    action = jnp.arange(12) % 5
    for _ in range(4):
        state, shown = step(env, jax.random.key(2), state, action)
        other, permuted = step(env, jax.random.key(2), other, action[order])
        assert np.allclose(permuted.obs, shown.obs[order], atol=1e-4)
        assert np.allclose(permuted.reward, shown.reward[order], atol=1e-4)
        assert np.allclose(permuted.global_state, shown.global_state, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_size_and_score_do_not_depend_on_the_number_of_robots(name):
    alone = {"needed": 1} if name == "coop/foraging" else {}  # two cannot meet there
    envs = [shoal.make(name, num_agents=1, **alone)]
    envs += [shoal.make(name, num_agents=n) for n in (2, 20, 80)]
    sizes = {(env.spec.obs_size, env.spec.state_size) for env in envs}
    assert len(sizes) == 1
    if name != "coop/navigation":  # its goals are as far as the square is wide
        small, large = play(name, "scripted", 20)[0], play(name, "scripted", 80)[0]
        assert abs(large - small) < 0.1 * small


@pytest.mark.parametrize(
    ("name", "metric", "least", "most"),
    [
        ("coop/coverage", "covered", 0.9, 0.7),
        ("coop/flocking", "polarisation", 0.9, 0.4),
        ("coop/foraging", "collected", 2.0, 0.8),
        ("coop/navigation", "success", 0.75, 0.1),
    ],
)
def test_the_controller_is_better_than_chance(name, metric, least, most):
    scripted, random = play(name, "scripted", 20), play(name, "random", 20)
    assert scripted[1][metric] > least and random[1][metric] < most
    assert scripted[0] > random[0] and scripted[1]["collisions"] < random[1]["collisions"]


@pytest.mark.parametrize("name", NAMES)
def test_resets_differ_and_episodes_are_cut_at_the_horizon(name):
    env = shoal.make(name, horizon=3)
    (one, _), (two, _) = reset(env, jax.random.key(0)), reset(env, jax.random.key(1))
    assert not np.allclose(one.position, two.position)
    for time in range(1, 4):
        one, shown = step(env, jax.random.key(time), one, jnp.zeros(env.num_agents, jnp.int32))
        assert shown.truncated.tolist() == [time == 3] * env.num_agents
        assert not shown.terminated.any() and shown.active.all()


@pytest.mark.parametrize("name", NAMES)
def test_pictures_show_every_robot(name):
    env = shoal.make(name)
    picture = env.draw(reset(env, jax.random.key(0))[0])
    labels = [s.label for s in picture.shapes if isinstance(s, Circle) and s.label]
    assert tuple(labels) == env.spec.agents


# What is paid and measured ------------------------------------------------------------------------


def test_coverage_pays_what_is_covered_and_what_would_be_lost():
    env = shoal.make("coop/coverage", num_agents=4, local_ratio=0.25)
    position = np.array([[0.5, 0.5], [0.9, 0.6], [0.9, 0.6], [1.9, 1.9]])
    after = state_of(env, position)
    axis = (np.arange(8) + 0.5) * 0.25
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    inside = np.hypot(*(points[:, None] - position).T).T <= 0.6
    covered = inside.any(1).mean()
    own = [covered - np.delete(inside, i, 1).any(1).mean() for i in range(4)]
    assert measure(env, after)["covered"] == pytest.approx(covered)
    assert np.allclose(pay(env, after, after), 0.75 * covered + 0.25 * 4 * np.array(own))
    assert own[1] == own[2] == 0 and own[3] > 0


def test_flocking_pays_for_a_common_heading_and_the_right_spacing():
    env = shoal.make("coop/flocking", num_agents=4, density=0.25)  # side 4
    position = [[0.1, 1.0], [3.8, 1.0], [2.0, 2.0], [2.0, 2.15]]
    after = state_of(env, position, [[1.0, 0.0], [0.0, 0.5], [0.5, 0.0], [0.5, 0.0]])
    reward = pay(env, after, after)  # the first two see each other through the edge, at 0.3
    assert np.allclose(reward[:2], -0.5 * 0.3 / 1.5, atol=1e-5)
    assert np.allclose(reward[2:], 0.25 - 0.5 * 0.45 / 1.5 - 0.5, atol=1e-5)
    found = measure(env, after)
    assert found["polarisation"] == pytest.approx(np.hypot(0.75, 0.25))
    assert found["collisions"] == pytest.approx(0.5) and found["isolated"] == 0
    assert found["dispersion"] == pytest.approx((0.3 + 0.15) / 12 + 1.5 * 5 / 6)
    alone = state_of(env, [[0, 0], [2, 0], [0, 2], [2, 2]])
    assert pay(env, alone, alone).tolist() == [-0.5] * 4
    assert measure(env, alone)["isolated"] == 1 and measure(env, alone)["dispersion"] == 1.5


def test_foraging_pays_those_within_reach_of_an_item_that_enough_reach():
    env = shoal.make("coop/foraging", num_agents=4, items_per_robot=0.5)
    start = state_of(
        env,
        [[0.3, 0.3], [0.5, 0.3], [0.4, 0.5], [1.6, 1.6]],
        places=[[0.4, 0.3], [1.6, 1.7]],
    )
    assert start.found.crowd.tolist() == [3, 1] and start.found.collected.tolist() == [1, 0]
    assert np.allclose(pay(env, start, start), [1 / 3, 1 / 3, 1 / 3, 0])
    assert measure(env, start)["collected"] == 0.25
    still = jnp.zeros(4, jnp.int32)
    first, shown = step(env, jax.random.key(0), start, still)
    assert np.allclose(first.places, start.places)  # nothing was paid for it yet
    assert np.allclose(shown.reward, [1 / 3, 1 / 3, 1 / 3, 0])
    after, _ = step(env, jax.random.key(0), first, still)
    assert not np.allclose(after.places[0], start.places[0])  # the collected one is elsewhere
    assert np.allclose(after.places[1], start.places[1])
    three = shoal.make("coop/foraging", num_agents=4, needed=4)
    assert not state_of(three, start.position, places=start.places).found.collected.any()


def navigating(**fields):
    """Two robots: one comes nearer to its goal, the other is at its own and touches an obstacle."""
    env = shoal.make("coop/navigation", num_agents=2, density=0.5, **fields)
    places = [[1.5, 0.5], [1.0, 1.6], [1.2, 1.6]]
    before = state_of(env, [[0.5, 0.5], [1.0, 1.6]], places=places)
    return env, before, state_of(env, [[0.6, 0.5], [1.0, 1.55]], places=places)


def test_navigation_pays_progress_arrival_and_no_collisions():
    env, before, after = navigating(obstacles_per_robot=0.5)
    own = np.array([0.1, -0.05 + 0.02 - 0.2])
    assert np.allclose(pay(env, before, after), own, atol=1e-5)
    shared = navigating(obstacles_per_robot=0.5, local_ratio=0.5)[0]
    assert np.allclose(pay(shared, before, after), 0.5 * own + 0.5 * own.mean(), atol=1e-5)
    found = measure(env, after)
    assert found["success"] == 0.5 and found["collisions"] == 0.5
    assert found["distance"] == pytest.approx((0.9 + 0.05) / 2)


def test_rays_end_at_the_nearest_disc():
    env, before, _ = navigating(obstacles_per_robot=0.5, sensor="lidar", rays=4)
    apart = at(env, jnp.array([[0.5, 0.5], [0.5, 1.2]]), before.velocity, before.places)
    ranges = env.lidar(apart) * env.sight
    assert np.allclose(ranges[0], [1.5, 0.6, 1.5, 1.5], atol=1e-5)
    assert np.allclose(ranges[1], [1.5, 1.5, 1.5, 0.6], atol=1e-5)
    level = at(env, jnp.array([[0.2, 1.6], [0.2, 0.1]]), before.velocity, before.places)
    assert env.lidar(level)[0, 0] * env.sight == pytest.approx(1.0 - 0.15)
    assert env.spec.obs_size == 2 + 4 + 4 + 2


def test_nothing_overlaps_where_robots_navigate_from():
    env = shoal.make("coop/navigation", num_agents=100)
    state, _ = reset(env, jax.random.key(0))
    points = np.concatenate([state.position, state.places])
    gaps = np.hypot(*(points[:, None] - points).T) + 9 * np.eye(len(points))
    assert len(points) == 225 and gaps.min() >= 0.3 - 1e-4


# Size, fields and mistakes ------------------------------------------------------------------------


def test_a_policy_of_3_robots_acts_in_a_swarm_of_5():
    fields = {"total_steps": 128, "num_envs": 4, "unroll": 8, "agent_id": False, "hidden": (8,)}
    env = shoal.make("coop/coverage", num_agents=3, horizon=8)
    run = shoal.train("mappo", env, minibatches=1, epochs=1, evaluations=1, **fields)
    larger = shoal.make("coop/coverage", num_agents=5, horizon=8)
    assert np.isfinite(shoal.evaluate(run.policy, larger, episodes=2).mean)


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("coop/coverage", {"num_agents": 0}, "num_agents is 0, expected at least 1"),
        ("coop/coverage", {"density": 0.0}, "density is 0.0, expected a positive number"),
        ("coop/flocking", {"sight": 0.1}, "sight is 0.1, expected at least a robot's diameter"),
        ("coop/foraging", {"reach": 2.0}, "reach is 2.0, expected at most sight, 1.5"),
        (
            "coop/foraging",
            {"needed": 9, "num_agents": 8},
            "needed is 9, expected at most the 8 robots",
        ),
        ("coop/navigation", {"num_agents": 101}, "num_agents is 101, expected 1 to 100"),
        ("coop/navigation", {"density": 9.0}, "18 starts, goals and obstacles, expected at most"),
        ("coop/navigation", {"sensor": "sonar"}, "sensor"),
    ],
)
def test_mistakes_are_named(name, fields, said):
    with pytest.raises(UserError, match=said):
        shoal.make(name, **fields)
