"""PPO's variants, each by what it alone changes."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Coordination, Probe, TakingTurns, collect

from shoal.agents.policy_gradient.ppo import PPO, ippo
from shoal.core.errors import UserError
from shoal.core.spaces import Box
from shoal.math.policy_loss import sample_kl

KEY = jax.random.key(1)


class Counting(Probe):
    """Four steps, each paid by the action, in which observations tell steps apart."""

    length = 4

    def obs(self, state):
        return self._see(state.time + 0.1 * state.cue, state.told)

    def reward(self, state, action):
        return 1.0 * action


class Aim(Counting):
    """The same with numbers for actions."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=Box(-1.0, 1.0, (1, 1)))

    def step(self, key, state, action):
        state, timestep = super().step(key, state, jnp.zeros(2, jnp.int32))
        return state, eqx.tree_at(lambda t: t.reward, timestep, -(action[:, 0] ** 2))

    def legal(self, state):
        return None


def learned(algorithm, env=None, num_envs=8, unroll=4):
    """One update of a fresh learner: the state before, the state after and the metrics."""
    state, trajectory = collect(algorithm, env or Counting(), num_envs, unroll)
    after, metrics = jax.jit(algorithm.learn)(state, trajectory, KEY)
    return state, after, metrics


def numbers(tree) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def test_the_sampled_divergence_is_the_divergence_on_average():
    old, new = jax.nn.log_softmax(jax.random.normal(KEY, (2, 5)))
    exact = (jnp.exp(old) * (old - new)).sum()
    sampled = (jnp.exp(old) * sample_kl(new, old)).sum()  # over all actions of the old policy
    np.testing.assert_allclose(sampled, exact, rtol=1e-5)
    slope = jax.grad(lambda x: (jnp.exp(old) * sample_kl(jax.nn.log_softmax(x), old)).sum())(new)
    np.testing.assert_allclose(slope, jnp.exp(new) - jnp.exp(old), atol=1e-6)
    assert (sample_kl(new, old) >= 0).all()


def test_early_stop_freezes_the_policy_and_not_the_critic():
    """Each minibatch is the whole rollout. With a tiny target the second finds the first step too
    long: what follows is the critic's alone."""
    one = dict(hidden=(4,), minibatches=1, epochs=1, learning_rate=0.05)
    _, first, _ = learned(ippo(**one))
    for target, stays in ((1e-6, True), (10.0, False)):
        more = ippo(**{**one, "epochs": 3}, early_stop=True, target_kl=target)
        before, after, metrics = learned(more)
        # The first finds no divergence, the second does after its own step.
        twice = learned(ippo(**{**one, "epochs": 2}))[1]
        same = np.allclose(
            numbers(after.params["actor"]), numbers(twice.params["actor"]), atol=1e-6
        )
        assert same == stays
        moved = numbers(after.params["critic"]) - numbers(twice.params["critic"])
        assert np.abs(moved).max() > 1e-4
        assert metrics["kl"] > 0 and "kl_of_agents" not in metrics
        assert (numbers(before.params["actor"]) != numbers(first.params["actor"])).any()


def test_early_stop_is_each_groups_own():
    algorithm = ippo(hidden=(4,), sharing="independent", early_stop=True, target_kl=0.1)
    params = algorithm.init(Counting().spec, KEY).params
    frozen = {"actor": jnp.array([False, False]), "critic": jnp.array([False, False])}
    for kl, stopped in (([0.14, 0.2], [False, True]), ([0.16, 0.1], [True, True])):
        metrics = {"kl_of_agents": jnp.array(kl), "loss": jnp.float32(0)}
        frozen, metrics = algorithm.freeze(frozen, params, metrics)
        np.testing.assert_array_equal(frozen["actor"], stopped)  # and stays so
        assert not frozen["critic"].any() and list(metrics) == ["loss"]


def test_the_penalty_doubles_after_a_long_way_and_halves_after_a_short_one():
    for rate, factor in ((0.1, 2.0), (1e-6, 0.5)):
        algorithm = ippo(hidden=(4,), surrogate="penalty", learning_rate=rate)
        before, after, metrics = learned(algorithm)
        np.testing.assert_array_equal(before.params["kl_weight"], 1.0)
        np.testing.assert_array_equal(after.params["kl_weight"], factor)
        assert metrics["kl_weight"] == factor


def test_the_penalty_of_who_has_not_acted_stays():
    algorithm = ippo(hidden=(4,), surrogate="penalty", learning_rate=0.1, sharing="independent")
    _, after, _ = learned(algorithm, TakingTurns(), unroll=1)  # one step: the first agent's turn
    np.testing.assert_array_equal(after.params["kl_weight"], [2.0, 1.0])


