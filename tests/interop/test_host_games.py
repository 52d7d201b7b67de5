"""Worlds of Gymnasium's and PettingZoo's as games, beside the same worlds stepped by hand."""

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import itertools
import subprocess
import sys

import gymnasium
import mpe2
import numpy as np
import pytest
from gymnasium import spaces
from host_worlds import NUMBERS, Film, Hats, Once, Pair, Script
from pettingzoo.utils.conversions import parallel_to_aec

from shoal.core.errors import UserError
from shoal.interop.host.aec_game import AECGame
from shoal.interop.host.gymnasium_game import GymnasiumGame
from shoal.interop.host.names import make_game
from shoal.interop.host.parallel_game import ParallelGame
from shoal.interop.host.views import View

PLAIN = View()


def number(*values):
    return np.array(values, np.int32)


# Gymnasium


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "Blackjack-v1", "Pendulum-v1"])
def test_gymnasium_steps_alike(name):
    world = gymnasium.make(name)
    game = make_game(f"gymnasium:{name}", {}, PLAIN)
    space, rng = world.observation_space, np.random.default_rng(1)
    ends = 0
    for seed in range(6):
        raw, _ = world.reset(seed=seed)
        shown = game.reset(seed)
        done = False
        while not done:
            np.testing.assert_array_equal(shown.obs[0], spaces.flatten(space, raw))
            assert shown.active[0] and not shown.done
            if game.facts.discrete:
                action = number(rng.integers(game.facts.action_sizes[0]))
                told = int(action[0])
            else:
                action = rng.uniform(-3, 3, (1, 1)).astype(np.float32)
                told = np.clip(action[0], -2, 2)
            raw, reward, terminated, truncated, _ = world.step(told)
            shown, done = game.step(action), terminated or truncated
            assert shown.reward[0] == np.float32(reward)
            assert (shown.terminated[0], shown.truncated) == (terminated, truncated)
        np.testing.assert_array_equal(shown.obs[0], spaces.flatten(space, raw))
        ends += terminated
    assert ends == (0 if name == "Pendulum-v1" else 6)
    assert game.facts.limit == (world.spec.max_episode_steps or 0)


def test_gymnasium_time_limit_and_settings():
    game = make_game("gymnasium:CartPole", {"max_episode_steps": 5}, PLAIN)
    game.reset(0)
    shown = [game.step(number(i % 2)) for i in range(5)]
    assert [bool(s.truncated) for s in shown] == [False] * 4 + [True]
    assert shown[-1].active[0] and not shown[-1].terminated[0] and shown[-1].done
    assert game.facts.limit == 5 and game.facts.agents == ("agent",)
    own = gymnasium.wrappers.TimeLimit(Once(NUMBERS), 7)
    assert GymnasiumGame(lambda: own, PLAIN).facts.limit == 7


def test_gymnasium_mask_of_infos():
    world = gymnasium.make("Taxi-v4")
    game = make_game("gymnasium:Taxi-v4", {}, PLAIN)
    assert game.facts.masked and game.facts.obs_sizes == (500,)
    _, info = world.reset(seed=5)
    shown = game.reset(5)
    some = False
    for k in range(40):
        np.testing.assert_array_equal(shown.action_mask[0], info["action_mask"].astype(bool))
        some |= not info["action_mask"].all()
        action = int(np.flatnonzero(info["action_mask"])[k % info["action_mask"].sum()])
        *_, info = world.step(action)
        shown = game.step(number(action))
    assert some


def test_mask_without_a_legal_action_leaves_one():
    world = Once(NUMBERS, spaces.Discrete(3), {"action_mask": np.zeros(3, np.int8)})
    shown = GymnasiumGame(lambda: world, PLAIN).reset(0)
    np.testing.assert_array_equal(shown.action_mask, [[True, False, False]])


def test_nested_spaces_are_flat_as_gymnasium_flattens():
    space = spaces.Dict(
        z=spaces.Tuple((spaces.Discrete(3, start=-1), spaces.MultiBinary((2, 2)))),
        a=spaces.Dict(m=spaces.MultiDiscrete([2, 4], start=[1, 5]), b=spaces.Box(-1, 1, (2, 3))),
        n=spaces.Box(0, 9, (2,), np.uint8),
    )
    world = Once(space)
    game = GymnasiumGame(lambda: world, PLAIN)
    assert game.facts.obs_sizes == (3 + 4 + 6 + 6 + 2,) and game.facts.images == ()
    for k in range(20):
        shown = game.step(number(1)) if k else game.reset(3)
        np.testing.assert_array_equal(shown.obs[0], spaces.flatten(space, world.seen[-1]))
        assert shown.obs.dtype == np.float32


