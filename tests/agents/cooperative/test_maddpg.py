"""MADDPG and its kin on steps made by hand: targets of everyone's slow actions, gradients through
one's own action alone, discrete actions; and whole trainings."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Meet, Mixed
from two_agents import KEY, PLAIN, learned, metrics_of, spec, step

from shoal.agents.cooperative.facmac import facmac
from shoal.agents.cooperative.maddpg import iddpg, maddpg, matd3
from shoal.agents.policies import SoftActor
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete, Factored
from shoal.registry import make

GAMMA, H = PLAIN["discount"], 2.0
BOX, CHOICES = Box(-H, H, (1, 1)), Discrete((3, 2))
ENDS = {
    "goes on": {},
    "is cut": {"cut": True},
    "terminates": {"gone": True},
    "without the other": {"gone": (False, True)},
}


def loss_of(made, before, batch, agent: int) -> float:
    """The critics' loss where that agent alone counts."""
    only = jnp.arange(2) == agent
    batch = eqx.tree_at(lambda b: b.active, batch, batch.active & only)
    return float(metrics_of(made, before, batch)["critic_loss"])


@pytest.mark.parametrize("how", ENDS)
def test_the_target_in_a_box_by_hand(how):
    """Of two agents, each with its own reward and value of the state and of both slow actors'
    actions: with critics that say 0, the loss is the square of the target."""
    made = maddpg(**PLAIN)
    mu, slow = np.array([0.25, -0.5]), np.array([[2.0, 4.0, -8.0], [-1.0, 3.0, 5.0]])
    before = learned(
        made, spec(BOX), [[9.0], [9.0]], [np.zeros((2, 3))], np.arctanh(mu)[:, None], [slow]
    )
    batch = step(BOX, [[1.0], [1.5]], (4.0, -3.0), state=9.0, next_state=1.5, **ENDS[how])
    joint = mu * (1, how != "without the other")
    for agent, reward in enumerate((4.0, -3.0)):
        value = slow[agent] @ (1.5, *joint)
        ended = how == "terminates" or (how == "without the other" and agent == 1)
        y = reward + GAMMA * value * (not ended)
        np.testing.assert_allclose(loss_of(made, before, batch, agent), y**2, rtol=1e-6)


@pytest.mark.parametrize("how", ENDS)
def test_the_target_of_choices_by_hand(how):
    """The best legal choice of each slow actor, of 3 and of 2, one-hot: agent 0's best of all, its
    last, is illegal there, and agent 1 has no third."""
    made = maddpg(**PLAIN)
    slow = np.array(
        [[2.0, 0.5, 4.0, 99.0, -8.0, -6.0, 99.0], [1.0, 7.0, 3.0, 99.0, 5.0, 2.0, 99.0]]
    )
    out = [[0.0, 1.0, 2.0], [0.5, 0.25, 9.0]]
    before = learned(made, spec(CHOICES), np.zeros((2, 3)), [np.zeros((2, 7))], out, [slow])
    legal = [[True, True, False], [True, True, False]]
    batch = step(
        CHOICES, [2, 1], (4.0, -3.0), state=9.0, next_state=1.5, next_legal=legal, **ENDS[how]
    )
    joint = np.array([0, 1, 0, how != "without the other", 0, 0])
    for agent, reward in enumerate((4.0, -3.0)):
        value = slow[agent] @ (1.5, *joint[:3], *joint[3:])
        ended = how == "terminates" or (how == "without the other" and agent == 1)
        y = reward + GAMMA * value * (not ended)
        np.testing.assert_allclose(loss_of(made, before, batch, agent), y**2, rtol=1e-6)


