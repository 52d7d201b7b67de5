"""Worlds of Gymnasium's and PettingZoo's as games, beside the same worlds stepped by hand."""

import contextlib
import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import functools
import importlib
import random
import sys

import cloudpickle
import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo.utils.conversions import parallel_to_aec
from scripted_worlds import (
    NUMBERS,
    Hats,
    Once,
    Pair,
    Script,
    keep_what_is_shown,  # noqa: F401
)

import shoal
from shoal.core.errors import UserError
from shoal.envs.host.aec import AECHostEnv
from shoal.envs.host.building import Limited
from shoal.envs.host.names import make_host_env
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.single_agent import GymnasiumHostEnv
from shoal.envs.host.steps import seeds_of
from shoal.envs.host.views import View
from shoal.envs.host.worker import episode_seed
from shoal.envs.host.world import HostWorld

PLAIN = View()


def number(*values):
    return np.array(values, np.int32)


# Gymnasium


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "Blackjack-v1", "Pendulum-v1"])
def test_gymnasium_steps_alike(name):
    world = gymnasium.make(name)
    game = make_host_env(f"gymnasium:{name}", {}, PLAIN)
    space, rng = world.observation_space, np.random.default_rng(1)
    ends = 0
    episodes = 2 if name == "Pendulum-v1" else 6
    for seed in range(episodes):
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
            assert (shown.terminated[0], shown.truncated[0]) == (terminated, truncated)
            assert shown.active[0] != shown.done
        np.testing.assert_array_equal(shown.obs[0], spaces.flatten(space, raw))
        ends += terminated
    assert ends == (0 if name == "Pendulum-v1" else episodes)
    assert game.facts.limit == (world.spec.max_episode_steps or 0)


def test_gymnasium_time_limit_and_settings():
    game = make_host_env("gymnasium:CartPole", {"max_episode_steps": 5}, PLAIN)
    game.reset(0)
    shown = [game.step(number(i % 2)) for i in range(5)]
    assert [bool(s.truncated[0]) for s in shown] == [False] * 4 + [True]
    assert not shown[-1].terminated[0] and shown[-1].done
    assert game.facts.limit == 5 and game.facts.agents == ("agent",)
    own = gymnasium.wrappers.TimeLimit(Once(NUMBERS), 7)
    assert GymnasiumHostEnv(lambda: own, PLAIN).facts.limit == 7


def test_gymnasium_mask_of_infos():
    world = gymnasium.make("Taxi-v4")
    game = make_host_env("gymnasium:Taxi-v4", {}, PLAIN)
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
    shown = GymnasiumHostEnv(lambda: world, PLAIN).reset(0)
    np.testing.assert_array_equal(shown.action_mask, [[True, False, False]])


# Parallel worlds


@pytest.mark.parametrize("name", ["simple_spread_v3", "simple_world_comm_v3"])
@pytest.mark.parametrize("continuous", [False, True])
def test_mpe2_steps_alike(name, continuous):
    module = importlib.import_module(f"mpe2.{name}")
    world = module.parallel_env(continuous_actions=continuous, max_cycles=8)
    game = make_host_env(f"mpe2:{name}", {"continuous_actions": continuous, "max_cycles": 8}, PLAIN)
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
            raw, rewards, _, truncations, _ = world.step(told)
            shown = game.step(action)
            for i, agent in enumerate(agents):
                size = facts.obs_sizes[i]
                np.testing.assert_array_equal(shown.obs[i, :size], raw[agent])
                assert not shown.obs[i, size:].any()
                assert shown.reward[i] == np.float32(rewards[agent])
            assert shown.truncated.tolist() == [*truncations.values()] == [t == 7] * len(agents)
            assert not shown.terminated.any() and shown.done == (t == 7)
            np.testing.assert_array_equal(shown.global_state, world.state())


def test_roles_follow_spaces():
    game = make_host_env("mpe2:simple_world_comm", {}, PLAIN)
    assert game.facts.roles == (0, 1, 1, 1, 2, 2)