# Actions


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=5),
        spaces.MultiDiscrete([2, 3, 2], start=[0, 7, -1]),
        spaces.MultiDiscrete([[2, 2], [3, 2]]),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
    ],
)
def test_discrete_actions_name_every_element_once(space):
    world = Once(NUMBERS, space)
    game = GymnasiumGame(lambda: world, PLAIN)
    game.reset(0)
    for k in range(game.facts.action_sizes[0]):
        game.step(number(k))
    digits = {"Discrete": lambda: [space.n], "MultiDiscrete": lambda: space.nvec.ravel()}
    sizes = digits.get(type(space).__name__, lambda: [2] * int(np.prod(space.shape)))()
    start = np.asarray(getattr(space, "start", 0)).ravel()
    expected = [np.array(row) + start for row in itertools.product(*map(range, sizes))]
    assert len(world.told) == len(expected)
    for told, row in zip(world.told, expected):
        assert space.contains(told) and told.dtype == space.dtype
        np.testing.assert_array_equal(np.ravel(told), row)


def test_box_with_common_bounds_keeps_them():
    space = spaces.Box(-2, 2, (2, 2), np.float64)
    world = Once(NUMBERS, space)
    game = GymnasiumGame(lambda: world, PLAIN)
    assert (game.facts.low, game.facts.high, game.facts.action_sizes) == (-2, 2, (4,))
    game.reset(0)
    game.step(np.array([[0.25, -9, 9, 1]], np.float32))
    assert world.told[0].dtype == np.float64
    np.testing.assert_array_equal(world.told[0], [[0.25, -2], [2, 1]])


def test_box_with_other_bounds_is_rescaled_for_each_agent():
    left = spaces.Box(np.array([0, -10, 5]), np.array([1, 10, 9]), dtype=np.int64)
    right = spaces.Box(np.array([-1.0, 0.0]), np.array([3.0, 8.0]), dtype=np.float32)
    world = Pair(actions=(left, right))
    game = ParallelGame(lambda: world, PLAIN)
    assert (game.facts.low, game.facts.high, game.facts.action_sizes) == (-1, 1, (3, 2))
    assert not game.facts.discrete and game.facts.roles == (0, 1)
    game.reset(0)
    game.step(np.array([[-1, 0.26, 7], [0, 0.5, 99]], np.float32))
    assert world.told["left"].dtype == np.int64 and world.told["right"].dtype == np.float32
    np.testing.assert_array_equal(world.told["left"], [0, 3, 9])
    np.testing.assert_array_equal(world.told["right"], [1, 6])


def test_mask_of_several_dimensions_becomes_one_of_combinations():
    mask = (np.array([1, 0], np.int8), np.array([0, 1, 1], np.int8))
    world = Once(NUMBERS, spaces.MultiDiscrete([2, 3]), {"action_mask": mask})
    shown = GymnasiumGame(lambda: world, PLAIN).reset(0)
    np.testing.assert_array_equal(shown.action_mask, [[False, True, True, False, False, False]])


# Images


def film(frames, view, low=0, high=255):
    frames = [np.asarray(frame, np.uint8) for frame in frames]
    space = spaces.Box(low, high, frames[0].shape, np.uint8)
    return GymnasiumGame(lambda: Film(frames, space), view)


def test_images_are_scaled_to_one_and_frames_stacked():
    frames = [np.full((2, 3, 1), 51 * k) for k in range(5)]
    game = film(frames, View(frame_stack=3))
    assert game.facts.images == ((2, 3, 3),) and game.facts.obs_sizes == (18,)
    shown = [game.reset(0)] + [game.step(number(0)) for _ in range(4)]
    newest_last = [(0, 0, 0), (0, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4)]
    for s, frames in zip(shown, newest_last):
        each = s.obs[0].reshape(2, 3, 3)
        np.testing.assert_allclose(each, np.broadcast_to(np.array(frames) / 5, each.shape))
    again = game.reset(0).obs  # nothing of the last episode is left
    np.testing.assert_array_equal(again, shown[0].obs)