def test_matd3_takes_the_lower_of_two_critics():
    made = matd3(**PLAIN, smoothing=0.0)
    both = [[[0.0, 4.0, 0.0]] * 2, [[0.0, 1.0, 2.0]] * 2]  # 4 u, u + 2 v
    mu = np.array([0.5, -0.5])
    before = learned(
        made, spec(BOX), np.zeros((2, 1)), [np.zeros((2, 3))] * 2, np.arctanh(mu)[:, None], both
    )
    batch = step(BOX, [[1.0], [1.5]], 3.0)
    y = 3.0 + GAMMA * min(4 * 0.5, 0.5 - 2 * 0.5)
    np.testing.assert_allclose(loss_of(made, before, batch, 0), 2 * y**2, rtol=1e-6)


@pytest.mark.parametrize("active", [True, False])
def test_critics_read_what_was_done_and_nothing_of_who_did_nothing(active):
    """2 s + 3, 5, 7 of agent 0's choices + 11, 13 of agent 1's."""
    made = maddpg(**PLAIN)
    weights = [[2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 99.0]] * 2
    zeros = np.zeros((2, 3))
    before = learned(made, spec(CHOICES), zeros, [weights], zeros, [np.zeros((2, 7))])
    batch = step(CHOICES, [2, 1], state=0.5, gone=True, active=(True, active))
    expected = 1.0 + 7.0 + 13.0 * active
    np.testing.assert_allclose(metrics_of(made, before, batch)["q_mean"], expected, rtol=1e-6)


def central_batch(space):
    action = [[1.0], [-1.5]] if isinstance(space, Box) else [2, 1]
    return step(space, action, state=7.0, gone=True)


def test_an_actor_is_judged_by_its_own_action_beside_what_the_others_did():
    """2 s + 3 u + 5 v, u of the actor and v of the replay, whose units are half widths."""
    made = maddpg(**PLAIN)
    mu = np.array([0.25, -0.5])
    weights = [[2.0, 3.0, 5.0], [2.0, 5.0, 3.0]]
    zeros = np.zeros((2, 1))
    before = learned(made, spec(BOX), np.arctanh(mu)[:, None], [weights], zeros, [np.zeros((2, 3))])
    metrics = metrics_of(made, before, central_batch(BOX))
    q = 14 + 3 * mu + 5 * np.array([-1.5, 1.0]) / H
    np.testing.assert_allclose(metrics["actor_loss"], -q.mean(), rtol=1e-6)
    slope = 3 * (1 - mu**2) / 2
    np.testing.assert_allclose(metrics["actor_grad_norm"], np.sqrt((slope**2).mean()), rtol=1e-5)


@pytest.mark.parametrize("space", [BOX, CHOICES])
@pytest.mark.parametrize(
    ("algorithm", "central"), [(maddpg, False), (iddpg, False), (facmac, True)]
)
def test_whose_action_a_value_that_is_climbed_depends_on(space, algorithm, central):
    """Each agent's own alone, but everyone's of the mixed value of a team."""
    made = algorithm(**PLAIN)
    params, batch = made.init(spec(space), KEY).learned.params, central_batch(space)
    action = jax.random.uniform(KEY, (1, 1, 2, space.size))
    jacobian = jax.jacobian(lambda a: made.worth(params, batch, a)[0][0, 0])(action)
    depends = np.abs(jacobian[:, 0, 0]).max(-1) > 0
    expected = [[True, True]] if central else np.eye(2, dtype=bool)
    np.testing.assert_array_equal(depends, expected)


def test_the_actors_gradient_of_choices_by_hand():
    """That of a softmax of logits and Gumbel noise, in the weights of the agent's own choices."""
    made = maddpg(**PLAIN, temperature=0.7)
    weights = np.array([[2.0, 3, 5, 7, 50, 50, 50], [2.0, 50, 50, 50, 11, 13, 0]])
    logits = np.array([[0.3, -0.2, 0.1], [0.5, 0.0, 0.0]])
    zeros = np.zeros((2, 3))
    before = learned(made, spec(CHOICES), logits, [weights], zeros, [np.zeros((2, 7))])
    metrics = metrics_of(made, before, central_batch(CHOICES))
    noise = jax.random.gumbel(jax.random.split(KEY)[1], (1, 1, 2, 3))[0, 0]
    z = np.asarray((logits + noise) / 0.7)
    own = [slice(0, 3), slice(0, 2)]
    norms, values = [], []
    for agent, w in enumerate((weights[0, 1:4], weights[1, 4:6])):
        x = z[agent, own[agent]]
        p = np.exp(x) / np.exp(x).sum()
        norms.append(np.linalg.norm(p * (w - w @ p) / 0.7 / 2))
        values.append(14 + 50 + w[x.argmax()])
    np.testing.assert_allclose(metrics["actor_loss"], -np.mean(values), rtol=1e-6)
    expected = np.sqrt(np.mean(np.square(norms)))
    np.testing.assert_allclose(metrics["actor_grad_norm"], expected, rtol=1e-4)


