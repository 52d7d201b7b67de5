"""Sable: retention by hand, what each agent hears of the others, and what only a talk can win."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shoal
from shoal.agents.cooperative.sable import sable
from shoal.agents.policy_gradient.ppo import ippo
from shoal.agents.together import Together
from shoal.core.distributions import Distribution
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete, Factored
from shoal.envs.game.behaviour import probabilities
from shoal.export.policy_function import policy_function
from shoal.nn.layer_norm import EPSILON
from shoal.nn.retention import Retention
from shoal.training.contributions import contributions
from shoal.training.empirical_game import empirical_game
from shoal.training.on_device import OnDevice

N, D, A, B = 3, 2, 3, 5
KEY = jax.random.key(5)
SPEC = EnvSpec("tiny", tuple("abc"), (D,) * N, Discrete((A,) * N), 9)
PAIR = jnp.zeros((1, N, 18)), jnp.ones((1, N, 5), bool)
FIELDS = dict(hidden=(6,), heads=2, head_size=3, minibatches=1)


def shaken(tree, scale: float = 0.5):
    """Every number moved, so that no head is near 0 and no bias is 0."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(KEY, len(leaves))
    return structure.unflatten(
        [x + scale * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)]
    )


def policy(spec: EnvSpec = SPEC, **settings):
    made = sable(**{**FIELDS, **settings})
    made.check(spec)
    return shaken(made.policy(made.init(spec, KEY)))


def seen(spec: EnvSpec = SPEC, active=True, rows: int = B) -> TimeStep:
    now = TimeStep.of(jax.random.normal(KEY, (rows, spec.num_agents, spec.obs_size)))
    return dataclasses.replace(now, active=jnp.broadcast_to(jnp.asarray(active), now.active.shape))


@eqx.filter_jit
def decided(made, now: TimeStep) -> Distribution:
    return made(now, made.initial_carry(), KEY)[0]


# Retention --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("in_turn", "n"), [(False, N), (True, N), (True, 19)])
def test_retention_is_the_sum_of_what_was_written(in_turn, n):
    heads, size = 2, 3
    made = shaken(Retention(heads, heads * size, in_turn, key=KEY))
    asking, x = jax.random.normal(KEY, (2, n, heads * size))
    before = jax.random.normal(KEY, (heads, size, size))
    q, k, v, gate = (
        np.asarray(layer(rows))
        for layer, rows in (
            (made.query, asking),
            (made.key, x),
            (made.value, x),
            (made.gate, asking),
        )
    )
    expected = np.zeros((n, heads * size))
    for i, h in itertools.product(range(n), range(heads)):
        own = slice(h * size, (h + 1) * size)
        written = np.asarray(before[h], np.float64)
        for j in range(i + 1 if in_turn else n):
            written = written + np.outer(k[j, own], v[j, own])
        read = q[i, own] @ written
        expected[i, own] = (read - read.mean()) / np.sqrt(read.var() + EPSILON)
    expected = np.asarray(made.out(jnp.asarray(gate / (1 + np.exp(-gate)) * expected, jnp.float32)))
    found, after = made(asking, x, before)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    outer = np.einsum("nhd,nhe->hde", k.reshape(n, heads, size), v.reshape(n, heads, size))
    np.testing.assert_allclose(after, before + outer, rtol=1e-5, atol=1e-5)


# Decisions --------------------------------------------------------------------------------------


def test_the_probabilities_of_all_joint_actions_sum_to_1_and_are_those_of_the_draws():
    spec = EnvSpec("pair", ("a", "b"), (D, D), Discrete((2, 3)), 9)
    now = seen(spec)
    found = decided(policy(spec), jax.tree.map(lambda x: jnp.repeat(x[:1], 20_000, 0), now))
    joint = list(itertools.product(range(2), range(3)))
    actions = jnp.array(joint)
    rows = jax.tree.map(lambda x: x[: len(joint)], found)  # all of one time step
    rows = eqx.tree_at(lambda d: d.actor, rows, found.actor)
    probs = np.exp(rows.log_prob(actions).sum(-1))
    np.testing.assert_allclose(probs.sum(), 1.0, rtol=1e-5)
    assert probs.min() > 0.01
    drawn = np.asarray(found.sample(KEY))
    shares = [(drawn == a).all(-1).mean() for a in joint]
    np.testing.assert_allclose(shares, probs, atol=4 * 0.5 / 20_000**0.5)


def test_going_through_the_agents_finds_what_is_found_at_once():
    found = decided(policy(), seen(rows=512))
    best = found.mode()
    np.testing.assert_array_equal(found.given(best).mode(), best)
    others = np.asarray(found.given((best + 1) % A).mode())
    assert (others[:, 0] == best[:, 0]).all() and (others != best).any()


