"""COMA: its gradient against the exact one, advantages and targets by hand, devices, a game."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec as P
from probes import collect

from shoal.agents.cooperative.coma import coma, counterfactual_advantage
from shoal.core.algorithm import Trajectory, Transition
from shoal.core.env import EnvSpec, TimeStep, settle, to_act_on
from shoal.core.errors import UserError
from shoal.core.parallel import AXIS, pmean
from shoal.core.spaces import Box, Discrete
from shoal.envs.cooperative.matrix import MatrixGame
from shoal.envs.cooperative.two_step import TwoStepGame

GAMMA, LAMBDA = 0.9, 0.5
PLAIN = dict(hidden=(), agent_id=False, discount=GAMMA, td_lambda=LAMBDA, normalise_values=False)


def spec(actions: int, state_size: int = 0) -> EnvSpec:
    space = Discrete((actions,) * 2)
    return EnvSpec("tiny", ("a", "b"), (1, 1), space, 10, state_size=state_size)


def steps(obs, **fields) -> TimeStep:
    """Steps of one environment, `[T, 1, N]`."""
    arrays = {name: jnp.asarray(x)[:, None] for name, x in fields.items()}
    return TimeStep.of(jnp.asarray(obs, jnp.float32)[:, None, :, None], **arrays)


def trajectory(before: TimeStep, action, after: TimeStep, carry=(None, (None,))) -> Trajectory:
    """As loops hand it on."""
    now, then = to_act_on(before), settle(before, after)
    transitions = Transition(now, jnp.asarray(action), {}, then)
    last = jax.tree.map(lambda x: x[-1], then)
    return Trajectory(transitions, carry, last, carry, jnp.float32(0))


def with_heads(state, actor_bias, critic_weight):
    """Policies of these logits whatever they see; a linear critic of these weights, which are
    those of what it reads first."""
    actor = lambda s: s.params["actor"].network.stack.head  # noqa: E731
    critic = lambda s: s.params["critic"].q.networks[0].stack.head.weight  # noqa: E731
    weight = jnp.zeros_like(critic(state)).at[:, : len(critic_weight)].set(critic_weight)
    bias = jnp.broadcast_to(jnp.asarray(actor_bias), actor(state).bias.shape)
    where = lambda s: (actor(s).weight, actor(s).bias, critic(s))  # noqa: E731
    return eqx.tree_at(where, state, (0 * actor(state).weight, bias, weight))


# Advantages.


def test_an_advantage_by_hand():
    """3 less the mean of 1 and 3; what is not legal is worth 99 and counts for nothing."""
    q, probs = jnp.array([[1.0, 3.0, 99.0]]), jnp.array([[0.25, 0.75, 0.0]])
    advantage = counterfactual_advantage(q, probs, jnp.array([1]))
    np.testing.assert_allclose(advantage, [3 - (0.25 * 1 + 0.75 * 3)], rtol=1e-6)


TEAM = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0], [2.0, 1.5, -0.5]])
OTHER = np.array([[-1.0, 0.5, 2.0], [1.0, -3.0, 0.0], [0.5, 1.0, -1.5]])


@pytest.mark.parametrize(
    ("sharing", "payoffs"), [("shared", (TEAM, TEAM)), ("independent", (TEAM, OTHER))]
)
def test_the_expected_gradient_is_that_of_the_expected_return(sharing, payoffs):
    """Over all joint actions of a game of one step, with a critic that is right: of what the team
    is paid, or of what each is paid by its own policy. The first agent's third action is not legal.
    """
    algorithm = coma(sharing=sharing, **PLAIN)
    state = algorithm.init(spec(3, state_size=1), jax.random.key(3))
    # The critic reads the state, what the first does and what the second does, without one's own.
    weight = jnp.concatenate([jnp.zeros((1, 3)), payoffs[1], payoffs[0].T]).astype(jnp.float32)
    state = with_heads(state, [0.3, -0.5, 0.2], weight)
    head = lambda s: s.params["actor"].network.stack.head.weight  # noqa: E731
    state = eqx.tree_at(head, state, jax.random.normal(jax.random.key(1), head(state).shape))

    joint = jnp.array(list(itertools.product(range(3), repeat=2)))
    m = len(joint)
    legal = jnp.ones((1, m, 2, 3), bool).at[:, :, 0, 2].set(False)
    paid = jnp.stack([jnp.asarray(x)[joint[:, 0], joint[:, 1]] for x in payoffs], -1)
    obs = jnp.broadcast_to(jnp.array([0.7, -1.2])[:, None], (1, m, 2, 1))
    seen = dict(action_mask=legal, global_state=jnp.ones((1, m, 1)))
    before = TimeStep.of(obs, **seen)
    after = TimeStep.of(obs, reward=paid[None], terminated=True, **seen)
    rollout = trajectory(before, joint[None], after)

    def probs(actor):
        return actor.unroll(before, None, jnp.zeros((1, m), bool)).probs[0, 0]

    def exact(actor):
        """Each agent's return by its own policy alone; per agent, as losses are."""
        first, second = probs(actor)
        still = jax.lax.stop_gradient
        return -(first @ payoffs[0] @ still(second) + still(first) @ payoffs[1] @ second) / 2

    actor = state.params["actor"]
    first, second = probs(actor)
    chance = first[joint[:, 0]] * second[joint[:, 1]]
    batch, _ = algorithm.targets(state, rollout)
    np.testing.assert_allclose(batch.target[0], paid, atol=1e-6)
    weight = jnp.broadcast_to(chance[None, :, None], (1, m, 2))
    batch = eqx.tree_at(lambda b: b.weight, batch, weight)
    loss = lambda params: algorithm.loss(params, batch, rollout.carry, 0.0)[0]  # noqa: E731
    ours, expected = jax.grad(loss)(state.params)["actor"], jax.grad(exact)(actor)
    assert max(np.abs(x).max() for x in jax.tree.leaves(expected)) > 0.1
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, atol=1e-6)