def test_colour_frames_stack_by_channel():
    frames = [np.stack([np.full((2, 2), 51 * k + c) for c in range(3)], -1) for k in range(3)]
    game = film(frames, View(frame_stack=2))
    game.reset(0)
    image = game.step(number(0)).obs[0].reshape(2, 2, 6)
    np.testing.assert_allclose(image[1, 0] * 255, [0, 1, 2, 51, 52, 53], rtol=1e-6)


def test_channels_may_come_first_or_be_missing():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (4, 6, 7))
    game = film([first, first], PLAIN)
    assert game.facts.images == ((6, 7, 4),)
    expected = np.moveaxis(first, 0, -1).ravel() / 255
    np.testing.assert_allclose(game.reset(0).obs[0], expected, rtol=1e-6)
    flat = rng.integers(0, 256, (6, 7))
    game = film([flat, flat], PLAIN)
    assert game.facts.images == ((6, 7, 1),)
    np.testing.assert_allclose(game.reset(0).obs[0], flat.ravel() / 255, rtol=1e-6)


def test_grayscale_and_area_by_hand():
    image = np.zeros((3, 3, 3))
    image[0, 0], image[2, 2] = (255, 0, 0), (0, 255, 0)
    game = film([image, image], View(image_size=2, grayscale=True))
    assert game.facts.images == ((2, 2, 1),)
    # A new pixel covers 1.5 x 1.5 old ones: a corner of it counts 1 / 2.25.
    expected = [[0.299 / 2.25, 0], [0, 0.587 / 2.25]]
    np.testing.assert_allclose(game.reset(0).obs[0].reshape(2, 2), expected, rtol=1e-6)
    blocks = np.arange(16).reshape(4, 4)
    game = film([blocks, blocks], View(image_size=2))
    means = np.array([[2.5, 4.5], [10.5, 12.5]]) / 255
    np.testing.assert_allclose(game.reset(0).obs[0].reshape(2, 2), means, rtol=1e-6)


def test_bytes_that_are_no_image_stay_numbers():
    game = film([np.full((3, 4), 7)] * 2, PLAIN, high=9)
    assert game.facts.images == () and game.reset(0).obs[0].tolist() == [7.0] * 12


def test_images_come_first_and_numbers_are_stacked_too():
    space = spaces.Dict(speed=spaces.Box(-9, 9, (2,)), eye=spaces.Box(0, 255, (1, 2, 1), np.uint8))
    frames = [
        {"speed": np.array([k, -k], np.float32), "eye": np.full((1, 2, 1), 51 * k, np.uint8)}
        for k in range(3)
    ]
    game = GymnasiumGame(lambda: Film(frames, space), View(frame_stack=2))
    assert game.facts.images == ((1, 2, 2),) and game.facts.obs_sizes == (8,)
    np.testing.assert_allclose(game.reset(0).obs[0], [0] * 8)
    np.testing.assert_allclose(game.step(number(0)).obs[0], [0, 0.2, 0, 0.2, 0, 0, 1, -1])
    np.testing.assert_allclose(game.step(number(0)).obs[0], [0.2, 0.4, 0.2, 0.4, 1, -1, 2, -2])


def test_agents_without_images_have_zeros_in_their_place():
    eye = spaces.Box(0, 255, (2, 2, 1), np.uint8)
    game = ParallelGame(lambda: Pair((eye, spaces.Box(3, 4, (3,)))), PLAIN)
    assert game.facts.images == ((2, 2, 1),) and game.facts.obs_sizes == (4, 7)
    obs = game.reset(0).obs
    assert obs.shape == (2, 7) and not obs[1, :4].any() and (obs[1, 4:] >= 3).all()
    assert obs[0, :4].any() and not obs[0, 4:].any()


# Parallel worlds