def test_an_agent_knows_what_those_before_it_do_and_what_all_see():
    made, now = policy(), seen()
    action = jnp.zeros((B, N), jnp.int32)
    plain = np.asarray(decided(made, now).given(action).log_probs)
    for j in range(N):
        told = decided(made, now).given(action.at[:, j].set(1)).log_probs
        moved = np.abs(told - plain).max((0, 2))
        np.testing.assert_array_equal(moved[: j + 1], 0)
        assert (moved[j + 1 :] > 1e-3).all()
        elsewhere = eqx.tree_at(lambda t: t.obs, now, now.obs.at[:, j].add(1.0))
        moved = np.abs(decided(made, elsewhere).given(action).log_probs - plain).max((0, 2))
        assert (moved > 1e-3).all()


@pytest.mark.parametrize("settings", [{}, {"recurrent": 3}, {"blocks": 2}])
def test_it_acts_for_one_environment_as_for_many(settings):
    made, now = policy(**settings), seen()
    carry = jax.tree.map(lambda x: 0.3 + jnp.zeros((B, *x.shape)), made.initial_carry())
    many, _ = made(now, carry, KEY)
    one, _ = made(*jax.tree.map(lambda x: x[1], (now, carry)), KEY)
    steps, _ = made(*jax.tree.map(lambda x: jnp.stack([x, x]), (now, carry)), KEY)
    np.testing.assert_array_equal(one.mode(), many.mode()[1])
    np.testing.assert_array_equal(steps.mode(), jnp.stack([many.mode()] * 2))


def test_who_does_nothing_tells_nothing():
    made, now = policy(), seen(active=[True, False, True])
    found = decided(made, now)
    plain, other = (
        found.given(jnp.zeros((B, N), jnp.int32).at[:, j].set(k)).log_probs[:, 2]
        for j, k in ((1, 0), (1, 2))
    )
    np.testing.assert_array_equal(plain, other)


@pytest.mark.parametrize(
    "space",
    [Box(-1.0, 3.0, (2, 2, 1)), Factored(((2, 3), (2, 3), (3,))), Discrete((2, 3, 3))],
    ids=["box", "factored", "discrete"],
)
def test_it_decides_on_actions_of_any_kind(space):
    spec = dataclasses.replace(SPEC, action=space)
    found = decided(policy(spec), seen(spec))
    action, best = found.sample(KEY), found.mode()
    assert action.shape == best.shape == (B, N, *space.shape)
    np.testing.assert_allclose(found.given(best).mode(), best, atol=1e-5)
    assert np.isfinite(found.log_prob(action)).all() and np.isfinite(found.entropy()).all()
    assert (found.kl(decided(policy(spec, activation="relu"), seen(spec))) > 0).all()
    told = found.given(best).log_prob(best)
    assert np.abs(found.given(action).log_prob(best) - told).max() > 1e-3


def test_it_says_that_it_is_not_decentralised_whatever_stands_around_it():
    assert policy().centralised and policy(normalise_observations=True).centralised
    assert not ippo().policy(ippo().init(SPEC, KEY)).centralised
    pair = Together((ippo(hidden=(4,)), sable(**FIELDS)), ((0,), (1, 2)))
    assert pair.policy(pair.init(SPEC, KEY)).centralised


# Learning ---------------------------------------------------------------------------------------


@eqx.filter_jit
def trained(learner, updates: int):
    return jax.lax.scan(lambda s, _: learner.update(s), learner.init(KEY), None, updates)[0]


@pytest.mark.parametrize(("algorithm", "best"), [(sable(**FIELDS), 1.0), (ippo(hidden=(6,)), 0.0)])
def test_only_those_who_talk_can_differ_without_a_number(algorithm, best):
    """Two agents that see the same and have no number are paid where they differ: without a word
    the likeliest actions of both are one."""
    algorithm = dataclasses.replace(
        algorithm, agent_id=False, learning_rate=0.01, entropy_weight=0.003, discount=0.0
    )
    world = shoal.make("coop/matrix", payoffs=[[0, 1], [1, 0]], rounds=4)
    learner = OnDevice(algorithm, world, 16, 8, total_updates=60.0)
    made = algorithm.policy(trained(learner, 60).algorithm)
    _, now = world.reset(KEY)
    action = decided(made, jax.tree.map(lambda x: x[None], now)).mode()[0]
    assert float(action[0] != action[1]) == best


# Refusals and files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda made, world: policy_function(made, world), "an export"),
        (lambda made, world: contributions(made, world, episodes=2), "a contribution"),
        (lambda made, world: empirical_game([made], world, episodes=2), "a player of one agent"),
        (lambda made, world: probabilities(made, *PAIR), "a game's measure"),
    ],
)
def test_its_agents_cannot_be_asked_one_by_one(ask, what):
    world = shoal.make("mpe/simple_spread")
    made = sable(**FIELDS)
    line = f"{what} needs a policy whose agents act on their own"
    with pytest.raises(UserError, match=line):
        ask(made.policy(made.init(world.spec, KEY)), world)


def test_what_it_cannot_do_is_refused():
    rivals = dataclasses.replace(SPEC, teams=(0, 0, 1))
    with pytest.raises(UserError, match="tiny has 2 teams: use mappo"):
        sable().check(rivals)
    with pytest.raises(
        UserError, match="sharing is independent, and sable's agents are one network"
    ):
        sable(sharing="independent").check(SPEC)