# Targets.

LOGITS = np.log([0.25, 0.75])
C = 0.25 * 2 + 0.75 * 4  # the mean of the values of the two actions, for each unit of the state


def state_of(algorithm):
    """A critic that says 2 and 4 times what both see together."""
    weight = jnp.broadcast_to(jnp.array([2.0, 4.0]), (2, 2))
    return with_heads(algorithm.init(spec(2), jax.random.key(0)), LOGITS, weight)


def test_targets_and_advantages_where_an_agent_is_cut_and_the_other_plays_on():
    """Agent 1 is cut by the second step and valued from its own last observation, 20; agent 0 plays
    on until it terminates. The fifth step is of the next episode, which does not end."""
    algorithm = coma(**PLAIN)
    before = steps(
        [(1, 2), (2, 3), (3, 99), (4, 99), (7, 8)],
        truncated=[(False, False), (False, False), (False, True), (False, True), (False, False)],
        active=[(True, True), (True, True), (True, False), (True, False), (True, True)],
    )
    after = steps(
        [(2, 3), (3, 20), (4, 99), (5, 99), (8, 9)],
        reward=[(1, 10), (2, 20), (3, 999), (4, 999), (5, 50)],
        terminated=[(False, False)] * 3 + [(True, False), (False, False)],
        truncated=[(False, False), (False, True), (False, True), (False, True), (False, False)],
        active=[(True, True), (True, False), (True, False), (True, False), (True, True)],
    )
    action = [[(0, 1)], [(1, 0)], [(1, 1)], [(0, 0)], [(1, 1)]]
    batch, _ = algorithm.targets(state_of(algorithm), trajectory(before, action, after))
    mix = lambda value, later: GAMMA * ((1 - LAMBDA) * C * value + LAMBDA * later)  # noqa: E731
    g3 = 4.0
    g2 = 3 + mix(4, g3)
    g1 = 2 + mix(3 + 20, g2)
    g0 = 1 + mix(2 + 3, g1)
    cut = 20 + GAMMA * C * 23
    other = 10 + mix(5, cut)
    np.testing.assert_allclose(batch.target[:4, 0, 0], [g0, g1, g2, g3], rtol=1e-5)
    np.testing.assert_allclose(batch.target[:2, 0, 1], [other, cut], rtol=1e-5)
    end = GAMMA * C * 17
    np.testing.assert_allclose(batch.target[4, 0], [5 + end, 50 + end], rtol=1e-5)
    active = [(1, 1), (1, 1), (1, 0), (1, 0), (1, 1)]
    np.testing.assert_array_equal(batch.weight[:, 0], active)
    np.testing.assert_array_equal(batch.alive[:, 0], active)
    worth = np.array([2.0, 4.0])
    seen = np.array([3.0, 5, 3, 4, 15])[:, None]
    advantage = seen * (worth[np.array(action)[:, 0]] - C)
    weight = np.array(active, bool)
    np.testing.assert_allclose(batch.advantage[:, 0][weight], advantage[weight], rtol=1e-5)


def test_a_successor_is_valued_with_what_the_others_would_do_there():
    """They did the first action, and now prefer the second, of which the critic thinks 7."""
    algorithm = coma(**PLAIN)
    weight = jnp.zeros((6, 2)).at[jnp.array([3, 5])].set(7.0)  # the second action of either
    state = with_heads(algorithm.init(spec(2), jax.random.key(0)), [0.0, 50.0], weight)
    before, after = steps([(1, 1)]), steps([(1, 1)], reward=[(1.0, 2.0)])
    batch, _ = algorithm.targets(state, trajectory(before, [[(0, 0)]], after))
    np.testing.assert_allclose(batch.target[0, 0], [1 + GAMMA * 7, 2 + GAMMA * 7], rtol=1e-5)
    np.testing.assert_allclose(batch.advantage[0, 0], [0, 0], atol=1e-5)


