"""Soft actor-critic on steps made by hand: targets, the actor's gradient, the temperature."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.off_policy import Experience, Learned
from shoal.agents.policy_gradient.sac import sac
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete

H, ALPHA, GAMMA = 3.0, 0.4, 0.9  # half the width of the box, the temperature, the discount
KEY = jax.random.key(7)


def spec(n: int = 1) -> EnvSpec:
    names = tuple(f"agent_{i}" for i in range(n))
    return EnvSpec("tiny", names, (1,) * n, Box(-H, H, (1,) * n), 10)


def algorithm(**settings):
    plain = dict(hidden=(), agent_id=False, discount=GAMMA, init_alpha=ALPHA, learning_starts=0)
    return sac(**{**plain, "capacity": 8, **settings})


def learned(made, environment, means=(0.0,), widths=(0.0,), values=((0.0, 0.0),) * 2, targets=None):
    """Policies of a mean and a log deviation, whatever they see, a row an agent; critics that say
    w_o o + w_a a of what is seen and of an action in [-1, 1], and targets alike."""
    state = made.init(environment, KEY).learned
    head = lambda network: network.stack.head  # noqa: E731

    def actor(params):
        bias = jnp.stack([jnp.array(means), jnp.array(widths)], -1)
        layer = head(params.network)
        new = (jnp.zeros_like(layer.weight), bias)
        return eqx.tree_at(lambda p: (head(p.network).weight, head(p.network).bias), params, new)

    def critic(params, weights):
        places = lambda p: [head(network).weight for network in p.networks]  # noqa: E731
        new = [
            jnp.broadcast_to(jnp.array(w)[:, None], x.shape)
            for w, x in zip(weights, places(params))
        ]
        return eqx.tree_at(places, params, new)

    params = {**state.params, "actor": actor(state.params["actor"])}
    params["critic"] = critic(params["critic"], values)
    target = {"critic": critic(state.target["critic"], targets or values)}
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


def noise(which: int, *shape: int) -> np.ndarray:
    """What the step draws for the successors' actions (0) or for those of now (1)."""
    return np.asarray(jax.random.normal(jax.random.split(KEY)[which], shape))[..., 0]


def log_prob(z, mean, log_std):
    """Of the action H tanh(mean + std z)."""
    x = mean + np.exp(log_std) * z
    return -(z**2) / 2 - np.log(2 * np.pi) / 2 - log_std - np.log(H) - np.log(1 - np.tanh(x) ** 2)


@pytest.mark.parametrize("how", ["goes on", "is cut", "terminates"])
def test_the_target_by_hand(how):
    """The lower of two target critics at a drawn action, less the temperature's share; an agent
    that is cut is valued too, one that terminated is not. With critics that say 0, the loss is
    twice the square of the target."""
    made = algorithm()
    ends = {"cut": how == "is cut", "gone": how == "terminates"}
    before = learned(made, spec(), (0.3,), (-1.0,), targets=((2.0, 0.5), (1.0, 4.0)))
    batch = experience([[5.0]], [[1.5]], 1.0, 7.0, **ends)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    z = noise(0, 1, 1, 1, 1)[0, 0, 0]
    a = np.tanh(0.3 + np.exp(-1.0) * z)
    q = min(2 * 1.5 + 0.5 * a, 1.0 * 1.5 + 4.0 * a)
    y = 7 if how == "terminates" else 7 + GAMMA * (q - ALPHA * log_prob(z, 0.3, -1.0))
    np.testing.assert_allclose(metrics["critic_loss"], 2 * y**2, rtol=1e-5)
    np.testing.assert_allclose(metrics["q_mean"], 0, atol=1e-6)


def test_critics_are_trained_on_actions_in_units_of_the_box():
    made = algorithm()
    before = learned(made, spec(), values=((2.0, 3.0), (0.0, 1.0)))
    batch = experience([[5.0]], [[0.0]], 1.5, 4.0, gone=True)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    q = np.array([2 * 5 + 3 * 1.5 / H, 1.5 / H])
    np.testing.assert_allclose(metrics["q_mean"], q[0], rtol=1e-6)
    np.testing.assert_allclose(metrics["critic_loss"], ((q - 4) ** 2).sum(), rtol=1e-6)