def test_choices_are_drawn_in_training_and_the_best_legal_one_is_taken_after():
    """As often as the softmax of the legal logits says, at any temperature of the gradient."""
    made = maddpg(**PLAIN, temperature=0.1)
    before = made.init(spec(CHOICES), KEY)
    out = [[0.0, 1.0, 2.0], [0.5, 0.25, 9.0]]
    zeros = np.zeros((2, 7))
    state = eqx.tree_at(
        lambda s: s.learned, before, learned(made, spec(CHOICES), out, [zeros], out, [zeros])
    )
    legal = jnp.array([[True, True, False], [True, True, False]])
    now = TimeStep.of(jnp.zeros((9000, 2, 1)), action_mask=jnp.broadcast_to(legal, (9000, 2, 3)))
    policy = made.policy(state)
    assert isinstance(policy, SoftActor)
    np.testing.assert_array_equal(policy(now, None)[0].mode()[0], [1, 0])
    action, _, _ = made.act(made.acting(state), now, (None, None), KEY)
    share = np.exp([0.0, 0.5]) / np.exp([[0.0, 1.0], [0.5, 0.25]]).sum(1)
    np.testing.assert_allclose((action == 0).mean(0), share, atol=0.02)
    assert (action < 2).all()


def test_kin_differ_in_these_fields():
    assert maddpg().critic == matd3().critic == "global" and iddpg().critic == "local"
    third = matd3()
    assert (third.critics, third.actor_interval, third.target_interval) == (2, 2, 2)


def test_several_choices_at_once_are_refused_with_advice():
    several = EnvSpec("tiny", ("a",), (1,), Factored(((2, 2),)), 10)
    for algorithm in (maddpg, matd3, iddpg, facmac):
        with pytest.raises(UserError, match="tiny wants several choices at once: use ippo"):
            algorithm().check(several)


# Whole trainings.

TRAINED = dict(
    hidden=(32,),
    discount=0.9,
    learning_rate=3e-3,
    learning_starts=320,
    capacity=16_000,
    batch_size=160,
    update_ratio=0.025,
    target_rate=0.05,
)


@pytest.mark.parametrize("algorithm", [maddpg, matd3, facmac])
def test_a_team_meets_in_a_box(train_probe, algorithm):
    """48,000 steps from seed 0: returns above 0.95 of 1, with 0 for agents that stand still. MADDPG
    meets whom the replay remembers, so that it must not reach far back."""
    assert train_probe(algorithm(**{**TRAINED, "capacity": 4_000}), Meet()).returns.min() > 0.95


def test_agents_of_two_kinds_choose_among_2_and_3(train_probe):
    np.testing.assert_allclose(train_probe(maddpg(**TRAINED), Mixed()).returns, 1.0)


@pytest.mark.parametrize("algorithm", [maddpg, facmac])
def test_a_team_finds_the_best_cell_of_a_matrix(train_probe, algorithm):
    """8 at each of five rounds, beside a cell of 6 and 0 elsewhere."""
    game = make("coop/matrix", payoffs=((8.0, 0.0), (0.0, 6.0)), rounds=5)
    np.testing.assert_allclose(train_probe(algorithm(**TRAINED), game).returns, 40.0)
