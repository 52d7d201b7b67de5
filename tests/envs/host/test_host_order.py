"""Worlds that list their agents in another order each time that they are made."""

import sys
from dataclasses import replace

import cloudpickle
import jax
import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv

import shoal
from shoal.core.errors import UserError
from shoal.envs.host.order import in_order_of
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.vector import HostVector, WorldFailed
from shoal.envs.host.views import View
from shoal.recording.host_recording import record_host

NUMBER = {"ant": 0, "bee": 1, "cat": 2, "adversary": 3}
SIZE = {"ant": 1, "bee": 2, "cat": 2, "adversary": 2}


class Crowd(ParallelEnv):
    """One step. Each agent sees its own number, and earns what it does plus ten times its number;
    it may do its number and whatever is below."""

    metadata = {"name": "crowd"}  # noqa: RUF012

    def __init__(self, order, state=None, boxes=False):
        self.possible_agents, self.agents, self._state = list(order), [], state
        self.boxes = boxes

    def observation_space(self, agent):
        return spaces.Box(0, 9, (SIZE[agent],), np.float32)

    def action_space(self, agent):
        if self.boxes:
            return spaces.Box(-NUMBER[agent] - 1.0, 50.0, (SIZE[agent],), np.float32)
        return spaces.Discrete(4)

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        return self._obs(), {a: {"action_mask": np.arange(4) <= NUMBER[a]} for a in self.agents}

    def step(self, actions):
        live, self.agents = self.agents, []
        rewards = {a: float(np.sum(actions[a])) + 10.0 * NUMBER[a] for a in live}
        dead = {a: a == "bee" for a in live}
        return self._obs(live), rewards, dead, {a: not dead[a] for a in live}, {}

    def state(self):
        return super().state() if self._state is None else self._state

    def _obs(self, agents=None):
        return {a: np.full(SIZE[a], NUMBER[a], np.float32) for a in agents or self.agents}


@pytest.fixture(autouse=True, scope="module")
def by_value():
    """Worker processes need not import this file, and so neither pytest nor JAX."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def game(*order, **more):
    return ParallelHostEnv(lambda: Crowd(order, **more), View())


FACTS = game(*NUMBER).facts
ACTION = np.array([0, 1, 1, 3], np.int32)  # in the order of `NUMBER`


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 3, 0, 2]])
def test_every_field_follows_its_agent(order):
    own = game(*NUMBER)
    other = in_order_of(FACTS, game(*[[*NUMBER][i] for i in order]))
    assert other.facts == FACTS and FACTS.roles == (0, 1, 1, 1) and FACTS.teams == (0, 0, 0, 1)
    for call in (lambda game: game.reset(0), lambda game: game.step(ACTION)):
        shown = call(other)
        for expected, seen in zip(call(own), shown):
            np.testing.assert_array_equal(seen, expected)
    assert shown.reward.tolist() == [0, 11, 21, 33]  # each did what was meant for it
    assert shown.terminated.tolist() == [False, True, False, False]


def test_bounds_of_boxes_follow_their_agents():
    own, other = game(*NUMBER, boxes=True), game("cat", "ant", "adversary", "bee", boxes=True)
    other = in_order_of(own.facts, other)
    assert other.facts == own.facts and own.facts.low == ((-1,), (-2, -2), (-3, -3), (-4, -4))
    other.reset(0)
    far = np.full((4, 2), -9, np.float32)  # clipped to each one's own box
    assert other.step(far).reward.tolist() == [-1, 10 - 4, 20 - 6, 30 - 8]


def test_a_game_in_the_right_order_is_left_alone():
    own = game(*NUMBER)
    assert in_order_of(FACTS, own) is own


def test_workers_keep_to_the_order_of_the_facts():
    """The fault: each process had an order of its own, and nobody looked."""

    def make():
        import os

        turn = os.getpid() % 4
        names = ["ant", "bee", "cat", "adversary"]
        return ParallelHostEnv(lambda: Crowd(names[turn:] + names[:turn]), View())

    with HostVector(make, FACTS, 3, workers=3) as worlds:
        assert len({pid % 4 for pid in worlds.pids}) > 1  # three pids in a row, or nearly
        worlds.reset(np.arange(3))
        successor, _ = worlds.step(np.tile(ACTION, (3, 1)))
        assert successor.reward.tolist() == [[0, 11, 21, 33]] * 3


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: game("ant", "bee"), "its agents are ant, bee, expected ant, bee, cat, adversary"),
        (
            lambda: game("adversary", "bee", "cat", "ant", state=np.zeros(3)),
            "its state_size are 3, expected 0",
        ),
    ],
)
def test_another_game_is_refused_in_a_line(other, said):
    with pytest.raises(UserError, match=said) as refused:
        in_order_of(FACTS, other())
    assert "\n" not in str(refused.value)


def test_a_worker_that_makes_another_game_is_named():
    facts = replace(FACTS, obs_sizes=(2, 2, 2, 2))
    make = lambda: ParallelHostEnv(lambda: Crowd(["ant", "bee", "cat", "adversary"]), View())  # noqa: E731
    said = (
        r"^environment 0 cannot be made: its obs_sizes are \(1, 2, 2, 2\), expected \(2, 2, 2, 2\)"
    )
    for in_process in (True, False):
        with pytest.raises(WorldFailed, match=said):
            HostVector(make, facts, 1, in_process=in_process)


def test_a_time_limit_of_its_own_is_no_other_game():
    assert in_order_of(replace(FACTS, limit=7), game(*NUMBER)).facts.limit == 0


def test_a_recording_keeps_to_the_order_too(monkeypatch):
    made = []

    class Turned(Crowd):
        """Each time that it is made it begins with the next agent."""

        def __init__(self):
            k = len(made) % 4
            made.append(k)
            super().__init__([*NUMBER][k:] + [*NUMBER][:k])

        def render(self):
            return np.zeros((2, 2, 3), np.uint8)

    env = shoal.from_pettingzoo(Turned, name="turned", in_process=True)
    assert env.spec.agents == tuple(NUMBER)
    recording = record_host(lambda s, t, carry, k: (ACTION, carry), env, jax.random.key(0), 1)
    assert recording.episodes[0].rewards.tolist() == [[0, 11, 21, 33]]
    assert len(made) == 2
