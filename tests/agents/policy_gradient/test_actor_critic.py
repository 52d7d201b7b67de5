"""What the actor-critic makes of a trajectory: values of true successors, samples that weigh
nothing, and a family that differs by arguments alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import AnyProbe, DyingAgent, Probe, ProbeState, TakingTurns, collect

from shoal.agents.policy_gradient.a2c import a2c
from shoal.agents.policy_gradient.ppo import PPO, ippo, mappo
from shoal.core.errors import UserError


class Drifting(Probe):
    """A time limit of 2 to 4 steps, and observations that tell steps and episodes apart."""

    limit = True

    def _show(self, state: ProbeState, reward):
        timestep = super()._show(state, reward)
        over = jnp.full(2, state.time >= 2 + state.cue.sum())
        return eqx.tree_at(lambda t: t.truncated, timestep, over)

    def obs(self, state):
        return self._see(state.time + 0.1 * state.cue, state.told)

    def reward(self, state, action):
        return 1.0 * action


@pytest.mark.parametrize("recurrent", [0, 5])
@pytest.mark.parametrize("critic", ["local", "global", "both"])
def test_values_of_successors_are_those_of_the_state_before_a_reset(recurrent, critic):
    """Against every value computed by itself, one environment and one step at a time."""
    algorithm = PPO(hidden=(4,), recurrent=recurrent, critic=critic)
    state, trajectory = collect(algorithm, Drifting(), num_envs=3, unroll=7)
    steps, network = trajectory.transitions, state.params["critic"]
    assert 0 < steps.successor.done.sum() < steps.successor.done.size
    ours = jax.jit(algorithm._successor_values)(state, trajectory)
    step = eqx.filter_jit(network.step)
    for b in range(3):
        carry = _pick(trajectory.carry[1], slice(b, b + 1))
        for t in range(7):
            _, carry = step(_pick(steps.timestep, t, slice(b, b + 1)), carry)
            successor = _pick(steps.successor, t, slice(b, b + 1))
            np.testing.assert_allclose(
                ours[t, b], step(successor, carry)[0][0], rtol=1e-4, atol=1e-6
            )
            if successor.done[0]:
                carry = _pick(network.initial_carry(), None)


def _pick(tree, *index):
    return jax.tree.map(lambda x: x[index], tree)


def numbers(tree) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def updated(algorithm, state, trajectory) -> np.ndarray:
    """All parameters after one update."""
    return numbers(jax.jit(algorithm.learn)(state, trajectory, jax.random.key(1))[0].params)


def test_a2c_is_the_first_step_of_ppo():
    ppo = ippo(hidden=(4,), epochs=1, minibatches=1)
    state, trajectory = collect(ppo, Drifting(), num_envs=3, unroll=7)
    before = numbers(state.params)
    after = updated(ppo, state, trajectory)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(
        updated(a2c(hidden=(4,)), state, trajectory), after, rtol=1e-5, atol=1e-6
    )


def test_the_family_differs_by_arguments():
    assert (ippo().critic, mappo().critic) == ("local", "global")
    assert ippo(critic="global") == mappo()
    assert a2c(learning_rate=0.5).learning_rate == 0.5


@pytest.mark.parametrize("probe", [DyingAgent, TakingTurns])
def test_what_an_inactive_agent_does_sees_and_after_its_end_is_paid_weighs_nothing(probe):
    algorithm = ippo(hidden=(4,), minibatches=1, epochs=2)
    state, trajectory = collect(algorithm, AnyProbe.of(probe), num_envs=4, unroll=8)
    steps = trajectory.transitions
    idle, dead = ~steps.timestep.active, steps.timestep.terminated
    assert idle.any() and dead.any() == (probe is DyingAgent)

    def spoil(x, where, garbage):
        return jnp.where(where.reshape(where.shape + (1,) * (x.ndim - 3)), garbage, x)

    spoiled = eqx.tree_at(
        lambda t: (
            t.transitions.action,
            t.transitions.extras["log_prob"],
            t.transitions.timestep.obs,
            t.transitions.extras["value"],
            t.transitions.successor.reward,
        ),
        trajectory,
        (
            spoil(steps.action, idle, 2),
            spoil(steps.extras["log_prob"], idle, -3.0),
            spoil(steps.timestep.obs, dead, 7.0),
            spoil(steps.extras["value"], dead, 9.0),
            spoil(steps.successor.reward, dead, -99.0),
        ),
    )
    expected = updated(algorithm, state, trajectory)
    np.testing.assert_allclose(updated(algorithm, state, spoiled), expected, rtol=1e-5, atol=1e-6)


def test_a_reward_that_is_not_finite_costs_one_update_and_no_more():
    """All of it for the actor, whose advantages are centred over the batch; of the critic's steps
    those that see it."""
    algorithm = ippo(hidden=(4,), minibatch_of="environments")
    state, good = collect(algorithm, Drifting(), num_envs=4, unroll=7)
    reward = lambda t: t.transitions.successor.reward  # noqa: E731
    bad = eqx.tree_at(reward, good, reward(good).at[3, 1, 0].set(jnp.nan))
    learn = jax.jit(algorithm.learn)
    after, metrics = learn(state, bad, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, after.params["actor"], state.params["actor"])
    jax.tree.map(np.testing.assert_array_equal, after.kept, state.kept)
    assert metrics["skipped_in_a_row"] == metrics["skipped_updates"] == 16  # 4 epochs of 4 parts
    assert after.optimizers["critic"].skipped == 4
    later, metrics = learn(after, good, jax.random.key(2))
    assert metrics["skipped_in_a_row"] == 0 and np.isfinite(metrics["loss"])
    assert np.isfinite(numbers(later.params)).all()
    assert np.abs(numbers(later.params["actor"]) - numbers(state.params["actor"])).max() > 0


def test_advantages_have_the_units_of_their_batch_or_of_the_critic():
    made = {}
    for batch in (True, False):
        for values in (True, False):
            algorithm = ippo(hidden=(4,), normalise_advantages=batch, normalise_values=values)
            state, trajectory = collect(algorithm, Drifting(), num_envs=3, unroll=7)
            made[batch, values] = algorithm.targets(state, trajectory)
    value = trajectory.transitions.extras["value"]
    (by_batch, _), (by_critic, returns), (plain, _) = (
        made[key] for key in [(True, True), (False, True), (False, False)]
    )
    np.testing.assert_allclose(plain.advantage, plain.target - value, rtol=1e-5, atol=1e-6)
    unit = float(returns.restore(jnp.ones((2, 1)))[0, 0] - returns.restore(jnp.zeros((2, 1)))[0, 0])
    assert abs(unit - 1.0) > 0.1
    np.testing.assert_allclose(by_critic.advantage * unit, plain.advantage, rtol=1e-4, atol=1e-5)
    centred = plain.advantage - plain.advantage.mean()
    np.testing.assert_allclose(by_batch.advantage, centred / centred.std(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"discount": 1.5}, "discount is 1.5, expected a number in"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected a positive number"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        PPO(**settings).check(Probe().spec)


def test_minibatches_must_divide_the_environments():
    learn = PPO(hidden=(4,), minibatches=2, minibatch_of="environments")
    with pytest.raises(UserError, match="num_envs is 3, expected a multiple of minibatches, which"):
        state, trajectory = collect(learn, Drifting(), num_envs=3, unroll=2)
        learn.learn(state, trajectory, jax.random.key(0))