@pytest.mark.parametrize("name", ["simple_spread_v3", "simple_world_comm_v3"])
@pytest.mark.parametrize("continuous", [False, True])
def test_mpe2_steps_alike(name, continuous):
    module = __import__(f"mpe2.{name}", fromlist=[""])
    world = module.parallel_env(continuous_actions=continuous, max_cycles=8)
    game = make_game(f"mpe2:{name}", {"continuous_actions": continuous, "max_cycles": 8}, PLAIN)
    facts, rng = game.facts, np.random.default_rng(2)
    agents = world.possible_agents
    assert facts.agents == tuple(agents) and facts.limit == 8 and not facts.masked
    sizes = [
        world.action_space(a).shape[0] if continuous else world.action_space(a).n for a in agents
    ]
    assert facts.action_sizes == tuple(sizes) and facts.discrete is not continuous
    assert facts.obs_sizes == tuple(world.observation_space(a).shape[0] for a in agents)
    for seed in range(3):
        raw, _ = world.reset(seed=seed)
        shown = game.reset(seed)
        for t in range(8):
            assert shown.active.all() and not shown.done
            if continuous:
                action = rng.uniform(0, 1, (len(agents), max(sizes))).astype(np.float32)
                told = {a: action[i, : sizes[i]] for i, a in enumerate(agents)}
            else:
                action = rng.integers(0, sizes).astype(np.int32)
                told = {a: int(action[i]) for i, a in enumerate(agents)}
            raw, rewards, terminations, truncations, _ = world.step(told)
            shown = game.step(action)
            for i, agent in enumerate(agents):
                size = facts.obs_sizes[i]
                np.testing.assert_array_equal(shown.obs[i, :size], raw[agent])
                assert not shown.obs[i, size:].any()
                assert shown.reward[i] == np.float32(rewards[agent])
            assert shown.truncated == all(truncations.values()) == (t == 7)
            assert not shown.terminated.any()
            np.testing.assert_array_equal(shown.global_state, world.state())
    assert shown.active.all()  # but for the limit they would go on


def test_roles_follow_spaces():
    game = make_game("mpe2:simple_world_comm", {}, PLAIN)
    assert game.facts.roles == (0, 1, 1, 1, 2, 2)


def test_deaths_cuts_and_arrivals():
    steps = [
        ("ab", "", ""),
        ("b", "a", ""),  # a dies
        ("bc", "", ""),  # c appears
        ("c", "", "b"),  # b alone is cut
        ("c", "", ""),
        ("", "c", ""),
    ]
    world = Script("ab", steps)
    game = ParallelGame(lambda: world, PLAIN)
    shown = [game.reset(0)] + [game.step(number(1, 1, 1)) for _ in steps]
    flags = [
        (list(map(int, s.active)), list(map(int, s.terminated)), bool(s.truncated)) for s in shown
    ]
    assert flags == [
        ([1, 1, 0], [0, 0, 0], False),
        ([1, 1, 0], [0, 0, 0], False),
        ([0, 1, 0], [1, 0, 0], False),
        ([0, 1, 1], [1, 0, 0], False),
        ([0, 0, 1], [1, 0, 0], False),
        ([0, 0, 1], [1, 0, 0], False),
        ([0, 0, 0], [1, 0, 1], True),  # b had not ended truly
    ]
    assert [s.done for s in shown] == [False] * 6 + [True]
    last_seen = [[0, 0, 0], [1, 1, 0], [2, 2, 0], [2, 3, 3], [2, 4, 4], [2, 4, 5], [2, 4, 6]]
    assert [s.obs[:, 0].astype(int).tolist() for s in shown] == last_seen
    rewards = [
        [0, 0, 0],
        [10, 11, 0],
        [20, 21, 0],
        [0, 31, 32],
        [0, 41, 42],
        [0, 0, 52],
        [0, 0, 62],
    ]
    assert [s.reward.astype(int).tolist() for s in shown] == rewards


def test_a_world_whose_agents_all_die_is_not_truncated():
    game = ParallelGame(lambda: Script("abc", [("ab", "c", ""), ("", "ab", "")]), PLAIN)
    game.reset(0)
    shown = [game.step(number(0, 0, 0)) for _ in range(2)]
    assert shown[-1].done and not shown[-1].truncated and shown[-1].terminated.all()
    assert not shown[0].done and not shown[-1].active.any()


def test_a_limit_leaves_those_it_stopped_active():
    game = ParallelGame(lambda: Script("abc", [("ab", "c", ""), ("", "", "ab")]), PLAIN)
    game.reset(0)
    game.step(number(0, 0, 0))
    shown = game.step(number(0, 0, 0))
    assert shown.truncated and shown.active.tolist() == [True, True, False]


