"""Targets, weights and schedules of Q-learning, on steps made by hand."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from shoal.agents.cooperative.iql import QLearning, iql
from shoal.agents.cooperative.vdn import SumMixer, vdn
from shoal.agents.experience import Experience
from shoal.agents.off_policy import OffPolicyState
from shoal.core.algorithm import Trajectory, Transition
from shoal.core.env import EnvSpec, TimeStep, settle, to_act_on
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.envs.particle.simple_spread import SimpleSpread
from shoal.nn.mixers import NoMixer, TeamMixer, agents_of_team
from shoal.training.on_device import OnDevice
from shoal.training.program import Program, stack

GAMMA = 0.9
N = 2


def spec(teams=(0, 0), state_size=0, action=None) -> EnvSpec:
    n = len(teams)
    action = action or Discrete((2,) * n)
    names = tuple(f"agent_{i}" for i in range(n))
    return EnvSpec("tiny", names, (1,) * n, action, 10, teams=teams, state_size=state_size)


def plain(make=iql, **settings) -> QLearning:
    """One linear layer, one environment a batch, no discounting of the learning rate."""
    defaults = dict(
        hidden=(), agent_id=False, discount=GAMMA, loss="squared", capacity=12, batch_size=8
    )
    defaults["update_ratio"] = 0.2  # one gradient step after the five steps of a rollout
    return make(**{**defaults, "learning_starts": 0, "anneal_learning_rate": False, **settings})


def head(networks) -> jax.Array:
    """Both weights of the one layer."""
    return networks["q"].stack.head.weight


def set_weights(
    state: OffPolicyState, online: tuple[float, float], target: tuple[float, float]
) -> OffPolicyState:
    """Q(o, 0) = w_0 o and Q(o, 1) = w_1 o, for the network and for the target network."""
    return eqx.tree_at(
        lambda s: [head(networks) for networks in (s.learned.params, s.learned.target)],
        state,
        [jnp.array([[online]], jnp.float32), jnp.array([[target]], jnp.float32)],
    )


def hand_made(state: OffPolicyState) -> OffPolicyState:
    """The network prefers action 1 where o > 0; the target network gives it 10 o, action 0 3 o."""
    return set_weights(state, (1.0, 2.0), (3.0, 10.0))


def timesteps(obs, reward, terminated, truncated, active, mask=None, global_state=None) -> TimeStep:
    """From lists `[T][N]`; of one environment."""

    def array(x, dtype):
        return jnp.asarray(x, dtype)[:, None]

    return TimeStep(
        obs=array(obs, jnp.float32)[..., None],
        reward=array(reward, jnp.float32),
        terminated=array(terminated, bool),
        truncated=array(truncated, bool),
        active=array(active, bool),
        action_mask=None if mask is None else array(mask, bool),
        global_state=None if global_state is None else array(global_state, jnp.float32),
        metrics={},
    )


YES, NO = (True, True), (False, False)

# Five steps. Step 1 runs into the time limit at (10, 20), and (3, 4) is what a reset shows; in step
# 2 agent 1 terminates, in step 3 agent 0 too, and (7, 8) is what a reset shows. What step 3 pays
# agent 1 is no longer its own.
OBS = [(1, 2), (2, 3), (3, 4), (4, 5), (7, 8)]
NEXT_OBS = [(2, 3), (10, 20), (4, 5), (6, 6), (8, 9)]
REWARD = [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)]
TERMINATED = [NO, NO, (False, True), YES, NO]
TRUNCATED = [NO, YES, NO, NO, NO]
ACTIVE = [YES, YES, YES, (True, False), YES]
NEXT_ACTIVE = [YES, YES, YES, (False, True), YES]  # whatever it says: who terminated is out
ACTIONS = [(0, 1), (1, 0), (0, 0), (1, 1), (0, 1)]


def trajectory(progress=0.0, carry=None, **changes) -> Trajectory:
    """The five steps as loops hand them on, with changes to the successors' fields or, as `now_*`,
    the steps' own."""
    none = np.zeros((5, N), bool)
    before = [NO, NO, NO, (False, True), NO]
    now = dict(obs=OBS, reward=none, terminated=before, truncated=none, active=ACTIVE)
    then = dict(
        obs=NEXT_OBS, reward=REWARD, terminated=TERMINATED, truncated=TRUNCATED, active=NEXT_ACTIVE
    )
    now |= {k[4:]: v for k, v in changes.items() if k.startswith("now_")}
    then |= {k: v for k, v in changes.items() if not k.startswith("now_")}
    action = jnp.asarray(ACTIONS, jnp.int32)[:, None]
    now_steps, then_steps = timesteps(**now), timesteps(**then)
    then_steps = settle(now_steps, then_steps)
    last = jax.tree.map(lambda x: x[-1], then_steps)
    transitions = Transition(to_act_on(now_steps), action, (carry, None), then_steps)
    return Trajectory(transitions, None, last, None, jnp.float32(progress))