def test_deaths_cuts_and_arrivals():
    steps = [
        ("ab", "", ""),
        ("b", "a", ""),  # a dies
        ("bc", "", ""),  # c appears, which counted as gone
        ("c", "", "b"),  # b alone is cut, and sees how it ended
        ("c", "", ""),
        ("", "c", ""),
    ]
    world = Script("ab", steps)
    game = ParallelHostEnv(lambda: world, PLAIN)
    shown = [game.reset(0)] + [game.step(number(1, 1, 1)) for _ in steps]
    flags = [[[*map(int, x)] for x in (s.active, s.terminated, s.truncated)] for s in shown]
    assert flags == [
        [[1, 1, 0], [0, 0, 1], [0, 0, 0]],
        [[1, 1, 0], [0, 0, 1], [0, 0, 0]],
        [[0, 1, 0], [1, 0, 1], [0, 0, 0]],
        [[0, 1, 1], [1, 0, 0], [0, 0, 0]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [1, 0, 1], [0, 1, 0]],
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
    assert game.reset(0).obs.tolist() == [[0, 0], [0, 1], [0, 0]]  # c has not appeared yet


def test_those_who_are_gone_count_no_more():
    steps = [("b", "a", ""), ("b", "", ""), ("", "b", "")]
    game = ParallelHostEnv(lambda: Script("ab", steps, lingering=True), PLAIN)
    game.reset(0)
    shown = [game.step(number(0, 0, 0)) for _ in steps]
    assert [s.reward[:2].tolist() for s in shown] == [[10, 11], [0, 21], [0, 31]]
    assert [s.obs[0, 0] for s in shown] == [1, 1, 1]
    assert [s.terminated[:2].tolist() for s in shown] == [[1, 0], [1, 0], [1, 1]]


def test_a_world_whose_agents_all_die_is_not_truncated():
    game = ParallelHostEnv(lambda: Script("abc", [("ab", "c", ""), ("", "ab", "")]), PLAIN)
    game.reset(0)
    shown = [game.step(number(0, 0, 0)) for _ in range(2)]
    assert shown[-1].done and not shown[-1].truncated.any() and shown[-1].terminated.all()
    assert not shown[0].done and not shown[-1].active.any()


def test_a_limit_cuts_those_who_are_left():
    game = ParallelHostEnv(lambda: Script("abc", [("ab", "c", ""), ("", "", "ab")]), PLAIN)
    game.reset(0)
    game.step(number(0, 0, 0))
    shown = game.step(number(0, 0, 0))
    assert shown.truncated.tolist() == [True, True, False] == (~shown.terminated).tolist()
    limited = Limited(
        ParallelHostEnv(lambda: Script("ab", [("b", "a", ""), ("b", "", "")]), PLAIN), 2
    )
    limited.reset(0)
    first, last = (limited.step(number(0, 0, 0)) for _ in range(2))
    assert not first.done and not first.truncated.any()
    assert last.truncated.tolist() == [False, True, False]
    assert last.terminated.tolist() == [True, False, True] and last.done


def test_those_who_never_appear_are_gone_from_the_start():
    steps = [("ab", "", ""), ("", "ab", "")]
    games = [
        ParallelHostEnv(lambda: Script("ab", steps), PLAIN),
        AECHostEnv(lambda: parallel_to_aec(Script("ab", steps)), PLAIN),
    ]
    for game in games:
        shown = [game.reset(0)]
        while not shown[-1].done:
            shown.append(game.step(number(0, 0, 0)))
        assert all(s.terminated.tolist() == [False, False, True] for s in shown[:-1])
        assert shown[-1].terminated.all() and not any(s.truncated.any() for s in shown)


def test_who_leaves_without_a_word_was_taken_out():
    game = ParallelHostEnv(
        lambda: Script("ab", [("b", "", ""), ("b", "", ""), ("", "b", "")]), PLAIN
    )
    game.reset(0)
    shown = [game.step(number(0, 0, 0)) for _ in range(3)]
    assert [s.truncated[:2].tolist() for s in shown] == [[True, False]] * 3
    assert [s.terminated[:2].tolist() for s in shown] == [[False, False]] * 2 + [[False, True]]
    assert [bool(s.done) for s in shown] == [False, False, True]


@pytest.mark.parametrize("left", [("b", "a", ""), ("b", "", "a")])
def test_an_agent_that_comes_back_begins_anew(left):
    steps = [left, ("ab", "", ""), ("ab", "", "")]
    game = ParallelHostEnv(lambda: Script("ab", steps), View(frame_stack=2))
    game.reset(0)
    shown = [game.step(number(0, 0, 0)) for _ in steps]
    assert [s.ended[0] for s in shown] == [True, False, False]
    assert [s.terminated[0] for s in shown] == [left[1] == "a", False, False]
    frames = [s.obs[0].reshape(2, 2)[:, 0].tolist() for s in shown]
    assert frames == [[0, 1], [2, 2], [2, 3]]


def test_an_agent_says_that_it_lives_and_is_not_to_act():
    """As a unit that has fallen while its team plays on does."""

    class Fallen(Script):
        def step(self, actions):
            *out, infos = super().step(actions)
            return *out, {a: {"active": a != "a"} for a in infos}

    steps = [("ab", "", ""), ("ab", "", ""), ("", "ab", "")]
    game = ParallelHostEnv(lambda: Fallen("ab", steps), PLAIN)
    shown = [game.reset(0)] + [game.step(number(1, 1, 1)) for _ in steps]
    assert [s.active[:2].tolist() for s in shown] == [[True, True]] + [[False, True]] * 2 + [
        [False, False]
    ]
    assert [s.terminated[0] for s in shown] == [False, False, False, True]
    assert [s.reward[0] for s in shown] == [0, 10, 20, 30]  # its team's, to the end


def test_masks_while_agents_die():
    steps = [("ab", "", ""), ("b", "a", ""), ("b", "", ""), ("", "", "b")]
    world = Script("ab", steps, masks=True)
    game = ParallelHostEnv(lambda: world, PLAIN)
    assert game.facts.masked and game.facts.obs_sizes == (2, 2, 2)
    idle = [True, False, False]
    shown = [game.reset(0)] + [game.step(number(1, 2, 0)) for _ in steps]
    for time, s in enumerate(shown):
        legal = np.roll([True, True, False], time).tolist()
        assert s.action_mask[0].tolist() == (legal if time < 2 else idle)
        assert s.action_mask[1].tolist() == legal  # also where the limit cuts: it is valued there
        assert s.action_mask[2].tolist() == idle
    assert world.given[-1] == {"b": 2}


def test_knights_archers_zombies_steps_alike():
    pytest.importorskip("pygame")
    from pettingzoo.butterfly import knights_archers_zombies_v11 as module

    settings = {"spawn_delay": 3, "max_cycles": 200, "max_zombies": 30}
    world = module.parallel_env(**settings)
    game = make_host_env("pettingzoo:knights_archers_zombies", settings, PLAIN)
    agents, rng, died = world.possible_agents, np.random.default_rng(0), False
    assert game.facts.limit == 200
    for seed in range(2):
        raw, _ = world.reset(seed=seed)
        shown, alive = game.reset(seed), set(world.agents)
        while not shown.done:
            action = rng.integers(0, 6, len(agents)).astype(np.int32)
            told = {a: int(action[i]) for i, a in enumerate(agents) if a in alive}
            raw, rewards, terminations, _, _ = world.step(told)
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
    game = make_host_env("pettingzoo:pistonball", {"n_pistons": 4, "max_cycles": 3}, view)
    assert game.facts.images == ((16, 16, 2),) and game.facts.state_size == 0
    assert (game.facts.low, game.facts.high) == (-1, 1)
    shown = game.reset(0)
    assert shown.obs.shape == (4, 512) and 0 < shown.obs.mean() < 1
    for _ in range(3):
        shown = game.step(np.ones((4, 1), np.float32))
    assert shown.truncated.all() and shown.obs.max() <= 1.0001


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
    module = importlib.import_module(f"pettingzoo.classic.{name}")
    world, game = module.env(), make_host_env(f"pettingzoo:{name}", {}, PLAIN)
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
        assert shown[-1].done and shown[-1].terminated.all() and not shown[-1].truncated.any()
    assert {(1.0, -1.0), (-1.0, 1.0)} <= winners


def test_an_illegal_move_ends_the_game():
    pytest.importorskip("pygame")
    game = make_host_env("pettingzoo:tictactoe", {}, PLAIN)
    game.reset(0)
    game.step(number(4, 0))
    shown = game.step(number(0, 4))
    assert shown.done and shown.terminated.all() and shown.reward.tolist() == [0, -1]


@pytest.mark.parametrize(("limit", "deadly"), [(9, True), (5, True), (4, False), (6, False)])
def test_turns_with_a_death_and_a_limit(limit, deadly):
    totals, turns = by_hand(Hats(limit, deadly), 0, lambda seen: 4)
    world = Hats(limit, deadly)
    game = AECHostEnv(lambda: world, PLAIN)
    shown, earned = replayed(game, 0, turns, first=3)
    assert earned == totals and len(turns) == limit
    for (agent, _, seen), s in zip(turns, shown):
        np.testing.assert_array_equal(s.obs[game.facts.agents.index(agent)], seen)
    assert all(agent == turn for agent, turn in world.observed)
    end = shown[-1]
    assert end.done and not end.active.any()
    assert end.terminated.tolist() == [False, deadly, False]
    assert end.truncated.tolist() == [True, not deadly, True]
    assert end.obs[0].tolist() == [limit, 0]  # everyone sees how it ended
    assert all(s.active.sum() == 1 and not s.truncated.any() for s in shown[:-1])


def test_one_of_those_who_take_turns_is_cut_alone():
    class Sent(Hats):
        """`b` is sent away in its second turn."""

        def step(self, action):
            super().step(action)
            if self.turn == 5 and "b" in self.terminations:
                self.terminations["b"], self.truncations["b"] = False, True

    game = AECHostEnv(lambda: Sent(9, deadly=False), PLAIN)
    shown = [game.reset(0)]
    while not shown[-1].done:
        shown.append(game.step(number(0, 0, 0)))
    cut = [s.truncated.tolist() for s in shown]
    assert cut == [[False] * 3] * 5 + [[False, True, False]] * 4 + [[True, True, True]]
    assert not any(s.terminated.any() for s in shown)
    assert [s.active.tolist().index(True) for s in shown[:-1]] == [0, 1, 2, 0, 1, 2, 0, 2, 0]
    assert shown[5].obs[1].tolist() == [5, 1]  # what it is valued from


def test_those_who_wait_keep_what_they_saw():
    game = AECHostEnv(lambda: Hats(9, deadly=False), PLAIN)
    shown = [game.reset(0)] + [game.step(number(0, 0, 0)) for _ in range(5)]
    times = [s.obs[:, 0].astype(int).tolist() for s in shown]
    assert game.facts.masked
    for turn, s in enumerate(shown):
        due = [i == turn % 3 for i in range(3)]
        assert s.active.tolist() == due
        assert s.action_mask.tolist() == [[True, mine] for mine in due]
    assert times == [[0, 0, 0], [0, 1, 0], [0, 1, 2], [3, 1, 2], [3, 4, 2], [3, 4, 5]]


def test_parallel_and_turn_based_earn_the_same():
    steps = [("ab", "c", ""), ("b", "a", ""), ("b", "", ""), ("", "", "b")]
    both = [
        ParallelHostEnv(lambda: Script("abc", steps), PLAIN),
        AECHostEnv(lambda: parallel_to_aec(Script("abc", steps)), PLAIN),
    ]
    ends = []
    for game in both:
        shown = [game.reset(0)]
        while not shown[-1].done:
            shown.append(game.step(number(0, 0, 0)))
        total = np.sum([s.reward for s in shown], 0)
        ends.append((total.tolist(), shown[-1].terminated.tolist(), shown[-1].truncated.tolist()))
    truth = [30, 11 + 21 + 31 + 41, 12], [True, False, True], [False, True, False]
    assert ends[0] == ends[1] == truth


def test_mpe2_turn_by_turn():
    module = importlib.import_module("mpe2.simple_spread_v3")
    rng = np.random.default_rng(0)
    totals, turns = by_hand(module.env(max_cycles=6), 4, lambda seen: int(rng.integers(5)))
    game = AECHostEnv(lambda: module.env(max_cycles=6), PLAIN)
    assert game.facts.limit == 18 == len(turns)
    shown, earned = replayed(game, 4, turns)
    for agent, total in totals.items():
        np.testing.assert_allclose(earned[agent], total, rtol=1e-5)
    assert shown[-1].truncated.all() and not any(s.done for s in shown[:-1])


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
    game = ParallelHostEnv(lambda: Pair(state=state), PLAIN)
    shown = game.reset(0)
    assert game.facts.state_size == size
    if size:
        assert shown.global_state.dtype == np.float32 and shown.global_state.tolist() == [*range(6)]
    else:
        assert shown.global_state is None


@pytest.mark.parametrize("task", ["gymnasium:CartPole-v1", "mpe2:simple_v3"])
def test_pictures(task):
    pytest.importorskip("pygame")
    build = HostWorld(task).build
    with contextlib.closing(build(drawn=True)) as game:
        game.reset(0)
        image = game.render()
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert image.std() > 0
    with contextlib.closing(build()) as plain:  # drawn, some worlds simulate more than they show
        plain.reset(0)
        with pytest.raises(UserError, match=r"draws? "):
            plain.render()


# Worlds that do not draw by the seed that they are given


class Draws(gymnasium.Env):
    """Shows numbers of its own source of chance."""

    def __init__(self, source: str):
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(1000)
        self.draw = {
            "np_random": lambda: self.np_random.random(),
            "numpy": np.random.random,
            "random": random.random,
            "action_space": lambda: self.action_space.sample() / 1000,
            "observation_space": lambda: float(self.observation_space.sample()[0]),
        }[source]
        self.time = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.array([self.draw()], np.float32), {}

    def step(self, action):
        self.time += 1
        return np.array([self.draw()], np.float32), 0.0, self.time >= 3, False, {}


@pytest.mark.parametrize("in_process", [False, True])
@pytest.mark.parametrize(
    "source", ["np_random", "numpy", "random", "action_space", "observation_space"]
)
def test_every_source_of_chance_is_seeded(source, in_process):
    def trace() -> np.ndarray:
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        made = functools.partial(Draws, source)
        env = shoal.from_gymnasium(made, name="draws", in_process=in_process, workers=1)
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        with env.vector(2) as worlds:
            seen = [worlds.reset(np.arange(2)).obs.copy()]
            for _ in range(5):
                successor, shown = worlds.step(np.zeros((2, 1), np.int32))
                seen += [successor.obs.copy(), shown.obs.copy()]
        return np.stack(seen)

    first = trace()
    np.testing.assert_array_equal(first, trace())
    assert len(np.unique(first)) > 8


def test_seeds_fit_into_an_int32():
    seeds = [int(x) for key in range(50) for x in seeds_of(jax.random.key(key), 8)]
    seeds += [episode_seed(seed, 3) for seed in seeds]
    assert min(seeds) >= 0 and 2**30 < max(seeds) < 2**31


class LateMask(Draws):
    def step(self, action):
        observation, *rest, info = super().step(action)
        return observation, *rest, info | {"action_mask": np.ones(1000, bool)}


def test_a_mask_that_comes_late_is_refused():
    game = GymnasiumHostEnv(functools.partial(LateMask, "np_random"), PLAIN)
    game.reset(0)
    with pytest.raises(UserError, match="agent has an action_mask in its info, and nobody had one"):
        game.step(number(0))