def test_an_agent_that_comes_back_begins_anew():
    steps = [("b", "a", ""), ("ab", "", ""), ("ab", "", "")]
    game = ParallelGame(lambda: Script("ab", steps), View(frame_stack=2))
    game.reset(0)
    shown = [game.step(number(0, 0, 0)) for _ in steps]
    assert [s.terminated[0] for s in shown] == [True, False, False]
    frames = [s.obs[0].reshape(2, 2)[:, 0].tolist() for s in shown]
    assert frames == [[0, 1], [2, 2], [2, 3]]


def test_masks_while_agents_die():
    steps = [("ab", "", ""), ("b", "a", ""), ("b", "", ""), ("", "", "b")]
    world = Script("ab", steps, masks=True)
    game = ParallelGame(lambda: world, PLAIN)
    assert game.facts.masked and game.facts.obs_sizes == (2, 2, 2)
    idle = [True, False, False]
    shown = [game.reset(0)] + [game.step(number(1, 2, 0)) for _ in steps]
    for time, s in enumerate(shown):
        legal = np.roll([True, True, False], time).tolist()
        assert s.action_mask[0].tolist() == (legal if time < 2 else idle)
        assert s.action_mask[1].tolist() == legal
        assert s.action_mask[2].tolist() == idle
    assert world.given[-1] == {"b": 2}


def test_knights_archers_zombies_steps_alike():
    pytest.importorskip("pygame")
    from pettingzoo.butterfly import knights_archers_zombies_v11 as module

    settings = {"spawn_rate": 3, "max_cycles": 400, "max_zombies": 30}
    world = module.parallel_env(**settings)
    game = make_game("pettingzoo:knights_archers_zombies", settings, PLAIN)
    agents, rng, died = world.possible_agents, np.random.default_rng(0), False
    assert game.facts.limit == 400
    for seed in range(2):
        raw, _ = world.reset(seed=seed)
        shown, alive = game.reset(seed), set(world.agents)
        while not shown.done:
            action = rng.integers(0, 6, len(agents)).astype(np.int32)
            told = {a: int(action[i]) for i, a in enumerate(agents) if a in alive}
            raw, rewards, terminations, truncations, _ = world.step(told)
            shown = game.step(action)
            for i, agent in enumerate(agents):
                if agent in raw:
                    flat = raw[agent].astype(np.float32).ravel()
                    np.testing.assert_array_equal(shown.obs[i], flat)
                assert shown.reward[i] == (rewards[agent] if agent in alive else 0)
                assert shown.terminated[i] or agent not in terminations or not terminations[agent]
            alive = set(world.agents)
            if alive:
                assert [a for i, a in enumerate(agents) if shown.active[i]] == sorted(alive)
                died |= len(alive) < len(agents)
        assert not alive
    assert died


def test_pistonball_shows_images():
    pytest.importorskip("pymunk")
    view = View(frame_stack=2, image_size=16, grayscale=True)
    game = make_game("pettingzoo:pistonball", {"n_pistons": 4, "max_cycles": 3}, view)
    assert game.facts.images == ((16, 16, 2),) and game.facts.state_size == 0
    assert (game.facts.low, game.facts.high) == (-1, 1)
    shown = game.reset(0)
    assert shown.obs.shape == (4, 512) and 0 < shown.obs.mean() < 1
    for _ in range(3):
        shown = game.step(np.ones((4, 1), np.float32))
    assert shown.truncated and shown.obs.max() <= 1.0001


# Turn-based worlds


def by_hand(world, seed, choose):
    """Plays as PettingZoo's documentation does; totals by agent and the turns taken."""
    world.reset(seed=seed)
    totals, turns = dict.fromkeys(world.possible_agents, 0.0), []
    for agent in world.agent_iter():
        observation, reward, terminated, truncated, _ = world.last()
        totals[agent] += reward
        action = None if terminated or truncated else choose(observation)
        if action is not None:
            turns.append((agent, action, observation))
        world.step(action)
    return totals, turns


def replayed(game, seed, turns, first=0):
    """The same turns in a game: what it shows, and totals."""
    agents, shown = game.facts.agents, [game.reset(seed)]
    for agent, action, _ in turns:
        assert [a for i, a in enumerate(agents) if shown[-1].active[i]] == [agent]
        assert not shown[-1].done
        joint = np.zeros(len(agents), np.int32)
        joint[agents.index(agent)] = action - first
        shown.append(game.step(joint))
    return shown, dict(zip(agents, np.sum([s.reward for s in shown], 0).tolist()))


