"""Recordings against a walk that is followed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.core.picture import Circle
from shoal.recording.recording import record_act, running, short_names
from shoal.training.backend import record

MOVES = [1, 1, 0, 1, 1]  # the first agent reaches 2 with its fourth move


def places(episode, label):
    """Where the agent was in each picture."""
    shapes = [s for p in episode.pictures for s in p.shapes]
    return [s.x for s in shapes if isinstance(s, Circle) and s.label == label]


def test_a_greedy_walk_is_recorded_as_it_happened(recording):
    assert len(recording.episodes) == 2
    for episode in recording.episodes:
        np.testing.assert_array_equal(episode.rewards, [[m, 2 * m] for m in MOVES])
        np.testing.assert_array_equal(episode.returns[-1], [4, 8])
        np.testing.assert_array_equal(episode.returns[0], [0, 0])
        assert places(episode, "walker_0") == [0.0, 0.5, 1.0, 1.0, 1.5, 2.0]
        assert episode.terminated
        assert [p.messages["walker_1"] for p in episode.pictures] == [
            "",
            "go",
            "go",
            "",
            "go",
            "go",
        ]
        np.testing.assert_array_equal(episode.metrics["place"], [0.5, 1.0, 1.0, 1.5, 2.0])
    assert recording.mean_return == 6.0
    assert recording.colors == ("#e03131", "#1c7ed6")
    assert recording.reductions == {"moves": "sum", "place": "last"}
    assert (recording.algorithm, recording.seed) == ("two_of_three", 7)


def test_samples_differ_between_episodes_and_repeat_with_the_key(walk, two_of_three):
    first = record(two_of_three, walk, jax.random.key(3), episodes=6, greedy=False)
    second = record(two_of_three, walk, jax.random.key(3), episodes=6, greedy=False)
    rewards = [tuple(map(tuple, e.rewards.tolist())) for e in first.episodes]
    assert len(set(rewards)) > 1
    assert rewards == [tuple(map(tuple, e.rewards.tolist())) for e in second.episodes]


def test_a_controller_sees_the_state_and_time_runs_out(walk):
    """Moves while it is before 1, then stays: six steps, cut by the time limit."""

    def act(state, timestep, carry, key):
        return (state.x < 1.0).astype(jnp.int32), carry

    (episode,) = record_act(act, walk, jax.random.key(0), episodes=1).episodes
    assert places(episode, "walker_0") == [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert not episode.terminated


def test_no_episodes_is_an_error(walk, two_of_three):
    with pytest.raises(UserError, match="episodes is 0"):
        record(two_of_three, walk, jax.random.key(0), episodes=0)


def test_running_metrics():
    values = np.array([2.0, 1.0, 4.0, 1.0])
    assert running(values, "sum").tolist() == [2, 3, 7, 8]
    assert running(values, "mean").tolist() == [2, 1.5, 7 / 3, 2]
    assert running(values, "max").tolist() == [2, 2, 4, 4]
    assert running(values, "last").tolist() == [2, 1, 4, 1]


def test_short_names():
    names = ("adversary_0", "adversary_1", "agent_0", "speaker", "9")
    short = {
        "adversary_0": "0",
        "adversary_1": "1",
        "agent_0": "agent",
        "speaker": "speaker",
        "9": "9",
    }
    assert short_names(names) == short
