"""Every world through PettingZoo's own tests, and its numbers against the world itself."""

import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test
from pettingzoo.utils.conversions import parallel_to_aec
from probes import CutAgent, DyingAgent, FallenAlly, SpareAgent, TakingTurns

import shoal
from shoal import to_pettingzoo
from shoal.core.env import paid
from shoal.core.errors import UserError
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.views import View
from shoal.registry import ENVIRONMENTS

RULES_OF_THUMB = (
    "Agent's (minimum|maximum) observation space value is",  # a plane without walls has no bounds
    "Agents have different observation space sizes",  # a speaker and a listener do
    "Observations are different shapes",
    "Observation space for each agent probably should be",  # masks come in dictionaries
    "We recommend agents to be named in the format",  # first and second are names too
    "Observation is not a NumPy array",
    "Observation is a single number",  # one round of a game shows nothing
    "Observation numpy array is all zeros",  # nothing was played yet
)
"""What PettingZoo warns of that is as it should be."""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_api(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rule in RULES_OF_THUMB:
            warnings.filterwarnings("ignore", rule)
        parallel_api_test(to_pettingzoo(shoal.make(name)), num_cycles=60)
        api_test(parallel_to_aec(to_pettingzoo(shoal.make(name))), num_cycles=60)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_seeds(name):
    parallel_seed_test(lambda: to_pettingzoo(shoal.make(name)), num_cycles=40)


@pytest.mark.parametrize("name", ["mpe/simple_tag", "mpe/simple_speaker_listener", "game/kuhn"])
def test_numbers_are_those_of_the_world(name):
    world = shoal.make(name)
    env = to_pettingzoo(world)
    rng = np.random.default_rng(0)
    obs, infos = env.reset(seed=3)
    key, first = jax.random.split(jax.random.key(3))
    state, shown = jax.jit(world.reset)(first)
    step = jax.jit(world.step)
    for _ in range(world.spec.horizon):
        for i, agent in enumerate(env.possible_agents):
            seen = obs[agent] if name.startswith("mpe") else obs[agent]["observation"]
            assert np.array_equal(seen, shown.obs[i, : world.spec.obs_sizes[i]])
            assert infos[agent]["active"] == bool(shown.active[i])
        drawn = [int(rng.integers(n)) for n in world.spec.action.sizes]
        if name == "game/kuhn":
            drawn = [a if shown.active[i] else 0 for i, a in enumerate(drawn)]
        obs, rewards, terminated, truncated, infos = env.step(dict(zip(env.agents, drawn)))
        key, now = jax.random.split(key)
        state, shown = step(now, state, jnp.array(drawn))
        assert list(rewards.values()) == pytest.approx(np.asarray(shown.reward))
        if shown.done:
            ends = terminated if name == "game/kuhn" else truncated
            assert all(ends.values()) and env.agents == []
            break
    else:
        pytest.fail("the episode did not end")


@pytest.mark.parametrize("probe", [CutAgent, FallenAlly, SpareAgent, DyingAgent, TakingTurns])
def test_there_and_back_each_agent_ends_as_it_does_here(probe):
    """A world of Shoal's, handed out as PettingZoo's and taken in again, beside itself."""
    env, game = probe(), ParallelHostEnv(lambda: to_pettingzoo(probe()), View())
    key, first = jax.random.split(jax.random.key(3))
    state, now = jax.jit(env.reset)(first)
    shown, step, action = game.reset(3), jax.jit(env.step), np.array([1, 0], np.int32)
    for t in range(env.spec.horizon + 1):
        assert bool(shown.done) == bool(now.done) == (t == env.spec.horizon)
        assert shown.terminated.tolist() == now.terminated.tolist()
        assert shown.truncated.tolist() == now.truncated.tolist()
        assert shown.active.tolist() == (now.active & ~now.ended).tolist()
        seen = np.asarray(now.active) & ~shown.ended
        np.testing.assert_array_equal(shown.obs[seen], now.obs[seen])
        if t < env.spec.horizon:
            key, key_step = jax.random.split(key)
            before, last = now, jax.tree.map(np.copy, shown)
            state, now = step(key_step, state, jnp.asarray(action))
            shown = game.step(action)
            np.testing.assert_array_equal(paid(last, shown), paid(before, now))


def test_an_agent_that_is_cut_leaves_alone_and_the_fallen_stay():
    cut = to_pettingzoo(CutAgent())
    cut.reset(seed=0)
    ends, actions = [], {"a": 0, "b": 0}
    while cut.agents:
        _, rewards, terminations, truncations, _ = cut.step({a: 0 for a in cut.agents})
        assert not any(terminations.values()) and set(rewards.values()) == {1.0}
        ends.append(truncations)
    both, alone = {"a": False, "b": False}, {"b": False}
    assert ends == [both, both, {"a": True, "b": False}, alone, {"b": True}]
    team = to_pettingzoo(FallenAlly())
    team.reset(seed=0)
    _, _, terminations, truncations, infos = team.step(actions)
    assert infos["a"]["active"] is False and team.agents == ["a", "b"]
    assert not any(terminations.values()) and not any(truncations.values())
    spare = to_pettingzoo(SpareAgent())
    assert [*spare.reset(seed=0)[0]] == spare.agents == ["a"]


def test_continuous_actions_have_their_own_sizes():
    env = to_pettingzoo(shoal.make("mpe/simple_speaker_listener", continuous_actions=True))
    assert [env.action_space(a).shape for a in env.possible_agents] == [(3,), (5,)]
    env.reset(seed=0)
    env.step({a: env.action_space(a).sample() for a in env.agents})


def test_masks_follow_the_turns():
    env = to_pettingzoo(shoal.make("game/kuhn"))
    obs, _ = env.reset(seed=0)
    masks = [obs[a]["action_mask"].tolist() for a in env.possible_agents]
    assert masks == [[1, 1], [1, 0]]


def test_render_modes():
    def make(render_mode):
        return parallel_to_aec(to_pettingzoo(shoal.make("mpe/simple"), render_mode))

    render_test(make)
    env = to_pettingzoo(shoal.make("mpe/simple_spread"), "rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert image.shape == (480, 480, 3) and len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_state_is_the_worlds_own_or_all_observations():
    env = to_pettingzoo(shoal.make("mpe/simple_spread"))
    env.reset(seed=0)
    assert env.state().shape == env.state_space.shape == (env.spec.state_size,)
    tree = to_pettingzoo(shoal.make("game/kuhn"))
    tree.reset(seed=0)
    assert tree.state().shape == (12,)


def test_a_seed_is_an_episode_and_none_is_another():
    env = to_pettingzoo(shoal.make("mpe/simple_spread"))
    first, again, other = (env.reset(seed=s)[0]["agent_0"] for s in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not np.array_equal(env.reset()[0]["agent_0"], env.reset()[0]["agent_0"])


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ({"agent_0": 0, "agent_1": 0, "agnet_2": 0}, "did you mean 'agent_2'"),
        ({"agent_0": 0, "agent_1": 0}, "there is no action of agent_2"),
        (
            {"agent_0": 0, "agent_1": 0, "agent_2": 5},
            "agent_2 is 5, expected a whole number, 0 to 4",
        ),
        ({"agent_0": 0, "agent_1": 0, "agent_2": 0.5}, "agent_2 is 0.5, expected a whole number"),
    ],
)
def test_wrong_actions_change_nothing(actions, said):
    env = to_pettingzoo(shoal.make("mpe/simple_spread"))
    with pytest.raises(UserError, match="call reset before step"):
        env.step(actions)
    env.reset(seed=0)
    before = env.state()
    with pytest.raises(UserError, match=said):
        env.step(actions)
    assert np.array_equal(env.state(), before)


def test_an_unknown_render_mode_is_named():
    with pytest.raises(UserError, match="did you mean 'rgb_array'"):
        to_pettingzoo(shoal.make("mpe/simple"), "rgb_aray")


def test_without_pettingzoo_the_command_is_named():
    script = (
        "import sys; sys.modules['pettingzoo'] = None\n"
        "import shoal\n"
        "try:\n    shoal.to_pettingzoo\n"
        "except shoal.UserError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "PettingZoo is not installed: pip install 'shoal[pettingzoo]'\n"