@pytest.mark.parametrize("name", ["tictactoe_v3", "connect_four_v3"])
def test_classic_games_step_alike(name):
    pytest.importorskip("pygame")
    module = __import__(f"pettingzoo.classic.{name}", fromlist=[""])
    world, game = module.env(), make_game(f"pettingzoo:{name}", {}, PLAIN)
    rng = np.random.default_rng(3)
    winners = set()
    for seed in range(12):
        totals, turns = by_hand(
            world, seed, lambda seen: int(rng.choice(np.flatnonzero(seen["action_mask"])))
        )
        shown, earned = replayed(game, seed, turns)
        assert earned == totals
        winners.add(tuple(totals.values()))
        for (agent, _, seen), s in zip(turns, shown):
            i = game.facts.agents.index(agent)
            np.testing.assert_array_equal(s.obs[i], seen["observation"].ravel())
            np.testing.assert_array_equal(s.action_mask[i], seen["action_mask"].astype(bool))
            assert s.action_mask[1 - i].tolist() == [True] + [False] * (s.action_mask.shape[1] - 1)
        assert shown[-1].done and shown[-1].terminated.all() and not shown[-1].truncated
    assert {(1.0, -1.0), (-1.0, 1.0)} <= winners


def test_an_illegal_move_ends_the_game():
    pytest.importorskip("pygame")
    game = make_game("pettingzoo:tictactoe", {}, PLAIN)
    game.reset(0)
    game.step(number(4, 0))
    shown = game.step(number(0, 4))
    assert shown.done and shown.terminated.all() and shown.reward.tolist() == [0, -1]


@pytest.mark.parametrize(("limit", "deadly"), [(9, True), (5, True), (4, False), (6, False)])
def test_turns_with_a_death_and_a_limit(limit, deadly):
    totals, turns = by_hand(Hats(limit, deadly), 0, lambda seen: 4)
    world = Hats(limit, deadly)
    game = AECGame(lambda: world, PLAIN)
    shown, earned = replayed(game, 0, turns, first=3)
    assert earned == totals and len(turns) == limit
    for (agent, _, seen), s in zip(turns, shown):
        np.testing.assert_array_equal(s.obs[game.facts.agents.index(agent)], seen)
    assert all(agent == turn for agent, turn in world.observed)
    end = shown[-1]
    assert end.done and end.truncated
    assert end.terminated.tolist() == [False, deadly, False]
    assert end.obs[0].tolist() == [limit, 0]  # everyone sees how it ended
    assert end.active.sum() == 1 and end.active[1] | deadly is not False
    assert all(s.active.sum() == 1 for s in shown)


def test_those_who_wait_keep_what_they_saw():
    game = AECGame(lambda: Hats(9, deadly=False), PLAIN)
    shown = [game.reset(0)] + [game.step(number(0, 0, 0)) for _ in range(5)]
    times = [s.obs[:, 0].astype(int).tolist() for s in shown]
    assert times == [[0, 0, 0], [0, 1, 0], [0, 1, 2], [3, 1, 2], [3, 4, 2], [3, 4, 5]]


def test_parallel_and_turn_based_earn_the_same():
    steps = [("ab", "c", ""), ("b", "a", ""), ("b", "", ""), ("", "", "b")]
    both = [
        ParallelGame(lambda: Script("abc", steps), PLAIN),
        AECGame(lambda: parallel_to_aec(Script("abc", steps)), PLAIN),
    ]
    ends = []
    for game in both:
        shown = [game.reset(0)]
        while not shown[-1].done:
            shown.append(game.step(number(0, 0, 0)))
        total = np.sum([s.reward for s in shown], 0)
        ends.append((total.tolist(), shown[-1].terminated.tolist(), shown[-1].truncated))
    assert ends[0] == ends[1] == ([30, 11 + 21 + 31 + 41, 12], [True, False, True], True)


