"""DDPG and TD3 on steps made by hand: targets, the actor's gradient, delays, what explores."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import N, Probe, ProbeState, collect

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned
from shoal.agents.policy_gradient.ddpg import ddpg, td3
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.nn.critics import StateAction

LOW, HIGH = -2.0, 4.0
C, H, GAMMA = 1.0, 3.0, 0.9  # the middle of the box, half its width, the discount
KEY = jax.random.key(7)


def spec(n: int = 1) -> EnvSpec:
    names = tuple(f"agent_{i}" for i in range(n))
    return EnvSpec("tiny", names, (1,) * n, Box(LOW, HIGH, (1,) * n), 10)


def small(make, **settings):
    plain = dict(hidden=(), agent_id=False, discount=GAMMA, learning_starts=0, capacity=8)
    return make(**{**plain, **settings})


def learned(made, mean, values, target_mean=None, targets=None, environment=None) -> Learned:
    """Policies that say tanh(mean), whatever they see; critics that say w_o o + w_a a of what is
    seen and of an action in [-1, 1]; and targets alike."""
    state = made.init(environment or spec(), KEY).learned

    def actor(network, mean):
        layer = network.stack.head
        new = (jnp.zeros_like(layer.weight), jnp.full_like(layer.bias, mean))
        return eqx.tree_at(lambda n: (n.stack.head.weight, n.stack.head.bias), network, new)

    def critic(params, weights):
        places = lambda p: [network.stack.head.weight for network in p.networks]  # noqa: E731
        new = [
            jnp.broadcast_to(jnp.array(w)[:, None], x.shape)
            for w, x in zip(weights, places(params), strict=True)
        ]
        return eqx.tree_at(places, params, new)

    params, target = state.params, state.target
    params = {"actor": actor(params["actor"], mean), "critic": critic(params["critic"], values)}
    target = {
        "actor": actor(target["actor"], mean if target_mean is None else target_mean),
        "critic": critic(target["critic"], targets or values),
    }
    return Learned(params, target, state.optimizers, state.updates)


def experience(obs, next_obs, action, reward, cut=False, gone=False, active=True) -> Experience:
    """M steps of N agents, `[1, M, N]`; one value means all."""
    shape = (1, *np.shape(obs))

    def each(x, dtype=jnp.float32):
        return jnp.broadcast_to(jnp.asarray(x, dtype), shape)

    return Experience(
        obs=each(obs)[..., None],
        next_obs=each(next_obs)[..., None],
        action=each(action)[..., None],
        reward=each(reward),
        active=each(active, bool),
        next_active=each(not (cut or gone), bool),
        legal=jnp.ones((*shape, 1), bool),
        next_legal=jnp.ones((*shape, 1), bool),
        cut=each(cut, bool),
        gone=each(gone, bool),
        done=jnp.full(shape[:2], cut or gone),
        state=None,
        next_state=None,
        carry=(None, None),
    )


@pytest.mark.parametrize("how", ["goes on", "is cut", "terminates"])
def test_ddpgs_target_by_hand(how):
    """The target critic's value of the target actor's action; who is cut is valued too, who
    terminated is not. With a critic that says 0, the loss is the square of the target."""
    ends = {"cut": how == "is cut", "gone": how == "terminates"}
    made = small(ddpg)
    before = learned(made, -9.0, [(0.0, 0.0)], 0.3, [(2.0, 0.5)])
    _, metrics = jax.jit(made.step)(
        before, experience([[5.0]], [[1.5]], 1.0, 7.0, **ends), KEY, 0.0
    )
    y = 7.0 if how == "terminates" else 7 + GAMMA * (2 * 1.5 + 0.5 * np.tanh(0.3))
    np.testing.assert_allclose(metrics["critic_loss"], y**2, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 50.0])
@pytest.mark.parametrize("mean", [0.3, 3.0])
def test_td3s_target_by_hand(smoothing, mean):
    """The lower of two critics at the action and noise within 0.5 half widths, within the box: a
    deviation of 50 always meets the first limit, and beside a mean of 3 one side is beyond the
    second."""
    m = 16
    made = small(td3, smoothing=smoothing)
    before = learned(made, -9.0, [(0.0, 0.0)] * 2, mean, [(2.0, 0.5), (2.0, 4.0)])
    batch = experience(np.full((m, 1), 5.0), np.full((m, 1), 1.5), 1.0, 7.0)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    key_next, _ = jax.random.split(KEY)
    z = np.asarray(jax.random.normal(key_next, (m,)))
    e = np.clip(smoothing * z, -0.5, 0.5)
    a = np.clip(np.tanh(mean) + e, -1, 1)
    y = 7 + GAMMA * (2 * 1.5 + np.minimum(0.5 * a, 4 * a))
    np.testing.assert_allclose(metrics["critic_loss"], 2 * (y**2).mean(), rtol=1e-5)
    if smoothing == 50.0:
        assert set(np.abs(e)) == {0.5}
        assert mean == 3.0 or (a.min() < 0 < a.max())  # either critic is the lower one somewhere


def test_the_actor_climbs_the_first_critic_by_hand():
    r"""With $u = \tanh \mu$, $dL/d\mu = -w_a (1 - u^2)$, of the first critic, be it the higher."""
    made = small(td3, actor_interval=1)
    before = learned(made, 0.3, [(0.0, 2.0), (-9.0, 5.0)])
    batch = experience([[0.7]], [[0.0]], C, 0.0, gone=True)
    after, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    slope = -2.0 * (1 - np.tanh(0.3) ** 2)
    norm = abs(slope) * np.sqrt(1 + 0.7**2)  # of the bias, and of the weight of what it sees
    np.testing.assert_allclose(metrics["actor_grad_norm"], norm, rtol=1e-5)
    np.testing.assert_allclose(metrics["actor_loss"], -2.0 * np.tanh(0.3), rtol=1e-5)
    after, _ = jax.jit(made.step)(before, batch, KEY, 1e-3)
    moved = after.params["actor"].stack.head.bias - before.params["actor"].stack.head.bias
    np.testing.assert_allclose(moved, 1e-3, rtol=1e-2)  # upwards: Adam's first step is the rate


def test_critics_read_actions_in_units_of_the_box():
    made = small(ddpg)
    before = learned(made, 0.0, [(2.0, 3.0)])
    batch = experience([[5.0]], [[0.0]], 2.5, 4.0, gone=True)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    np.testing.assert_allclose(metrics["q_mean"], 2 * 5 + 3 * (2.5 - C) / H, rtol=1e-6)


def test_a_delayed_actor_stays_the_same_to_the_bit_at_odd_updates():
    """So do its moments; and it moves at even ones, as its target does. The critics always move."""
    made = small(td3, learning_rate=0.01)
    state = learned(made, 0.3, [(0.5, 2.0), (0.1, 1.0)])
    batch = experience([[0.7]], [[0.2]], 0.0, 1.0)
    step = jax.jit(made.step)
    moved = []
    for update in range(4):
        after, metrics = step(state, batch, KEY, 0.01)
        pairs = [
            (getattr(state, kind)[name], getattr(after, kind)[name])
            for name in ("actor", "critic")
            for kind in ("params", "optimizers")
        ]
        moved.append([not eqx.tree_equal(old, new) for old, new in pairs])
        assert bool(metrics["actor_grad_norm"] > 0) == moved[-1][0]
        state = dataclasses.replace(after, updates=jnp.int32(update + 1))
    assert moved == [[False, False, True, True], [True, True, True, True]] * 2


def test_what_a_delayed_actor_reports_is_the_mean_over_its_own_steps():
    batch = experience([[0.7]], [[0.2]], 0.0, 1.0)
    losses = []
    for interval in (1, 2):
        made = small(td3, actor_interval=interval)
        state = learned(made, 0.3, [(0.5, 2.0), (0.1, 1.0)])
        reported = [
            jax.jit(made.step)(dataclasses.replace(state, updates=jnp.int32(i)), batch, KEY, 0.0)[1]
            for i in range(2)
        ]
        losses.append(np.mean([float(metrics["actor_loss"]) for metrics in reported]))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


def test_what_the_inactive_do_weighs_nothing():
    made, both = small(ddpg), spec(2)
    before = learned(made, 0.2, [(1.0, 2.0)], environment=both)
    active = np.array([[True, False], [True, True]])
    results = []
    for garbage in (0.0, 55.0):
        obs = np.array([[1.0, garbage], [2.0, 3.0]])
        action = np.array([[1.0, garbage], [0.5, -1.0]])
        reward = np.array([[1.0, garbage], [2.0, 3.0]])
        batch = experience(obs, np.ones((2, 2)), action, reward, active=active)
        after, _ = jax.jit(made.step)(before, batch, KEY, 0.1)
        results.append(after.params)
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_other_actions_are_refused_with_advice():
    discrete = EnvSpec("tiny", ("a",), (1,), Discrete((2,)), 10)
    for make in (ddpg, td3):
        with pytest.raises(UserError, match="ddpg and td3 choose actions in a box and tiny has"):
            make().check(discrete)


# What explores, and whole trainings.


class Aim(Probe):
    """Each agent is paid 1 less the square of how far it misses the number that its cue says, 0 or
    3, in half widths of the box, at each step of an endless stream that a time limit cuts after
    three: the best action is worth 1 / (1 - gamma)."""

    length = 3
    limit = True

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=Box(LOW, HIGH, (1,) * N))

    def obs(self, state):
        return self._see(2.0 * state.cue - 1, 0)

    def step(self, key, state, action):
        reward = 1.0 - ((action[:, 0] - 3.0 * state.cue) / H) ** 2
        state = ProbeState(state.time + 1, state.cue, state.told)
        return state, self._show(state, reward)

    def legal(self, state):
        return None


def learned_once(state) -> Learned:
    """As it was, but after a gradient step."""
    return dataclasses.replace(state.learned, updates=jnp.int32(1))


def test_actions_are_uniform_before_the_first_step_and_then_close_to_the_policys():
    made = ddpg(hidden=(4,), capacity=4096, learning_starts=4096, noise=0.2, recurrent=3)
    state, trajectory = collect(made, Aim(), num_envs=512, unroll=8)
    action = np.asarray(trajectory.transitions.action).ravel()
    grid = np.linspace(LOW, HIGH, 13)
    share = np.array([(action <= x).mean() for x in grid])
    np.testing.assert_allclose(share, (grid - LOW) / (HIGH - LOW), atol=0.02)  # of 8,192 draws

    acting = made.acting(dataclasses.replace(state, learned=learned_once(state)))
    now = trajectory.last
    carry = jax.tree.map(lambda x: jnp.stack([x] * 512), made.initial_carry(acting))
    action, _, _ = made.act(acting, now, carry, KEY)
    mode = made.policy(state)(now, carry[0], KEY)[0].mode()
    noise = np.asarray(action - mode)  # far from the bounds at first
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 0.2 * H], atol=0.06)


def test_noise_never_leaves_the_box():
    made = ddpg(hidden=(4,), capacity=64, learning_starts=64, noise=5.0)
    state, trajectory = collect(made, Aim(), num_envs=64, unroll=1)
    acting = made.acting(dataclasses.replace(state, learned=learned_once(state)))
    action, _, _ = made.act(acting, trajectory.last, (None, None), KEY)
    assert action.min() == LOW and action.max() == HIGH


@pytest.mark.parametrize(("make", "recurrent"), [(ddpg, 0), (td3, 0), (td3, 8)])
def test_it_finds_the_best_action_and_its_value_beyond_a_time_limit(train_probe, make, recurrent):
    """48,000 steps from seed 0: within 0.5 of the best actions, in a box 6 wide, and the value of
    an endless stream of 1, which is 10 at a discount of 0.9, not of its three steps (2.71)."""
    made = make(
        hidden=(32, 32),
        recurrent=recurrent,
        discount=GAMMA,
        learning_rate=3e-3,
        anneal_learning_rate=True,
        learning_starts=3200,
        capacity=16_000,
        batch_size=160,
        update_ratio=0.025,
        target_rate=0.1,
        noise=0.2,
        smoothing=0.02 if make is td3 else 0.0,  # it costs what the policy would lose by it
    )
    run = train_probe(made, Aim())
    steps = jax.tree.map(lambda x: x[:3], run.steps)  # the episode, until it is cut
    aim = 1.5 * (steps.timestep.obs[..., 1] + 1)
    assert np.abs(steps.action[..., 0] - aim).max() < 0.5
    critic = run.state.learned.params["critic"]
    carry = jax.tree.map(lambda x: jnp.stack([x] * aim.shape[1]), critic.initial_carry())
    starts = jnp.zeros(aim.shape[:2], bool)
    pair = StateAction(steps.timestep.obs, None, steps.action, steps.timestep.active)
    q = critic.taken(pair, carry if recurrent else None, starts)
    np.testing.assert_allclose(q.min(0), 1 / (1 - GAMMA), atol=0.5)
