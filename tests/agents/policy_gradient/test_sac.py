"""Soft actor-critic on steps made by hand: targets, the actor's gradient, the temperature."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Meet

from shoal.agents.experience import Experience
from shoal.agents.off_policy import Learned
from shoal.agents.policy_gradient.sac import masac, sac
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete, Factored
from shoal.nn.critics import StateAction

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


def test_several_choices_at_once_are_refused_with_advice():
    factored = EnvSpec("tiny", ("a",), (1,), Factored(((2, 3),)), 10)
    with pytest.raises(UserError, match="tiny wants several choices at once: use ippo or mappo"):
        sac().check(factored)


# Discrete actions: the expectation is a sum.


def chooser(n: int = 1) -> EnvSpec:
    names = tuple(f"agent_{i}" for i in range(n))
    return EnvSpec("tiny", names, (1,) * n, Discrete((3,) * n), 10)


def choosing(made, environment, logits, values, targets=None) -> Learned:
    """Policies of logits, whatever they see; critics that say w_a x of each action a, where x is
    what is read first, and nothing of what else is read; and targets alike."""
    state = made.init(environment, KEY).learned
    head = lambda network: network.stack.head  # noqa: E731
    places = lambda p: [head(network).weight for network in p.networks]  # noqa: E731

    def critic(params, weights):
        first = [
            jnp.zeros_like(x).at[:, 0].set(jnp.array(w)) for x, w in zip(places(params), weights)
        ]
        return eqx.tree_at(places, params, first)

    layer = head(state.params["actor"].network)
    new = (jnp.zeros_like(layer.weight), jnp.broadcast_to(jnp.array(logits), layer.bias.shape))
    where = lambda p: (head(p.network).weight, head(p.network).bias)  # noqa: E731
    params = {**state.params, "actor": eqx.tree_at(where, state.params["actor"], new)}
    params["critic"] = critic(params["critic"], values)
    target = {"critic": critic(state.target["critic"], targets or values)}
    return Learned(params, target, state.optimizers, state.updates)


def chosen(obs, next_obs, action, reward, legal=(True,) * 3, next_legal=(True,) * 3, **ends):
    """`experience` of discrete actions."""
    batch = experience(obs, next_obs, 0.0, reward, **ends)
    shape = batch.reward.shape
    return dataclasses.replace(
        batch,
        action=jnp.broadcast_to(jnp.asarray(action, jnp.int32), shape),
        legal=jnp.broadcast_to(jnp.array(legal), (*shape, 3)),
        next_legal=jnp.broadcast_to(jnp.array(next_legal), (*shape, 3)),
    )


LOGITS = np.array([0.3, -0.5, 1.2])


def softmax(logits):
    p = np.exp(logits)
    return p / p.sum()


def test_the_target_of_discrete_actions_is_a_sum_over_the_legal_ones():
    """The lower of two critics for each action; the third action is not legal afterwards. With
    critics that say 0, the loss is twice the square of the target."""
    made = algorithm()
    low, high = (2.0, -1.0, 90.0), (1.0, 4.0, 90.0)
    before = choosing(made, chooser(), LOGITS, ((0.0,) * 3,) * 2, (low, high))
    batch = chosen([[5.0]], [[1.5]], 2, 7.0, next_legal=(True, True, False))
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    p = softmax(LOGITS[:2])
    v = (p * (1.5 * np.array([1.0, -1.0]) - ALPHA * np.log(p))).sum()
    np.testing.assert_allclose(metrics["critic_loss"], 2 * (7 + GAMMA * v) ** 2, rtol=1e-5)


def test_critics_of_discrete_actions_are_trained_on_the_one_that_was_taken():
    made = algorithm()
    before = choosing(made, chooser(), LOGITS, ((1.0, 2.0, 3.0), (0.0, -1.0, 5.0)))
    batch = chosen([[2.0], [4.0]], [[0.0]] * 2, [[1], [2]], 1.0, gone=True)
    after, metrics = jax.jit(made.step)(before, batch, KEY, 0.1)
    q = np.array([[2 * 2.0, 4 * 3.0], [2 * -1.0, 4 * 5.0]])
    np.testing.assert_allclose(metrics["q_mean"], q[0].mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["critic_loss"], ((q - 1) ** 2).sum(0).mean(), rtol=1e-6)
    for k, network in enumerate(after.params["critic"].networks):
        moved = (
            network.stack.head.weight[0, 0]
            - before.params["critic"].networks[k].stack.head.weight[0, 0]
        )
        assert moved[0] == 0 and (moved[1:] != 0).all()  # nobody took the first


def test_the_actors_gradient_of_discrete_actions_by_hand():
    r"""$dL/dl_a = p_a (f_a - \sum_b p_b f_b)$ with $f = \alpha \log p - q$, over what is legal."""
    made, values = algorithm(), ((1.0, 2.0, 9.0), (3.0, 1.5, 9.0))
    before = choosing(made, chooser(), LOGITS, values)
    batch = chosen([[1.0]], [[1.0]], 0, 0.0, legal=(True, True, False), gone=True)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    p, q = softmax(LOGITS[:2]), np.array([1.0, 1.5])
    f = ALPHA * np.log(p) - q
    loss = (p * f).sum()
    np.testing.assert_allclose(metrics["actor_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], -(p * np.log(p)).sum(), rtol=1e-5)
    slope = p * (f - loss)
    norm = np.sqrt((slope**2).sum() * 2)  # what it sees is 1: weights' gradients are the biases'
    np.testing.assert_allclose(metrics["actor_grad_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize(("legal", "most"), [((True,) * 3, 3), ((True, True, False), 2)])
def test_the_goal_among_discrete_actions_is_a_share_of_what_is_legal(legal, most):
    made = algorithm(target_entropy_share=0.5)
    before = choosing(made, chooser(), LOGITS, ((0.0,) * 3,) * 2)
    batch = chosen([[1.0]], [[1.0]], 0, 0.0, legal=legal, gone=True)
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    p = softmax(LOGITS[:most])
    excess = -(p * np.log(p)).sum() - 0.5 * np.log(most)
    np.testing.assert_allclose(metrics["log_alpha_loss"], ALPHA * excess, rtol=1e-4)


# Targets of several steps.


def test_targets_of_several_rewards_end_with_their_episode_and_need_room():
    """Five steps of one agent, 1 a step, whose successors are worth 10, 20, ..; the third ends an
    episode by a time limit. Of two rewards each; the last step has no room for a second."""
    made = algorithm(n_step=2)
    batch = experience(np.zeros((5, 1)), np.zeros((5, 1)), 0.0, 1.0)
    batch = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), batch)
    batch = dataclasses.replace(batch, done=jnp.arange(5)[:, None] == 2)
    value = 10.0 * jnp.arange(1, 6)[:, None, None]
    y, weight = made.td_targets(batch, value)
    expected = [1 + g * (1 + g * v) for g, v in ((GAMMA, 20), (GAMMA, 30))]
    expected += [1 + GAMMA * 30, 1 + GAMMA * (1 + GAMMA * 50)]
    np.testing.assert_allclose(y[:4, 0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(weight[:, 0, 0], [1, 1, 1, 1, 0])


def test_targets_of_several_rewards_run_on_where_it_is_anothers_turn():
    """The agent acts at every other step: what follows the third reward has no value of its own, so
    that the return runs on to the next that has."""
    made = algorithm(n_step=3)
    batch = experience(np.zeros((4, 1)), np.zeros((4, 1)), 0.0, 1.0)
    batch = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), batch)
    turn = jnp.array([True, False, True, False])[:, None, None]
    batch = dataclasses.replace(batch, active=turn, next_active=~turn)
    y, weight = made.td_targets(batch, 10.0 * jnp.arange(1, 5)[:, None, None])
    g = GAMMA
    np.testing.assert_allclose(y[0, 0, 0], 1 + g + g**2 + g**3 + g**4 * 40, rtol=1e-6)
    np.testing.assert_array_equal(weight[:, 0, 0], [1, 0, 0, 0])


def test_targets_of_several_rewards_end_where_an_agent_is_cut():
    """Of two agents the second is cut by the first step, and valued there; the other plays on."""
    made = algorithm(n_step=2)
    batch = experience(np.zeros((3, 2)), np.zeros((3, 2)), 0.0, 1.0)
    batch = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), batch)
    here = jnp.array([[True, True], [True, False], [True, False]])[:, None]
    cut = jnp.zeros((3, 1, 2), bool).at[0, 0, 1].set(True)
    batch = dataclasses.replace(
        batch, active=here, next_active=here & ~cut, cut=cut, gone=~here, reward=1.0 * here
    )
    y, weight = made.td_targets(batch, jnp.full((3, 1, 2), 10.0))
    np.testing.assert_allclose(y[0, 0], [1 + GAMMA * (1 + GAMMA * 10), 1 + GAMMA * 10], rtol=1e-6)
    np.testing.assert_array_equal(weight[:, 0], [[1, 1], [1, 0], [0, 0]])


def test_several_rewards_need_a_sequence_of_as_many_steps():
    with pytest.raises(UserError, match="n_step is 4, expected at most the sequence_length, 3"):
        sac(n_step=4, sequence_length=3).check(spec())


# Central critics.


def everyone(n=3) -> StateAction:
    """Two steps of n agents, the last of which does nothing."""
    action = jnp.arange(2.0 * n).reshape(2, n, 1) * H / 10
    active = jnp.ones((2, n), bool).at[:, -1].set(False)
    return StateAction(jnp.zeros((2, n, 1)), jnp.array([[50.0], [60.0]]), action, active)


def test_a_central_critic_reads_the_state_and_everyones_action_in_its_place():
    """Actions in units of the box; who does nothing counts for nothing to the others."""
    critic = masac(hidden=(), agent_id=False).start(spec(3), KEY)["critic"]
    pair = dataclasses.replace(everyone(), state=jnp.full((2, 3), 7.0))
    joint = [[0.0, 0.1, 0.0], [0.0, 0.1, 0.0], [0.0, 0.1, 0.2]]
    np.testing.assert_allclose(critic._inputs(pair)[0, :, 3:], joint, atol=1e-6)
    other = critic._inputs(pair, jnp.full((2, 3, 1), -H))
    joint = [[-1.0, 0.4, 0.0], [0.3, -1.0, 0.0], [0.3, 0.4, -1.0]]
    np.testing.assert_allclose(other[1, :, 3:], joint, atol=1e-6)
    assert (other[..., :3] == 7).all()


def test_a_central_critic_of_discrete_actions_reads_the_others_alone():
    critic = masac(hidden=(), agent_id=False).start(chooser(2), KEY)["critic"]
    pair = StateAction(jnp.zeros((2, 1)), jnp.zeros(2), jnp.array([2, 0]), jnp.ones(2, bool))
    joint = [[0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0]]
    np.testing.assert_array_equal(critic._inputs(pair)[:, 2:], joint)


def central(made, environment, state, own, other) -> Learned:
    """Policies as they are; central critics of two agents, and their targets, of these weights."""
    before = made.init(environment, KEY).learned
    places = lambda p: [network.stack.head.weight for network in p.networks]  # noqa: E731
    weights = jnp.array([[state, own, other], [state, other, own]])[..., None]

    def critic(params):
        return eqx.tree_at(places, params, [weights for _ in places(params)])

    params = {**before.params, "critic": critic(before.params["critic"])}
    target = {"critic": critic(before.target["critic"])}
    return Learned(params, target, before.optimizers, before.updates)


def test_critics_learn_of_what_the_others_did_and_actors_of_what_they_would_do_now():
    """A central value of 2 s + 3 u + 5 v: of the replay's u and v for the critics, of drawn ones
    for the actor, whose gradient passes through its own action alone."""
    both = dataclasses.replace(spec(2), state_size=1)
    made = algorithm(critic="global", sharing="independent")
    before = central(made, both, 2.0, 3.0, 5.0)
    batch = experience(np.zeros((1, 2)), np.zeros((1, 2)), [[0.3, -1.5]], 0.0, gone=True)
    batch = dataclasses.replace(
        batch, state=jnp.full((1, 1, 1), 7.0), next_state=jnp.zeros((1, 1, 1))
    )
    _, metrics = jax.jit(made.step)(before, batch, KEY, 0.0)
    u = np.array([0.1, -0.5])
    q = 14 + 3 * u + 5 * u[::-1]
    np.testing.assert_allclose(metrics["critic_loss"], 2 * (q**2).mean(), rtol=1e-5)
    z = noise(1, 1, 1, 2, 1)[0, 0]
    drawn = np.tanh(z)
    q = 14 + 3 * drawn + 5 * drawn[::-1]
    np.testing.assert_allclose(
        metrics["actor_loss"], (ALPHA * log_prob(z, 0.0, 0.0) - q).mean(), rtol=1e-4
    )
    slope = (2 * ALPHA * drawn - 3 * (1 - drawn**2)) / 2  # by each agent's own mean
    by_width = slope * z - ALPHA / 2
    norm = np.sqrt((slope**2 + by_width**2).mean())  # each group's, at an observation of 0
    np.testing.assert_allclose(metrics["actor_grad_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize(("make", "recurrent"), [(sac, 0), (masac, 0), (masac, 8)])
def test_a_team_meets_in_a_box(train_probe, make, recurrent):
    """48,000 steps from seed 0: returns above 0.95 of 1, with 0 for agents that stand still."""
    made = make(
        hidden=(32,),
        recurrent=recurrent,
        learning_rate=3e-3,
        learning_starts=320,
        capacity=16_000,
        batch_size=160,
        update_ratio=0.025,
        target_rate=0.05,
        init_alpha=0.1,
        target_entropy=-2.0,
    )
    assert train_probe(made, Meet()).returns.min() > 0.95