def test_mpe2_turn_by_turn():
    module = mpe2.simple_spread_v3 if hasattr(mpe2, "simple_spread_v3") else None
    module = module or __import__("mpe2.simple_spread_v3", fromlist=[""])
    rng = np.random.default_rng(0)
    totals, turns = by_hand(module.env(max_cycles=6), 4, lambda seen: int(rng.integers(5)))
    game = AECGame(lambda: module.env(max_cycles=6), PLAIN)
    assert game.facts.limit == 18 == len(turns)
    shown, earned = replayed(game, 4, turns)
    for agent, total in totals.items():
        np.testing.assert_allclose(earned[agent], total, rtol=1e-5)
    assert shown[-1].truncated and not any(s.done for s in shown[:-1])


# State and pictures


@pytest.mark.parametrize(
    ("state", "size"),
    [
        (None, 0),
        (np.arange(6, dtype=np.int64).reshape(2, 3), 6),
        (np.zeros((8, 8, 3), np.uint8), 0),
        (np.zeros(5_000), 0),
        (np.array(["a"]), 0),
    ],
)
def test_global_state(state, size):
    game = ParallelGame(lambda: Pair(state=state), PLAIN)
    shown = game.reset(0)
    assert game.facts.state_size == size
    if size:
        assert shown.global_state.dtype == np.float32 and shown.global_state.tolist() == [*range(6)]
    else:
        assert shown.global_state is None


@pytest.mark.parametrize("task", ["gymnasium:CartPole-v1", "mpe2:simple_v3"])
def test_pictures(task):
    pytest.importorskip("pygame")
    game = make_game(task, {}, PLAIN)
    game.reset(0)
    image = game.render()
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert image.std() > 0
    game.close()


