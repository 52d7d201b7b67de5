"""Several choices at once, and boxes of several bounds: in PettingZoo, in files, in words."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from factored_world import Linear, Switchboard
from gymnasium import spaces
from pettingzoo.test import parallel_api_test, parallel_seed_test

from shoal import to_pettingzoo
from shoal.core.distributions import TanhNormal
from shoal.core.env import TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Box
from shoal.envs.host.parallel import ParallelHostEnv
from shoal.envs.host.views import View
from shoal.export.policy_function import policy_function

UNEVEN = Box(((0.0, -3.0), (2.0,)), ((1.0, 3.0), (10.0,)), (2, 1))


class Dials(Switchboard):
    """Numbers in place of choices; each is paid its sum."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=UNEVEN)

    def _plain(self, shown: TimeStep, reward) -> TimeStep:
        return dataclasses.replace(shown, action_mask=None, reward=reward)

    def reset(self, key):
        state, shown = Switchboard().reset(key)
        return state, self._plain(shown, jnp.zeros(2))

    def step(self, key, state, action):
        state, shown = Switchboard().step(key, state, jnp.zeros((2, 2), int))
        return state, self._plain(shown, (UNEVEN.clip(action) * UNEVEN.mask).sum(-1))


# PettingZoo.


@pytest.mark.parametrize("env", [Switchboard(), Switchboard(masked=False), Dials()])
def test_pettingzoo_accepts_the_spaces(env):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parallel_api_test(to_pettingzoo(env), num_cycles=40)
        parallel_seed_test(lambda: to_pettingzoo(env), num_cycles=20)


def test_factors_are_a_multidiscrete_and_a_tuple_of_masks():
    world = Switchboard()
    env = to_pettingzoo(world)
    assert env.action_space("caller") == spaces.MultiDiscrete([3, 4])
    assert env.action_space("operator") == spaces.MultiDiscrete([2])
    obs, _ = env.reset(seed=5)
    state, _ = world.reset(jax.random.split(jax.random.key(5))[1])
    line, word = obs["caller"]["action_mask"]
    assert line.tolist() == state.legal[0, :3].tolist() and line.sum() == 2
    assert word.tolist() == state.legal[0, 4:8].tolist() and word.sum() == 3
    assert [mask.tolist() for mask in obs["operator"]["action_mask"]] == [[1, 1]]
    for agent in env.agents:
        assert env.observation_space(agent).contains(obs[agent])
        env.action_space(agent).sample(obs[agent]["action_mask"])
    goal = {"caller": np.asarray(state.goal[0]), "operator": np.asarray(state.goal[1, :1])}
    _, rewards, *_ = env.step(goal)
    assert rewards == {"caller": 1.0, "operator": 1.0}


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ([0, 4], r"the action of caller is \[0 4\], expected whole numbers from 0, at most 2, 3"),
        ([0], r"is \[0\], expected"),
        ([0, -1], r"is \[ 0 -1\], expected"),
        ([0.0, 1.0], r"is \[0. 1.\], expected"),
        (0, "is 0, expected"),
    ],
)
def test_choices_outside_of_the_factors_are_refused(action, said):
    env = to_pettingzoo(Switchboard())
    env.reset(seed=0)
    with pytest.raises(UserError, match=said):
        env.step({"caller": action, "operator": [0]})


def test_what_is_handed_out_comes_back():
    """As one choice among all combinations, with the masks of the factors combined."""
    game = ParallelHostEnv(lambda: to_pettingzoo(Switchboard()), View())
    assert game.facts.action_sizes == (12, 2) and game.facts.masked
    shown = game.reset(0)
    assert shown.action_mask is not None and shown.action_mask[0].sum() == 2 * 3


def test_a_box_is_handed_out_with_the_bounds_of_each_dimension():
    env = to_pettingzoo(Dials())
    left, right = (env.action_space(agent) for agent in env.possible_agents)
    assert (left.low.tolist(), left.high.tolist()) == ([0, -3], [1, 3])
    assert (right.low.tolist(), right.high.tolist()) == ([2], [10])
    env.reset(seed=0)
    _, rewards, *_ = env.step({"caller": [0.5, 9.0], "operator": [7.5]})
    assert rewards == {"caller": 3.5, "operator": 7.5}
    env.reset(seed=0)
    said = r"the action of caller has shape \(1,\), expected finite .* 2 in \[0, 1\] x \[-3, 3\]"
    with pytest.raises(UserError, match=said):
        env.step({"caller": [0.5], "operator": [7.5]})
    game = ParallelHostEnv(lambda: to_pettingzoo(Dials()), View())
    assert Box(game.facts.low, game.facts.high, game.facts.action_sizes) == UNEVEN


# Files.