def experience(algorithm: QLearning, trajectory: Trajectory, environment=None):
    state = hand_made(algorithm.init(environment or spec(), jax.random.key(0)))
    reads_state = algorithm.reads_state(state.learned.params)
    return state, Experience.of(trajectory, state.spec, reads_state)


def targets(algorithm: QLearning, trajectory: Trajectory, environment=None):
    state, batch = experience(algorithm, trajectory, environment)
    returns, weight = algorithm.targets(state.learned, batch)
    return returns[:, 0], weight[:, 0], batch, state


# Targets.

INDEPENDENT = np.array(
    [
        (1 + 9 * 2, 10 + 9 * 3),  # 0.9 * 10 o' = 9 o'
        (2 + 9 * 10, 20 + 9 * 20),  # the time limit: bootstrap, from before the reset
        (3 + 9 * 4, 30),  # agent 1 terminated
        (4, 0),  # both have
        (5 + 9 * 8, 50 + 9 * 9),
    ]
)


def test_each_agents_target_by_hand():
    returns, weight, _, _ = targets(plain(), trajectory())
    np.testing.assert_allclose(returns, INDEPENDENT, rtol=1e-6)
    np.testing.assert_array_equal(weight, np.array(ACTIVE))


def test_a_team_is_paid_the_mean_and_bootstraps_from_the_sum_of_those_still_acting():
    returns, weight, _, _ = targets(plain(vdn), trajectory())
    expected = [5.5 + 9 * 5, 11 + 9 * 30, 16.5 + 9 * 4, 2, 27.5 + 9 * 17]
    np.testing.assert_allclose(returns[:, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(weight, np.ones((5, 1)))


def test_rewards_stay_within_a_team():
    returns, _, _, _ = targets(plain(vdn), trajectory(), spec(teams=(1, 0)))
    np.testing.assert_allclose(returns, INDEPENDENT[:, ::-1], rtol=1e-6)


def test_a_time_limit_never_bootstraps_from_the_reset():
    """What a reset shows, and whatever else an episode sees later, changes no target before it."""
    later = trajectory(now_obs=[*OBS[:2], (1000, 1000), *OBS[3:]])
    np.testing.assert_allclose(targets(plain(), later)[0], INDEPENDENT, rtol=1e-6)


def test_an_end_belongs_to_the_step_that_led_to_it():
    """Terminations one step late, or one early, give other targets: the check above can fail."""
    for shift in (-1, 1):
        moved = np.roll(np.array(TERMINATED), shift, 0)
        assert not np.allclose(targets(plain(), trajectory(terminated=moved))[0], INDEPENDENT)


@pytest.mark.parametrize("double, worth", [(True, 3), (False, 10)])
def test_who_picks_the_action_that_values_a_successor(double, worth):
    """The network prefers action 1 and the target network action 0: to it 3 o and 10 o."""
    algorithm = plain(double=double)
    state = algorithm.init(spec(), jax.random.key(0))
    state = set_weights(state, (1.0, 2.0), (10.0, 3.0))
    batch = Experience.of(trajectory(), state.spec, False)
    returns, _ = algorithm.targets(state.learned, batch)
    expected = [1 + 0.9 * worth * 2, 10 + 0.9 * worth * 3]
    np.testing.assert_allclose(returns[0, 0], expected, rtol=1e-6)


def test_illegal_actions_of_the_successor_are_not_its_best():
    mask = np.ones((5, N, 2), bool)
    mask[0, 0] = [True, False]
    returns, *_ = targets(plain(), trajectory(mask=mask))
    expected = INDEPENDENT.astype(float)
    expected[0, 0] = 1 + 0.9 * 3 * 2
    np.testing.assert_allclose(returns, expected, rtol=1e-6)


def test_longer_horizons_stop_at_ends():
    """With lambda 1, steps 0 and 1 look to the time limit, and steps 2 and 3 to the true end."""
    returns, *_ = targets(plain(td_lambda=1.0), trajectory())
    np.testing.assert_allclose(returns[0], 0.9 * INDEPENDENT[1] + REWARD[0], rtol=1e-6)
    np.testing.assert_allclose(returns[1], INDEPENDENT[1], rtol=1e-6)
    np.testing.assert_allclose(returns[2], [3 + 0.9 * 4, 30], rtol=1e-6)


def test_returns_of_two_steps_look_two_steps_ahead():
    returns, weight, *_ = targets(plain(n_step=2), trajectory())
    np.testing.assert_allclose(returns[0], 0.9 * INDEPENDENT[1] + REWARD[0], rtol=1e-6)
    np.testing.assert_allclose(returns[1], INDEPENDENT[1], rtol=1e-6)
    np.testing.assert_allclose(returns[2], [3 + 0.9 * 4, 30], rtol=1e-6)
    # After the last step no second one is known.
    np.testing.assert_array_equal(weight, [*ACTIVE[:4], NO])


def test_two_ways_to_look_further_are_one_too_many():
    with pytest.raises(UserError, match="n_step is 2 and td_lambda 0"):
        plain(n_step=2, td_lambda=0.5).check(spec())


def test_importance_weighs_targets():
    algorithm = plain()
    state, batch = experience(algorithm, trajectory())
    batch = dataclasses.replace(batch, importance=jnp.array([3.0]))
    _, weight = algorithm.targets(state.learned, batch)
    np.testing.assert_array_equal(weight[:, 0], 3.0 * np.array(ACTIVE))


def test_priorities_are_the_errors_of_what_was_drawn():
    """Nothing is learned, so that they stay as they are: nine parts the larger of two agents'
    errors, and one part their mean."""
    algorithm = plain(prioritised=True, learning_rate=1e-30, target_rate=1e-30, update_ratio=4.0)
    made = hand_made(algorithm.init(spec(), jax.random.key(0)))
    state, metrics = jax.jit(algorithm.learn)(made, trajectory(), jax.random.key(1))
    q = np.array([[(1 + a) * o for a, o in zip(*pair)] for pair in zip(ACTIONS, OBS)])
    error = np.abs(q - INDEPENDENT) * np.array(ACTIVE)
    expected = (0.9 * error.max(1) + 0.1 * error.mean(1)) ** 0.6
    np.testing.assert_allclose(state.replay.priority[:5], expected, rtol=1e-4)
    assert not state.replay.priority[5:].any() and np.isfinite(float(metrics["loss"]))


def test_weights_take_back_more_and_more_of_the_bias():
    exponents = [plain()._importance(jnp.float32(share)) for share in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(exponents, [0.4, 0.7, 1.0])


def test_a_turn_that_is_not_mine_passes_rewards_on():
    """Agent 0 moves at steps 0 and 2, agent 1 at 1 and 3."""
    none, turns = np.zeros((5, N), bool), np.array([(t % 2 == 0, t % 2 == 1) for t in range(6)])
    taken = trajectory(
        now_terminated=none,
        terminated=none,
        truncated=none,
        now_active=turns[:-1],
        active=turns[1:],
    )
    returns, weight, _, _ = targets(plain(), taken)
    np.testing.assert_allclose(returns[0, 0], 1 + 0.9 * (2 + 9 * 10), rtol=1e-6)
    np.testing.assert_allclose(returns[1, 1], 20 + 0.9 * (30 + 9 * 5), rtol=1e-6)
    # The last step leaves agent 0's return open.
    np.testing.assert_array_equal(weight, [(1, 0), (0, 1), (1, 0), (0, 1), (0, 0)])


# Agent 1 is cut by step 1, where it last sees 20; agent 0 goes on and terminates by step 3.
ALONE = [NO, NO, (False, True), (False, True), NO]
LEFT = (True, False)
CUT_ALONE = dict(
    now_terminated=[NO] * 5,
    now_truncated=ALONE,
    now_active=[YES, YES, LEFT, LEFT, YES],
    terminated=[NO, NO, NO, LEFT, NO],
    truncated=[NO, (False, True), (False, True), (False, True), NO],
    active=[YES, LEFT, LEFT, NO, YES],
)


def test_an_agent_that_is_cut_alone_bootstraps_from_its_own_last_observation():
    returns, weight, _, _ = targets(plain(), trajectory(**CUT_ALONE))
    expected = [(1 + 9 * 2, 10 + 9 * 3), (2 + 9 * 10, 20 + 9 * 20), (3 + 9 * 4, 0), (4, 0)]
    np.testing.assert_allclose(returns[:4, 0], np.array(expected)[:, 0], rtol=1e-6)
    np.testing.assert_allclose(returns[:2, 1], np.array(expected)[:2, 1], rtol=1e-6)
    np.testing.assert_array_equal(weight, [YES, YES, LEFT, LEFT, YES])
    # A longer return stops there too.
    longer, *_ = targets(plain(td_lambda=1.0), trajectory(**CUT_ALONE))
    np.testing.assert_allclose(longer[:2, 1], [10 + 0.9 * 200, 200], rtol=1e-6)


def test_a_team_counts_the_last_value_of_a_member_that_was_cut_and_then_plays_on_without_it():
    returns, weight, _, _ = targets(plain(vdn), trajectory(**CUT_ALONE))
    expected = [5.5 + 9 * 5, 11 + 9 * (10 + 20), 1.5 + 9 * 4, 2, 27.5 + 9 * 17]
    np.testing.assert_allclose(returns[:, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(weight, np.ones((5, 1)))
    # A longer return stops there: what follows is not of the same team.
    longer, *_ = targets(plain(vdn, td_lambda=1.0), trajectory(**CUT_ALONE))
    third = 1.5 + 0.9 * 2
    np.testing.assert_allclose(longer[:4, 0], [5.5 + 0.9 * 281, 281, third, 2], rtol=1e-6)


class StateMixer(TeamMixer):
    """Weighs a team's sum by the global state, to see that the right one arrives."""

    needs_state = True

    def __call__(self, choice):
        return SumMixer(self.agents_of_team)(choice) * choice.state[..., :1]


class WithState(QLearning):
    def mixer(self, spec, key):
        return StateMixer(agents_of_team(spec))


def test_mixers_read_the_state_of_the_step_and_of_its_true_successor():
    states = np.arange(1, 6)[:, None]
    made = trajectory(now_global_state=states, global_state=100 * states)
    algorithm = plain(WithState)
    returns, weight, batch, state = targets(algorithm, made, spec(state_size=1))
    np.testing.assert_allclose(returns[1, 0], 11 + 9 * 30 * 200, rtol=1e-6)
    loss, metrics = algorithm.error(
        state.learned.params, batch, jnp.zeros((5, 1, 1)), weight[:, None]
    )
    values = [(1 * 1 + 2 * 2) * 1, (2 * 2 + 3) * 2, (3 + 4) * 3, 2 * 4 * 4, (7 + 16) * 5]
    np.testing.assert_allclose(metrics["q_mean"], np.mean(values), rtol=1e-6)
    np.testing.assert_allclose(loss, np.mean(np.square(values)) / 2, rtol=1e-6)
    # Without a global state the observations are one.
    alone, *_ = targets(algorithm, trajectory())
    np.testing.assert_allclose(alone[0, 0], 5.5 + 9 * 5 * 2, rtol=1e-6)


# The loss.


@pytest.mark.parametrize("make", [iql, vdn])
def test_what_an_inactive_agent_sees_and_does_weighs_nothing(make):
    """Agent 1 is inactive in step 3, and has terminated after steps 2 and 3. Loops show zeros then;
    here it is garbage."""
    algorithm = plain(make)
    state, batch = experience(algorithm, trajectory())

    def loss_and_gradient(obs, next_obs, action):
        changed = (jnp.asarray(obs, jnp.float32), jnp.asarray(next_obs, jnp.float32), action)
        changed = [x.reshape(old.shape) for x, old in zip(changed, places(batch))]
        strange = eqx.tree_at(places, batch, changed)
        returns, weight = algorithm.targets(state.learned, strange)
        return jax.value_and_grad(lambda p: algorithm.error(p, strange, returns, weight)[0])(
            state.learned.params
        )

    def places(batch: Experience):
        return batch.obs, batch.next_obs, batch.action

    strange = [*OBS[:3], (4, 777), OBS[4]]
    strange_next = [*NEXT_OBS[:2], (4, 777), (777, 777), NEXT_OBS[4]]
    usual = loss_and_gradient(OBS, NEXT_OBS, jnp.array(ACTIONS))
    same = loss_and_gradient(strange, strange_next, jnp.array(ACTIONS).at[3, 1].set(0))
    other = loss_and_gradient([*OBS[:3], (777, 5), OBS[4]], NEXT_OBS, jnp.array(ACTIONS))
    jax.tree.map(np.testing.assert_array_equal, usual, same)
    assert usual[0] != other[0]


def test_the_loss_is_the_mean_over_what_weighs():
    returns, weight, batch, state = targets(plain(), trajectory())
    q = np.array([(1, 4), (4, 3), (3, 4), (8, 0), (7, 16)])
    used = np.array(ACTIVE)
    for loss, each in (
        ("squared", lambda e: e**2 / 2),
        ("huber", lambda e: np.where(np.abs(e) < 1, e**2 / 2, np.abs(e) - 0.5)),
    ):
        ours, metrics = plain(loss=loss).error(
            state.learned.params, batch, returns[:, None], weight[:, None]
        )
        np.testing.assert_allclose(ours, each(q - INDEPENDENT)[used].mean(), rtol=1e-6)
        np.testing.assert_allclose(metrics["q_mean"], q[used].mean(), rtol=1e-6)


# Learning.


def same_step(number: float) -> Trajectory:
    """One step, five times: o = `number`, action 0, reward 1, a true end."""
    made = trajectory(
        now_obs=[(number, number)] * 5,
        now_active=[YES] * 5,
        now_terminated=[NO] * 5,
        terminated=[YES] * 5,
        reward=[(1, 1)] * 5,
    )
    return eqx.tree_at(lambda t: t.transitions.action, made, jnp.zeros((5, 1, N), jnp.int32))


def test_a_gradient_step_by_hand_and_the_target_network_follows():
    """Q(o, 0) = w o: the first step of Adam moves w by the learning rate towards 1 / o."""
    algorithm = plain(learning_rate=0.1, target_interval=2, target_rate=0.25)
    state = hand_made(algorithm.init(spec(), jax.random.key(0)))
    learn = jax.jit(algorithm.learn)
    once, metrics = learn(state, same_step(2.0), jax.random.key(1))
    np.testing.assert_allclose(metrics["loss"], (1 * 2 - 1) ** 2 / 2, rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], np.hypot(2, 1), rtol=1e-6)  # weight and bias
    np.testing.assert_allclose(metrics["q_mean"], 2.0, rtol=1e-6)
    weight = head(once.learned.params)[0, 0]
    np.testing.assert_allclose(weight, [0.9, 2.0], rtol=1e-4)
    np.testing.assert_array_equal(head(once.learned.target)[0, 0], [3.0, 10.0])
    twice, _ = learn(once, same_step(2.0), jax.random.key(2))
    expected = 0.25 * head(twice.learned.params)[0, 0] + 0.75 * np.array([3.0, 10.0])
    np.testing.assert_allclose(head(twice.learned.target)[0, 0], expected, rtol=1e-6)


def test_two_devices_descend_the_mean_of_their_gradients():
    """Each device's replay holds its own step; the gradient is by hand, of both."""
    algorithm = plain(update_ratio=0.1, capacity=24)
    mesh = jax.make_mesh((2,), ("shards",), axis_types=(jax.sharding.AxisType.Auto,))

    def body(numbers):
        state = hand_made(algorithm.init(spec(), jax.random.key(0)))
        made = jax.tree.map(jnp.asarray, same_step(1.0))
        obs = jnp.full_like(made.transitions.timestep.obs, numbers[0])
        made = eqx.tree_at(lambda t: t.transitions.timestep.obs, made, obs)
        state, metrics = algorithm.learn(state, made, jax.random.key(3))
        assert jax.tree.leaves(state.replay.data)[0].shape[0] == 12  # half of the capacity
        weights = head(state.learned.params)
        return jax.tree.map(lambda x: x[None], (weights, metrics["grad_norm"], metrics["loss"]))

    run = jax.shard_map(
        body, mesh=mesh, in_specs=P("shards"), out_specs=P("shards"), check_vma=False
    )
    weights, norm, loss = jax.jit(run)(jnp.array([2.0, 4.0]))
    np.testing.assert_array_equal(weights[0], weights[1])
    # Errors are 1 and 3; d/dw = error * o, d/db = error.
    np.testing.assert_allclose(norm, np.hypot((2 + 12) / 2, (1 + 3) / 2), rtol=1e-6)
    np.testing.assert_allclose(loss.mean(), (0.5 + 4.5) / 2, rtol=1e-6)


def test_learning_waits_for_data_and_a_recurrent_network_learns():
    algorithm = plain(
        recurrent=3, hidden=(4,), agent_id=True, capacity=10, learning_starts=10, batch_size=10
    )
    state = algorithm.init(spec(), jax.random.key(0))
    learn, made = jax.jit(algorithm.learn), trajectory(carry=jnp.zeros((5, 1, N, 3)))
    waited, metrics = learn(state, made, jax.random.key(1))
    assert metrics["loss"] == 0 and waited.learned.updates == 0
    jax.tree.map(np.testing.assert_array_equal, waited.learned, state.learned)
    learned, metrics = learn(waited, made, jax.random.key(2))
    assert metrics["loss"] > 0 and learned.learned.updates == 1
    assert metrics["skipped_updates"] == 0
    weight = lambda s: s.learned.params["q"].stack.cell.hidden.weight  # noqa: E731
    assert not np.allclose(weight(learned), weight(waited))


@pytest.mark.parametrize(
    ("ratio", "num_envs", "unroll", "steps"),
    [(1.0, 1, 4, 4), (0.5, 2, 6, 6), (0.125, 4, 4, 2), (0.1, 4, 6, 2), (0.1, 1, 5, 1)],
)
def test_gradient_steps_follow_the_environment_steps_of_a_rollout(ratio, num_envs, unroll, steps):
    algorithm = plain(update_ratio=ratio, hidden=(4,), capacity=64)
    learner = OnDevice(algorithm, SimpleSpread(), num_envs, unroll)
    update, state = jax.jit(learner.update), learner.init(jax.random.key(0))
    for made in (1, 2):
        state, _ = update(state)
        assert state.algorithm.learned.updates == made * steps


def test_devices_share_the_gradient_steps_of_a_rollout():
    learner = OnDevice(plain(update_ratio=0.5, capacity=64), SimpleSpread(), 4, 3)
    program = Program(stack([learner]), devices=2)
    state, _, _ = program.run(program.init(jnp.stack([jax.random.key(0)])), 1)
    np.testing.assert_array_equal(state.algorithm.learned.updates, [[6], [6]])


def test_a_rollout_without_half_a_gradient_step_is_a_clear_mistake():
    learner = OnDevice(plain(update_ratio=0.1, capacity=64), SimpleSpread(), 2, 2)
    with pytest.raises(UserError, match=r"update_ratio is 0.1: 0.4 gradient steps after the 4 env"):
        jax.eval_shape(learner.update, jax.eval_shape(learner.init, jax.random.key(0)))


def test_it_learns_on_device_without_compiling_twice():
    learner = OnDevice(
        vdn(hidden=(8,), capacity=64, learning_starts=40, batch_size=16, update_ratio=0.1),
        SimpleSpread(),
        num_envs=4,
        unroll=5,
        total_updates=4.0,
    )
    state = jax.jit(learner.init)(jax.random.key(0))
    update = jax.jit(learner.update)
    history = []
    for _ in range(4):
        state, metrics = update(state)
        history.append({k: float(v) for k, v in metrics.items()})
    assert update._cache_size() == 1
    assert [m["loss"] > 0 for m in history] == [False, True, True, True]
    np.testing.assert_allclose([m["epsilon"] for m in history], [1.0, 1.0, 0.05, 0.05])
    assert all(np.isfinite(v) for m in history for v in m.values())
    names = {"loss", "grad_norm", "q_mean", "epsilon", "skipped_updates", "skipped_in_a_row"}
    assert names <= history[0].keys()


# Schedules and mistakes.


def test_epsilon_falls_linearly_and_then_stays():
    algorithm = iql(epsilon_start=0.9, epsilon_end=0.1, exploration_fraction=0.5)
    values = [float(algorithm.epsilon(p)) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(values, [0.9, 0.5, 0.1, 0.1, 0.1], rtol=1e-6)


def test_acting_explores_and_the_policy_hardly_does():
    algorithm = plain(epsilon_start=1.0, epsilon_end=0.0)
    state = hand_made(algorithm.init(spec(), jax.random.key(0)))
    made = trajectory(now_obs=[(1, 1)] * 5).transitions.timestep
    many = jax.tree.map(lambda x: jnp.repeat(x[0], 400, 0), made)
    acting = algorithm.acting(state)
    action, _, _ = algorithm.act(acting, many, (None, None), jax.random.key(1))
    assert 0.4 < action.mean() < 0.6
    distribution, _ = algorithm.policy(state)(many, None, jax.random.key(0))
    assert (distribution.sample(jax.random.key(1)) == 1).all()


def test_iql_and_vdn_differ_by_the_mixer_alone():
    assert dataclasses.asdict(iql()) == dataclasses.asdict(vdn())
    mixers = [make().mixer(spec(teams=(1, 0)), jax.random.key(0)) for make in (iql, vdn)]
    assert mixers == [NoMixer(), SumMixer(((1,), (0,)))]
    assert vdn(discount=0.5).discount == 0.5


def test_continuous_actions_are_refused_with_advice():
    with pytest.raises(UserError, match="discrete actions and tiny has others: use ippo"):
        vdn().check(spec(action=Box(-1.0, 1.0, (2, 2))))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"discount": 1.5}, r"discount is 1.5, expected a number in \[0, 1\]"),
        (
            {"exploration_fraction": 0.0},
            r"exploration_fraction is 0.0, expected a number in \(0, 1\]",
        ),
        (
            {"capacity": 100, "learning_starts": 50},
            "batch_size is 256, expected at most the capacity",
        ),
        ({"update_ratio": 0.0}, "update_ratio is 0.0, expected a positive number"),
        ({"sequence_length": -1}, "sequence_length is -1, expected 0 or more"),
        ({"capacity": 5000}, "learning_starts is 10000, expected at most the capacity, 5000"),
    ],
)
def test_bad_settings_are_clear_mistakes(settings, message):
    with pytest.raises(UserError, match=message):
        iql(**settings).check(spec())
