"""Weighted QMIX, QPLEX and QTRAN: equations by hand, best actions, and games that need them."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Probe

from shoal.agents.cooperative.iql import iql
from shoal.agents.cooperative.qfix import FixedMix, SumMix, qfix
from shoal.agents.cooperative.qplex import QPLEX, DuplexMix
from shoal.agents.cooperative.qtran import qtran
from shoal.agents.cooperative.vdn import vdn
from shoal.agents.cooperative.wqmix import WQMIX, wqmix
from shoal.agents.experience import Experience
from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.envs.cooperative.two_step import TwoStepGame
from shoal.nn.mixers import Choice, Mixer
from shoal.nn.mlp import FeedForward
from shoal.registry import make_algorithm
from shoal.training.on_device import OnDevice

S, A, HIDDEN = 4, 3, 6
FIELDS = dict(
    hidden=(), agent_id=False, capacity=12, batch_size=8, learning_starts=0, loss="squared"
)


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def spec(*teams: int) -> EnvSpec:
    n = len(teams)
    names = tuple(f"agent_{i}" for i in range(n))
    return EnvSpec("tiny", names, (2,) * n, Discrete((A,) * n), 9, teams=teams, state_size=S)


def moved(tree, seed: int, spread: float = 0.7):
    """At random, so that signs and biases of all kinds occur."""
    leaves, structure = jax.tree.flatten(tree)
    moves = [x + spread * normal(100 + k + seed, *x.shape) for k, x in enumerate(leaves)]
    return structure.unflatten(moves)


def duplex(*teams: int, seed: int = 0, weighted: bool = True) -> Mixer:
    algorithm = QPLEX(heads=2, hypernet=HIDDEN, advantage_hidden=(HIDDEN,), weighted=weighted)
    return moved(algorithm.mixer(spec(*teams), jax.random.key(seed)), seed)


def perceptron(network, x):
    for layer in network.torso.layers:
        x = np.maximum(x @ layer.weight + layer.bias, 0)
    return x @ network.head.weight + network.head.bias


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# QPLEX.


@pytest.mark.parametrize("weighted", [True, False])
def test_a_duplex_mixture_by_hand(weighted):
    """V + sum of lambda A, as the paper has it."""
    n, heads = 2, 3
    shape = (heads, HIDDEN, (HIDDEN,), weighted)
    mix = moved(DuplexMix(n, A, S, *shape, key=jax.random.key(0)), 7)
    q, state = np.asarray(normal(1, 5, n, A)), np.asarray(normal(2, 5, S))
    action = np.array([[0, 1], [2, 2], [1, 0], [0, 0], [2, 1]])
    chosen = np.take_along_axis(q, action[..., None], -1)[..., 0]
    joint = np.eye(A)[action].reshape(5, n * A)
    w = np.abs(perceptron(mix.w, state)) if weighted else 1.0
    value = w * q.max(-1) + perceptron(mix.b, state)
    advantage = w * (chosen - q.max(-1))
    upsilon = np.abs(perceptron(mix.upsilon, state))
    phi = sigmoid(perceptron(mix.phi, state).reshape(5, heads, n))
    key = sigmoid(perceptron(mix.actions, np.concatenate([state, joint], 1)).reshape(5, heads, n))
    weights = np.einsum("mk,mki,mki->mi", upsilon, phi, key)
    expected = value.sum(1) + (weights * advantage).sum(1)
    choice = Choice(jnp.asarray(chosen), jnp.asarray(q.max(-1)), jnp.asarray(action), None)
    np.testing.assert_allclose(mix(choice, jnp.asarray(state)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [True, False])
def test_a_duplex_mixture_rises_with_each_advantage(weighted):
    """By a small step of one agent's value, at 300 random places; its gradient is a weighted
    sum's, w_i > 0."""
    team = duplex(0, 0, 0, weighted=weighted)
    chosen, gap, state = normal(1, 300, 3), jnp.abs(normal(2, 300, 3)) + 0.5, normal(3, 300, S)
    action = jax.random.randint(jax.random.key(4), (300, 3), 0, A)

    @eqx.filter_jit
    def value(chosen):
        return team(Choice(chosen, normal(1, 300, 3) + gap, action, state))[:, 0]

    for i in range(3):
        rise = value(chosen.at[:, i].add(0.3)) - value(chosen)
        assert rise.min() >= -1e-5 and (rise > 1e-4).mean() > 0.9
    slope = jax.grad(lambda c: value(c).sum())(chosen)
    (mix,) = team.mixes
    weights = jnp.abs(mix.w(state)) if weighted else jnp.ones_like(slope)
    np.testing.assert_allclose(slope, weights, rtol=1e-4, atol=1e-5)