def test_out_of_turn_a_target_runs_on_and_what_the_end_leaves_open_weighs_nothing():
    algorithm = coma(**PLAIN)
    turns = [(True, False), (False, True), (True, False), (False, True)]
    before = steps([(1, 0), (0, 2), (3, 0)], active=turns[:3])
    after = steps([(0, 2), (3, 0), (0, 4)], active=turns[1:], reward=[(1, 10), (2, 20), (3, 30)])
    rollout = trajectory(before, [[(0, 1)]] * 3, after)
    batch, _ = algorithm.targets(state_of(algorithm), rollout)
    np.testing.assert_array_equal(batch.alive[:, 0], [(1, 0), (0, 1), (0, 0)])
    np.testing.assert_array_equal(batch.weight[:, 0], np.array(turns[:3]))
    np.testing.assert_allclose(batch.target[0, 0, 0], 1 + GAMMA * (2 + GAMMA * C * 3), rtol=1e-5)
    expected = 20 + GAMMA * (30 + GAMMA * C * 4)
    np.testing.assert_allclose(batch.target[1, 0, 1], expected, rtol=1e-5)


def test_values_are_learned_in_units_of_returns():
    """Targets at mean 0, deviation 1, and back again for the next ones."""
    algorithm = coma(**{**PLAIN, "normalise_values": True})
    state = state_of(algorithm)
    before, after = steps([(1, 2), (4, 5)]), steps([(3, 4), (5, 7)], reward=[(100, 200)] * 2)
    rollout = trajectory(before, [[(0, 1)], [(1, 0)]], after)
    batch, kept = algorithm.targets(state, rollout)
    np.testing.assert_allclose(batch.target.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(batch.target.std(), 1, rtol=1e-3)
    state = eqx.tree_at(lambda s: s.kept, state, kept)
    again, kept = algorithm.targets(state, rollout)
    mean, one = (float(state.kept.returns.restore(jnp.full((2, 1), x))[0, 0]) for x in (0.0, 1.0))
    expected = np.array([100, 200]) + GAMMA * (mean + (one - mean) * C * 12)
    target = kept.returns.restore(again.target[..., None])[..., 0]
    np.testing.assert_allclose(target[1, 0], expected, rtol=1e-4)


# Devices, and whole trainings.


def numbers(tree) -> np.ndarray:
    leaves = [x for x in jax.tree.leaves(tree) if x.dtype == jnp.float32]
    return np.concatenate([np.ravel(x) for x in leaves])


def test_two_devices_learn_what_one_does():
    """In a game that ends within the rollout, so that what is drawn in successors counts little:
    with sharp policies nothing."""
    algorithm = coma(hidden=(8,))
    state, rollout = collect(algorithm, TwoStepGame(), num_envs=4, unroll=6)
    bias = lambda s: s.params["actor"].network.stack.head.bias  # noqa: E731
    state = eqx.tree_at(bias, state, jnp.array([[0.0, 90.0]]))

    def learn(state, transitions, ends, progress):
        state, metrics = algorithm.learn(
            state, Trajectory(transitions, *ends, progress), jax.random.key(1)
        )
        return state, pmean(metrics)

    ends = (rollout.carry, rollout.last, rollout.last_carry)
    inputs = (state, rollout.transitions, ends, rollout.progress)
    mesh = jax.make_mesh((2,), (AXIS,), axis_types=(AxisType.Auto,))
    specs = (P(), P(None, AXIS), P(AXIS), P())
    two = jax.shard_map(learn, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False)
    one, two = jax.jit(learn)(*inputs), jax.jit(two)(*inputs)
    assert not np.allclose(numbers(one[0]), numbers(state))
    np.testing.assert_allclose(numbers(two[0]), numbers(one[0]), rtol=1e-5, atol=1e-6)
    for name, value in one[1].items():
        np.testing.assert_allclose(two[1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_recurrent_critic_goes_on_from_what_it_remembered():
    """The carry that acting hands on is the one that the critic's own unroll arrives at."""
    algorithm = coma(hidden=(4,), recurrent=3)
    state, rollout = collect(algorithm, MatrixGame(rounds=9), num_envs=3, unroll=5)
    critic, now = state.params["critic"], rollout.transitions.timestep
    carry = rollout.carry[1]
    pairs = critic.pair(now, rollout.transitions.action, now.active)
    for t in range(5):
        carry = critic.q.step(jax.tree.map(lambda x, t=t: x[t], pairs), carry)[1]
    assert np.abs(carry[0]).max() > 0.01
    np.testing.assert_allclose(rollout.last_carry[1][0], carry[0], atol=1e-6)


def test_it_compares_choices_alone():
    box = EnvSpec("tiny", ("a",), (1,), Box(-1.0, 1.0, (1,)), 10)
    with pytest.raises(UserError, match="coma compares discrete actions and tiny has others"):
        coma().check(box)