def answers(function, **inputs):
    """What an ONNX file says, by name."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from shoal.export.onnx_export import to_onnx

    session = onnxruntime.InferenceSession(to_onnx(function))
    assert {x.name for x in session.get_inputs()} == set(inputs)
    return dict(zip([x.name for x in session.get_outputs()], session.run(None, inputs)))


def played(env, count: int = 50):
    """A policy, what it sees in as many worlds, and its distribution."""
    policy = Linear.of(env.spec, jax.random.key(1))
    _, shown = jax.vmap(env.reset)(jax.random.split(jax.random.key(2), count))
    return policy, shown, policy(shown, None, jax.random.key(0))[0]


@pytest.mark.parametrize("masked", [False, True])
def test_a_file_says_the_probabilities_of_each_factor(masked):
    env = Switchboard(masked=masked)
    policy, shown, live = played(env)
    inputs = {"obs": np.asarray(shown.obs)}
    if masked:
        inputs["action_mask"] = np.asarray(shown.action_mask)
    out = answers(policy_function(policy, env), **inputs)
    assert out["action"].tolist() == live.mode().tolist()
    np.testing.assert_allclose(out["probs"], live.probs, atol=1e-5)
    for i, agent in enumerate(env.spec.agents):
        own = env.spec.action.part((i,))
        factors, options = own.num_factors, own.num_options
        mine = {"obs": inputs["obs"][:, i, : env.spec.obs_sizes[i]]}
        if masked:
            legal = env.spec.action.split(inputs["action_mask"])[:, i, :factors, :options]
            mine["action_mask"] = legal.reshape(len(legal), -1)
        out = answers(policy_function(policy, env, agent), **mine)
        assert out["action"].tolist() == live.mode()[:, i, :factors].tolist()
        np.testing.assert_allclose(out["probs"], live.probs[:, i, :factors, :options], atol=1e-5)


def test_a_file_clips_each_dimension_to_its_own_bounds():
    env = Dials()
    policy, shown, live = played(env)
    out = answers(policy_function(policy, env), obs=np.asarray(shown.obs))
    np.testing.assert_allclose(out["mean"], live.mean, atol=1e-5)
    np.testing.assert_allclose(out["std"], np.exp(live.log_std), rtol=1e-5)
    expected = np.clip(live.mean, UNEVEN.lows, UNEVEN.highs)
    assert (expected != live.mean)[:, 0, 0].any()
    np.testing.assert_allclose(out["action"], expected, atol=1e-5)
    out = answers(policy_function(policy, env, "operator"), obs=np.asarray(shown.obs[:, 1, :2]))
    np.testing.assert_allclose(out["action"], expected[:, 1, :1], atol=1e-5)


class Squashed(Linear):
    """Squashes what it says into the box."""

    def __call__(self, timestep, carry, key):
        normal, carry = super().__call__(timestep, carry, key)
        return TanhNormal.in_box(self.space, normal.mean / 5, normal.log_std), carry


def test_a_file_says_what_is_squashed_and_how():
    env = Dials()
    policy, shown, _ = played(env)
    squashed = Squashed(policy.weight, policy.space)
    live, _ = squashed(shown, None, jax.random.key(0))
    out = answers(policy_function(squashed, env), obs=np.asarray(shown.obs))
    np.testing.assert_allclose(out["action"], live.mode(), atol=1e-5)
    x = out["mean_before_tanh"]
    np.testing.assert_allclose(
        UNEVEN.center + UNEVEN.half_width * np.tanh(x), live.mode(), atol=1e-4
    )
    np.testing.assert_allclose(out["std_before_tanh"], np.exp(live.normal.log_std), rtol=1e-5)


# Words.


def test_cards_say_the_bounds_as_the_file_s_actions_are_arranged():
    from shoal.export.policy_card import _action_text, _actions

    card = _actions(Dials().spec, None)
    assert (card["low"], card["high"]) == ([[0, -3], [2, -1]], [[1, 3], [10, 1]])
    assert "the box goes from [[0.0, -3.0]" in _action_text(card)
    drawn = np.clip(np.full((5, 2, 2), 99.0), card["low"], card["high"])
    assert drawn[4].tolist() == [[1, 3], [10, 1]]
    card = _actions(Dials().spec, "operator")
    assert (card["low"], card["high"]) == (2.0, 10.0) and "is [2, 10]" in _action_text(card)
    card = _actions(Switchboard().spec, None)
    assert card["kind"] == "factored" and _action_text(card) == card["meaning"]


def test_info_says_what_agents_may_do(capsys, monkeypatch):
    from shoal import registry
    from shoal.cli import info
    from shoal.cli.arguments import Arguments

    for env, words in ((Switchboard(), ("3 x 4", "2")), (Dials(), ("2 in [0, 1] x [-3, 3]", ""))):
        monkeypatch.setattr(registry, "make", lambda name, env=env: env)
        info.run(Arguments.of(["mpe/simple"]))
        caller = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("  caller"))
        assert caller.endswith(words[0])