def joint_values(mixer: Mixer, q, state):
    """Of every joint action, `[M, 27]`, and of which one is each agent's best."""
    joint = np.array(list(itertools.product(range(A), repeat=3)))
    chosen = np.asarray(q)[:, np.arange(3), joint]
    best = jnp.broadcast_to(q.max(-1)[:, None], chosen.shape)
    actions = jnp.broadcast_to(joint, chosen.shape)
    states = jnp.broadcast_to(state[:, None], (*chosen.shape[:2], S))
    values = eqx.filter_jit(mixer)(Choice(jnp.asarray(chosen), best, actions, states))[..., 0]
    return np.asarray(values), np.asarray(q).argmax(-1) @ np.array([9, 3, 1])


def test_a_fixed_sum_by_hand():
    n = 2
    keys = jax.random.split(jax.random.key(0))
    w = FeedForward(S + n * A, (HIDDEN,), 1, key=keys[0])
    mix = moved(FixedMix(SumMix(), w, FeedForward(S, (HIDDEN,), 1, key=keys[1]), A), 3)
    q, state = np.asarray(normal(1, 40, n, A)), np.asarray(normal(2, 40, S))
    action = np.asarray(jax.random.randint(jax.random.key(3), (40, n), 0, A))
    chosen = np.take_along_axis(q, action[..., None], -1)[..., 0]
    raw = perceptron(mix.w, np.concatenate([state, np.eye(A)[action].reshape(40, n * A)], 1))[:, 0]
    weight = np.where(raw > 0, raw, np.exp(np.minimum(raw, 0)) - 1)
    fall = (q.max(-1) - chosen).sum(1)
    expected = chosen.sum(1) - weight * fall + perceptron(mix.b, state)[:, 0]
    assert raw.min() < 0 < raw.max()
    choice = Choice(jnp.asarray(chosen), jnp.asarray(q.max(-1)), jnp.asarray(action), None)
    np.testing.assert_allclose(mix(choice, jnp.asarray(state)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vdn", "qplex", "weighted qplex", "sum", "monotonic"])
def test_the_best_for_each_is_the_best_for_all(name):
    """Every joint action of three agents is tried, on 200 random tables of values."""
    made = {"vdn": vdn(), "sum": qfix(), "monotonic": qfix(fixee="monotonic")}
    if name.endswith("qplex"):
        mixer = duplex(0, 0, 0, weighted=name != "qplex")
    else:
        mixer = moved(made[name].mixer(spec(0, 0, 0), jax.random.key(0)), 7)
    values, greedy = joint_values(mixer, normal(3, 200, 3, A), normal(4, 200, S))
    of_greedy = values[np.arange(200), greedy]
    np.testing.assert_allclose(of_greedy, values.max(1), rtol=1e-5, atol=1e-5)
    assert (values.max(1) - values.min(1) > 0.05).mean() > 0.99 and len(set(greedy.tolist())) > 20


def test_a_central_mixture_may_fall_with_an_agents_value():
    mixer = moved(central().params["central_mixer"], 3)
    state = normal(4, 200, S)
    value = lambda q: mixer(Choice(q, q, jnp.zeros((200, 2), jnp.int32), state)).sum()  # noqa: E731
    slope = jax.grad(value)(normal(5, 200, 2))
    assert (slope < -0.01).any() and (slope > 0.01).any()


def central(**settings):
    algorithm = wqmix(**FIELDS, embed=2, hypernet=3, central_hidden=(5,), **settings)
    return algorithm.init(spec(0, 0), jax.random.key(0)).learned


# Weights of WQMIX: below the target, above it; the greedy action, one worth more than it, others.

TOTAL = np.array([1.0, 3.0, 2.0, 1.0])
Y = np.array([2.0, 2.0, 2.0, 0.0])
BEST = np.array([1.0, 1.0, 2.0, 5.0])
GREEDY = np.array([False, False, False, True])


@pytest.mark.parametrize(
    "weighting, expected",
    [("optimistic", [1, 0.25, 0.25, 0.25]), ("central", [1, 1, 0.25, 1])],
)
def test_the_weights_of_the_paper(weighting, expected):
    algorithm = WQMIX(weighting=weighting, alpha=0.25)
    weights = algorithm.weights(*map(jnp.asarray, (TOTAL, Y, BEST, GREEDY)))
    np.testing.assert_array_equal(weights, expected)


# Losses, on a batch of one time step and six environments in which agent 1 is absent in the last.

M = 6
ACTIVE = np.ones((1, M, 2), bool)
ACTIVE[0, -1, 1] = False


def batch(**changes) -> Experience:
    """Steps of one sequence position, with all ends and all actions."""
    each = jnp.zeros((1, M, 2), bool)
    legal = jnp.ones((1, M, 2, A), bool)
    values = dict(
        obs=jnp.where(ACTIVE[..., None], normal(1, 1, M, 2, 2), 0.0),
        next_obs=normal(2, 1, M, 2, 2),
        action=jnp.array([[[0, 0], [1, 2], [2, 1], [0, 2], [1, 1], [2, 0]]], jnp.int32),
        reward=normal(3, 1, M, 2),
        active=jnp.asarray(ACTIVE),
        next_active=~each,
        legal=legal.at[0, 0, 0, 2].set(False),
        next_legal=legal.at[0, 1, 0, 0].set(False),
        cut=each,
        gone=each.at[0, 2].set(True),
        done=jnp.zeros((1, M), bool).at[0, 2].set(True),
        state=normal(4, 1, M, S),
        next_state=normal(5, 1, M, S),
        carry=(None, None),
    )
    return Experience(**(values | changes))


def setting(make, **settings):
    """An algorithm, and networks at random: the slow ones others than the fast."""
    algorithm = make(**FIELDS, discount=0.9, **settings)
    learned = algorithm.init(spec(0, 0), jax.random.key(0)).learned
    params, target = moved(learned.params, 11), moved(learned.target, 12)
    return algorithm, eqx.tree_at(lambda x: (x.params, x.target), learned, (params, target))


def linear(stack, obs):
    """A network of one layer."""
    return np.asarray(obs)[0] @ stack.head.weight[0] + stack.head.bias[0]


def greedy(q, legal) -> np.ndarray:
    return np.where(np.asarray(legal)[0], q, -np.inf).argmax(-1)


def of(q, action) -> np.ndarray:
    """Values of actions; 0 of who is absent."""
    return np.take_along_axis(q, np.asarray(action)[..., None], -1)[..., 0]


def one_hot(action, present=None) -> np.ndarray:
    hot = np.eye(A)[np.asarray(action)]
    hot = hot if present is None else hot * present[..., None]
    return hot.reshape(M, 2 * A)


def bellman(steps: Experience, value) -> np.ndarray:
    """The team's mean reward and the discounted value, but for the environment that ended."""
    goes_on = np.array([1, 1, 0, 1, 1, 1])
    return np.asarray(steps.reward)[0].mean(-1) + 0.9 * goes_on * value


def test_qtrans_losses_by_hand():
    algorithm, learned = setting(qtran, joint_hidden=(5,), opt_weight=2.0, nopt_weight=3.0)
    steps, params, target = batch(), learned.params, learned.target
    state, active = np.asarray(steps.state)[0], ACTIVE[0]
    joint = lambda p, *x: perceptron(p["joint"].mixes[0].network, np.concatenate(x, 1))[:, 0]  # noqa: E731

    q, q_t = (linear(params["q"].stack, x) for x in (steps.obs, steps.next_obs))
    after = greedy(q_t, steps.next_legal)
    y = bellman(steps, joint(target, np.asarray(steps.next_state)[0], one_hot(after)))
    returns, weight = algorithm.targets(learned, steps)
    np.testing.assert_allclose(returns[0, :, 0], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(weight, np.ones((1, M, 1)))

    taken, best = np.asarray(steps.action)[0], greedy(q, steps.legal)
    v = perceptron(params["v"].mixes[0].network, state)[:, 0]
    q_taken, q_best = (joint(params, state, one_hot(a, active)) for a in (taken, best))
    sums = [(of(q, a) * active).sum(-1) for a in (taken, best)]
    td = np.mean((q_taken - y) ** 2) / 2
    opt = np.mean((sums[1] - q_best + v) ** 2) / 2
    nopt = np.mean(np.minimum(sums[0] - q_taken + v, 0) ** 2) / 2
    loss, metrics = algorithm.error(params, steps, returns, weight)
    ours = [metrics[x] for x in ("td_loss", "opt_loss", "nopt_loss")]
    np.testing.assert_allclose(ours, [td, opt, nopt], rtol=1e-4)
    np.testing.assert_allclose(loss, td + 2 * opt + 3 * nopt, rtol=1e-4)
    assert min(td, opt, nopt) > 0.01

    # The joint value learns from rewards alone: the weights of the other losses change nothing.
    plain = eqx.tree_at(lambda a: (a.opt_weight, a.nopt_weight), algorithm, (0.0, 0.0))
    gradients = [
        jax.grad(lambda p, a=a: a.error(p, steps, returns, weight)[0])(params)["joint"]
        for a in (algorithm, plain)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *gradients)


@pytest.mark.parametrize("weighting", ["optimistic", "central"])
def test_weighted_qmix_by_hand(weighting):
    """The monotonic value is QMIX's, tested there; the rest is by NumPy."""
    settings = dict(embed=2, hypernet=3, central_hidden=(5, 4), alpha=0.25)
    algorithm, learned = setting(wqmix, weighting=weighting, **settings)
    params, target, active = learned.params, learned.target, ACTIVE[0]
    # In the last environment agent 0 does what is best, and agent 1 is absent: that is greedy.
    steps = batch()
    best = greedy(linear(params["q"].stack, steps.obs), steps.legal)
    action = steps.action.at[0, -1].set(jnp.array([best[-1, 0], (best[-1, 1] + 1) % A]))
    steps = batch(action=action)
    taken = np.asarray(action)[0]

    def free(networks, obs, state, action, present):
        (utilities,) = networks["central"].networks
        chosen = of(linear(utilities.stack, obs), action) * present
        (mix,) = networks["central_mixer"].mixes
        state = np.asarray(state)[0]
        value = perceptron(mix.f, np.concatenate([state, chosen], 1)) + perceptron(mix.v, state)
        return value[:, 0]

    q, q_t = (linear(params["q"].stack, x) for x in (steps.obs, steps.next_obs))
    after = greedy(q_t, steps.next_legal)
    present = np.asarray(steps.present)[0]
    y = bellman(steps, free(target, steps.next_obs, steps.next_state, after, present))
    returns, weight = algorithm.targets(learned, steps)
    np.testing.assert_allclose(returns[0, :, 0], y, rtol=1e-4, atol=1e-4)
    # Worth less than anything, it weighs 1 for being greedy alone.
    y = np.append(y[:-1], -50.0)
    returns = jnp.asarray(y, jnp.float32)[None, :, None]

    central = free(params, steps.obs, steps.state, taken, active)
    of_best = free(params, steps.obs, steps.state, best, active)
    chosen = jnp.asarray(of(q, taken) * active, jnp.float32)
    choice = Choice(chosen, chosen, steps.action[0], steps.state[0])
    total = np.asarray(params["mixer"](choice))[:, 0]
    is_greedy = ((taken == best) | ~active).all(-1)
    full = total < y if weighting == "optimistic" else (y > of_best) | is_greedy
    assert 0 < full.sum() < M
    expected = np.mean(np.where(full, 1, 0.25) * (total - y) ** 2) / 2
    loss, metrics = algorithm.error(params, steps, returns, weight)
    np.testing.assert_allclose(metrics["monotonic_loss"], expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["central_loss"], np.mean((central - y) ** 2) / 2, rtol=1e-4)
    np.testing.assert_allclose(loss, metrics["monotonic_loss"] + metrics["central_loss"], rtol=1e-6)


NAMES = {
    "wqmix": dict(embed=2, hypernet=3, central_hidden=(5,), weighting="central"),
    "qplex": dict(heads=2, hypernet=3, advantage_hidden=(3,)),
    "qfix": dict(embed=2, hypernet=3, fix_hidden=(3,), fixee="monotonic"),
    "qtran": dict(joint_hidden=(5,)),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_an_absent_agent_sees_and_does_weighs_nothing(name):
    algorithm, learned = setting(lambda **x: make_algorithm(name, **x), **NAMES[name])

    def loss(steps):
        returns, weight = algorithm.targets(learned, steps)
        return jax.value_and_grad(lambda p: algorithm.error(p, steps, returns, weight)[0])(
            learned.params
        )

    usual = batch()
    absent = (usual.obs.at[0, -1, 1].set(777.0), usual.action.at[0, -1, 1].set(1))
    there = (usual.obs.at[0, -1, 0].set(7.0), usual.action.at[0, -1, 0].set(1))
    same, other = (loss(batch(obs=obs, action=action)) for obs, action in (absent, there))
    jax.tree.map(np.testing.assert_array_equal, loss(usual), same)
    assert loss(usual)[0] != other[0]


@pytest.mark.parametrize("name", NAMES)
def test_each_team_learns_from_its_own_rewards(name):
    algorithm = make_algorithm(name, **FIELDS, discount=0.9, **NAMES[name])
    learned = algorithm.init(spec(0, 1), jax.random.key(0)).learned
    steps = batch()
    returns, weight = algorithm.targets(learned, steps)
    richer, _ = algorithm.targets(learned, batch(reward=steps.reward.at[..., 1].add(5.0)))
    np.testing.assert_array_equal(weight[0, :, 1], ACTIVE[0, :, 1])
    np.testing.assert_array_equal(richer[..., 0], returns[..., 0])
    np.testing.assert_allclose(richer[..., 1], returns[..., 1] + 5, rtol=1e-5)


# Hysteresis.


def test_hysteresis_weighs_errors_that_would_lower_a_value():
    value, target = jnp.array([[[3.0, 0.0]]]), jnp.array([[[1.0, 2.0]]])
    cost = lambda **x: iql(loss="squared", **x).cost(value, target)[0, 0]  # noqa: E731
    np.testing.assert_array_equal(cost(), [2.0, 2.0])
    np.testing.assert_allclose(cost(hysteresis=0.25), [0.5, 2.0])
    np.testing.assert_array_equal(cost(hysteresis=0.0), [0.0, 2.0])
    np.testing.assert_allclose(vdn(loss="squared", hysteresis=0.5).cost(value, target), [[[1, 2]]])


# Learning where all actions are tried alike.

PAYOFFS = jnp.array([[8.0, -12.0, -12.0], [-12.0, 0.0, 0.0], [-12.0, 0.0, 0.0]])


class Coordinate(Probe):
    """Son et al. 2019, table 1: both must dare at once."""

    def reward(self, state, action):
        return jnp.broadcast_to(PAYOFFS[action[0], action[1]], (2,))


LEARNING = dict(
    hidden=(32,),
    epsilon_end=1.0,
    learning_starts=320,
    capacity=20_000,
    batch_size=128,
    update_ratio=0.025,
    loss="squared",
    discount=0.99,
)


def greedy_return(env, algorithm) -> float:
    """What the best actions earn after a training of 96,000 steps from seed 1."""
    learner = OnDevice(algorithm, env, num_envs=32, unroll=10, total_updates=300.0)

    @jax.jit
    def run():
        state = learner.init(jax.random.key(1))
        state, _ = jax.lax.scan(lambda s, _: learner.update(s), state, None, 300)
        policy, key = learner.policy(state), jax.random.key(2)
        place, timestep = env.reset(key)
        earned = jnp.zeros(())
        for _ in range(env.spec.horizon):
            action = policy(timestep, policy.initial_carry(), key)[0].mode()
            place, timestep = env.step(key, place, action)
            earned += timestep.reward.mean()
        return earned

    return float(run())


SMALL = {
    "qmix": dict(embed=16, hypernet=32),
    "wqmix": dict(embed=16, hypernet=32, central_hidden=(32, 32), alpha=0.1),
    "qplex": dict(hypernet=32, learning_rate=5e-3),
    "qfix": dict(hypernet=32),
    "qtran": dict(joint_hidden=(32, 32)),
}


@pytest.mark.parametrize(
    "name, settings, best",
    [
        ("vdn", {}, 0),
        ("vdn", dict(hysteresis=0.1), 8),
        ("qmix", {}, 0),
        ("wqmix", {}, 8),
        ("qplex", {}, 8),
        ("qfix", {}, 8),
        ("qtran", {}, 8),
    ],
)
def test_who_dares_together(name, settings, best):
    """A sum and a monotonic value, fitted to all actions alike, stay where nothing is lost."""
    algorithm = make_algorithm(name, **LEARNING | SMALL.get(name, {}) | settings)
    assert greedy_return(Coordinate(), algorithm) == best


@pytest.mark.parametrize("name", ["qplex", "qfix", "qtran"])
def test_the_two_step_game(name):
    """8, where a sum of values settles for 7."""
    assert greedy_return(TwoStepGame(), make_algorithm(name, **LEARNING | SMALL[name])) == 8