def test_the_actors_gradient_by_hand():
    r"""Through the action into mean and width, of the lower critic: with $u = \tanh x$,
    $dL/d\mu = E[2 \alpha u - k (1 - u^2)]$ and $dL/d\log\sigma = E[(..) \sigma z - \alpha]$."""
    m, made, (mean, log_std) = 64, algorithm(), (0.3, -0.7)
    before = learned(made, spec(), (mean,), (log_std,), values=((0.0, 2.0), (0.5, 3.0)))
    obs = np.full((m, 1), -9.0)  # where the second critic is always the lower one
    batch = experience(obs, obs, 0.0, 0.0, gone=True)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    z, std = noise(1, 1, m, 1, 1).ravel(), np.exp(log_std)
    u = np.tanh(mean + std * z)
    slope = 2 * ALPHA * u - 3.0 * (1 - u**2)
    by_mean, by_width = slope.mean(), (slope * std * z).mean() - ALPHA
    # What it sees is -9 throughout: so the weights' gradients are the biases' times that.
    norm = np.sqrt((by_mean**2 + by_width**2) * (1 + 81))
    np.testing.assert_allclose(metrics["actor_grad_norm"], norm, rtol=1e-4)
    q = 0.5 * -9 + 3 * u
    drawn = log_prob(z, mean, log_std)
    np.testing.assert_allclose(metrics["actor_loss"], (ALPHA * drawn - q).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], -drawn.mean(), rtol=1e-5)


def test_the_actors_step_goes_down_its_gradient_by_finite_differences():
    made = algorithm(learning_rate=1e-2)
    batch = experience(np.full((32, 1), 0.7), np.full((32, 1), 0.0), 0.0, 0.0, gone=True)
    step = jax.jit(made.step)

    def at(mean, log_std, rate=0.0):
        params = learned(made, spec(), (mean,), (log_std,), values=((0.0, 2.0), (0.1, 3.0)))
        return step(params, batch, KEY, rate)

    slopes = [
        float(at(0.3 + d, -0.7 + e)[1]["actor_loss"] - at(0.3 - d, -0.7 - e)[1]["actor_loss"])
        for d, e in ((0.01, 0.0), (0.0, 0.01))
    ]
    # The critics' own step comes first: where they are right, it moves them little.
    bias = at(0.3, -0.7, 1e-4)[0].params["actor"].network.stack.head.bias[0]
    np.testing.assert_array_equal(np.sign([0.3, -0.7] - np.asarray(bias)), np.sign(slopes))
    assert min(map(abs, slopes)) > 1e-3


def test_the_temperature_moves_towards_the_goal_from_both_sides_each_agents_own():
    """Two agents with parameters of their own, one of them far too narrow and one wide; the goal
    is that of one dimension, log H higher in a box than in [-1, 1]."""
    made, both = algorithm(sharing="independent", target_entropy=-1.0), spec(2)
    before = learned(made, both, (0.0, 0.0), (-4.0, -0.5))
    before = eqx.tree_at(lambda x: x.params["log_alpha"], before, jnp.log(jnp.array([0.2, 0.5])))
    batch = experience(np.zeros((64, 2)), np.zeros((64, 2)), 0.0, 0.0, gone=True)
    after, metrics = jax.jit(made.step)(before, batch, KEY, 0.1)
    moved = np.asarray(after.params["log_alpha"] - before.params["log_alpha"])
    np.testing.assert_allclose(moved, [0.1, -0.1], rtol=1e-3)
    z = noise(1, 1, 64, 2, 1)[0]
    excess = log_prob(z, 0.0, np.array([-4.0, -0.5])) + (-1.0 + np.log(H))
    expected = (np.array([0.2, 0.5]) * excess).sum() / 128
    np.testing.assert_allclose(metrics["log_alpha_loss"], -expected, rtol=1e-3)


def test_what_the_inactive_do_weighs_nothing():
    made, both = algorithm(), spec(2)
    before = learned(made, both, (0.2,), (-0.5,), values=((1.0, 2.0), (0.5, 3.0)))
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
    with pytest.raises(
        UserError, match="sac chooses actions in a box and tiny has others: use iql"
    ):
        sac().check(discrete)