def test_workers_need_no_jax():
    code = (
        "import sys; from shoal.interop.host.names import make_game; "
        "from shoal.interop.host.views import View; "
        "[make_game(task, {}, View()).reset(0) for task in "
        "('gymnasium:CartPole-v1', 'mpe2:simple_v3', 'pettingzoo:tictactoe')]; "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


# Mistakes


def mistake(make):
    with pytest.raises(UserError) as caught:
        make()
    line = str(caught.value)
    assert "\n" not in line
    return line


def own(world):
    return lambda: GymnasiumGame(lambda: world, PLAIN)


def pair(*args, **kwargs):
    return lambda: ParallelGame(lambda: Pair(*args, **kwargs), PLAIN)


def named(task, **settings):
    return lambda: make_game(task, settings, PLAIN)


class Nameless(Pair):
    possible_agents = property(lambda self: [], lambda self, value: None)


class Stranger(Script):
    def observation_space(self, agent):
        return NUMBERS

    def reset(self, seed=None, options=None):
        self.agents, self.time = ["a", "z"], 0
        return {}, {}


EYE = spaces.Box(0, 255, (4, 4, 1), np.uint8)
BIG = spaces.Box(0, 255, (6, 4, 3), np.uint8)
OPEN = spaces.Box(np.array([0, -np.inf]), np.array([1, np.inf]), dtype=np.float32)
MISTAKES = {
    "text": (own(Once(spaces.Text(3))), "the observation of agent is Text, which is not supported"),
    "deep": (own(Once(spaces.Dict(a=spaces.Sequence(NUMBERS)))), "Sequence at ['a']"),
    "graph": (own(Once(spaces.Graph(NUMBERS, None))), "expected Box, Discrete, MultiDiscrete"),
    "action": (own(Once(NUMBERS, spaces.Text(3))), "the actions of agent are Text"),
    "many": (own(Once(NUMBERS, spaces.MultiDiscrete([20] * 3))), "8,000 combinations in 3"),
    "bits": (own(Once(NUMBERS, spaces.MultiBinary(13))), "8,192 combinations"),
    "bounds": (own(Once(NUMBERS, OPEN)), "no bounds in 1 of 2 dimensions (number 1: -inf to inf)"),
    "mixed": (
        pair(actions=(spaces.Discrete(2), spaces.Box(-1, 1, (1,)))),
        "the actions of right are a Box, and those of left are not",
    ),
    "images": (pair((EYE, BIG)), "left 4x4x1 and right 6x4x3: image_size=84"),
    "nameless": (lambda: ParallelGame(Nameless, PLAIN), "expected possible_agents"),
    "stranger": (
        lambda: ParallelGame(lambda: Stranger("a", []), PLAIN).reset(0),
        "z has appeared, which is none of the possible_agents",
    ),
    "parallel": (own(Pair()), "Pair is no world of Gymnasium's"),
    "vector": (lambda: GymnasiumGame(lambda: gymnasium.make_vec("CartPole-v1"), PLAIN), "a vector"),
    "suite": (named("gymnasum:CartPole-v1"), "unknown suite 'gymnasum': did you mean 'gymnasium'?"),
    "id": (named("gymnasium:Cartpole-v1"), "did you mean 'CartPole-v1'?"),
    "version": (named("gymnasium:CartPole-v9"), "did you mean 'CartPole-v1'?"),
    "namespace": (named("gymnasium:nowhere/Bar-v0"), "Namespace nowhere not found"),
    "module": (named("gymnasium:no_such_module:Bar-v0"), "needs no_such_module"),
    "setting": (
        named("gymnasium:CartPole-v1", gravity=3),
        "CartPole-v1 has no setting 'gravity': it takes sutton_barto_reward, max_episode_steps",
    ),
    "zoo": (named("pettingzoo:pistonbal"), "unknown world of PettingZoo 'pistonbal'"),
    "zoo_version": (named("pettingzoo:tictactoe_v1"), "did you mean 'tictactoe_v3'?"),
    "zoo_family": (named("pettingzoo:sisl/tictactoe"), "unknown world of PettingZoo"),
    "zoo_setting": (named("pettingzoo:tictactoe", colour=1), "has no setting 'colour': it takes"),
    "open_setting": (named("pettingzoo:pursuit", colour=1), "pursuit_v5 has no setting 'colour'"),
    "mpe2": (named("mpe2:simple_spred"), "did you mean 'simple_spread_v3'?"),
    "mpe2_setting": (
        named("mpe2:simple_spread", n=3),
        "has no setting 'n': it takes N, local_ratio",
    ),
    "stack": (lambda: View(frame_stack=0), "frame_stack is 0, expected at least 1"),
    "size": (lambda: View(image_size=-1), "image_size is -1, expected 0 or more"),
    "picture": (own(Once(NUMBERS)), None),
}


@pytest.mark.parametrize("name", [name for name, (_, line) in MISTAKES.items() if line])
def test_mistakes_are_one_line(name):
    make, expected = MISTAKES[name]
    assert expected in mistake(make)


def test_worlds_that_cannot_be_drawn():
    blind = own(Once(NUMBERS))()
    assert "Once cannot be drawn: NotImplementedError" in mistake(blind.render)
    dark = GymnasiumGame(lambda: gymnasium.make("CartPole-v1"), PLAIN)
    dark.reset(0)
    line = mistake(dark.render)
    assert "CartPoleEnv draws nothing" in line and "render_mode='rgb_array'" in line


@pytest.mark.parametrize(
    ("package", "task", "install"),
    [
        ("gymnasium", "gymnasium:CartPole-v1", "'shoal[gymnasium]'"),
        ("pettingzoo", "pettingzoo:tictactoe", "'shoal[pettingzoo]'"),
        ("mpe2", "mpe2:simple", "'shoal[mpe2]'"),
        ("mpe2", "pettingzoo:simple_spread", "'shoal[mpe2]'"),
    ],
)
def test_missing_suites_name_the_install_command(package, task, install, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    assert f"is not installed: pip install {install}" in mistake(named(task))


@pytest.mark.parametrize(
    ("package", "task", "expected"),
    [
        (
            "Box2D",
            "pettingzoo:multiwalker",
            "multiwalker_v9 needs Box2D: pip install 'pettingzoo[sisl]'",
        ),
        ("pymunk", "pettingzoo:pistonball", "needs pymunk: pip install 'pettingzoo[butterfly]'"),
        ("multi_agent_ale_py", "pettingzoo:pong", "pip install 'pettingzoo[atari]'"),
        ("ale_py", "gymnasium:ALE/Pong-v5", "needs ale_py: pip install 'gymnasium[atari]'"),
        ("Box2D", "gymnasium:LunarLander-v3", 'pip install "gymnasium[box2d]"'),
    ],
)
def test_packages_that_worlds_need_are_named(package, task, expected, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for name in list(sys.modules):
        if name.startswith(("pettingzoo.sisl.", "pettingzoo.butterfly.pis", "pettingzoo.atari.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "gymnasium.envs.box2d", raising=False)
    assert expected in mistake(named(task))