def test_a_penalty_holds_the_policy_back():
    """Many passes over one rollout: without a hold it runs away, with one it stays at a distance
    that falls with the weight."""

    def way(weight):
        algorithm = ippo(hidden=(4,), surrogate="penalty", learning_rate=0.02, epochs=20)
        state, trajectory = collect(algorithm, Counting(), 8, 4)
        held = jnp.full(2, weight)
        state = eqx.tree_at(lambda s: s.params["kl_weight"], state, held)
        return float(jax.jit(algorithm.learn)(state, trajectory, KEY)[1]["kl"])

    assert way(100.0) < 0.1 * way(1e-3)


def test_recomputing_changes_nothing_in_the_first_pass_and_something_in_the_second():
    for epochs in (1, 2):
        results = []
        for recompute in (False, True):
            algorithm = PPO(
                hidden=(4,), epochs=epochs, minibatches=2, recompute_advantages=recompute,
                minibatch_of="environments", learning_rate=0.02,
            )  # fmt: skip
            results.append(numbers(learned(algorithm)[1]))
        same = np.abs(results[0] - results[1]).max() < 1e-5
        assert same == (epochs == 1)


@pytest.mark.parametrize("recurrent", [0, 3])
def test_recomputed_values_are_those_of_acting(recurrent):
    algorithm = PPO(hidden=(4,), recurrent=recurrent, critic="both")
    state, trajectory = collect(algorithm, Counting(), 4, 7)
    again = algorithm.revalue(state.params, trajectory).transitions.extras["value"]
    np.testing.assert_allclose(again, trajectory.transitions.extras["value"], atol=1e-5)


@pytest.mark.parametrize("by", ["environments", "steps"])
def test_each_pass_uses_each_sample_once(by):
    algorithm = ippo(hidden=(4,), minibatches=4, minibatch_of=by)
    state, trajectory = collect(algorithm, Counting(), 8, 6)
    batch, _ = algorithm.targets(state, trajectory)
    number = jnp.arange(48.0).reshape(6, 8, 1) + jnp.zeros(2)
    batch = eqx.tree_at(lambda b: (b.advantage, b.target), batch, (number, number))
    parts, _ = algorithm._parts(batch, trajectory.carry, KEY)
    assert parts.starts.shape == {"environments": (4, 6, 2), "steps": (4, 1, 12)}[by]
    np.testing.assert_array_equal(np.sort(parts.advantage[..., 0].ravel()), np.arange(48))
    np.testing.assert_array_equal(parts.advantage, parts.target)  # together
    if by == "steps":  # of all times
        assert len({int(x) // 8 for x in parts.advantage[0, 0, :, 0]}) > 2


def test_auto_takes_steps_where_environments_are_few():
    few, many = (ippo(minibatches=4)._by_steps(n) for n in (16, 32))
    assert few and not many and not ippo(minibatches=4, recurrent=4)._by_steps(16)


def test_a_deviation_that_depends_on_what_is_seen():
    algorithm = ippo(hidden=(8,), state_dependent_std=True, learning_rate=0.02, init_log_std=-1.0)
    before, after, _ = learned(algorithm, Aim())
    _, trajectory = collect(algorithm, Aim(), 8, 4)
    timestep = jax.tree.map(lambda x: x[:, 0], trajectory.transitions.timestep)
    width = [s.params["actor"](timestep, None)[0].log_std for s in (before, after)]
    np.testing.assert_allclose(width[0], -1.0, atol=0.05)
    assert np.ptp(np.asarray(width[1]), 0).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (dict(dual_clip=1.1), "dual_clip is 1.1, expected more than 1 \\+ clip, or 0 for none"),
        (dict(state_dependent_std=True), "is for actions in a box and Coordination has others"),
        (dict(minibatch_of="steps", recurrent=4), "which a recurrent network cannot learn from"),
    ],
)
def test_what_does_not_fit_is_one_line(settings, line):
    with pytest.raises(UserError, match=line):
        ippo(**settings).check(Coordination().spec)


@pytest.mark.parametrize("name", ["target_kl", "clip"])
def test_a_region_of_no_size_is_refused(name):
    with pytest.raises(UserError, match=f"{name} is 0.0, expected a positive number"):
        ippo(**{name: 0.0})


def test_more_minibatches_than_steps_are_one_line():
    algorithm = ippo(hidden=(4,), minibatches=33)
    with pytest.raises(UserError, match="minibatches is 33, expected at most the 32 steps"):
        learned(algorithm)
