"""Policies that families share, and those of all algorithms: what exists, what is best, who sees
what, and one environment or many."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policies import (
    NARROWEST,
    WIDEST,
    Actor,
    Explorer,
    NoisyPolicy,
    QPolicy,
    SoftActor,
)
from shoal.core.algorithm import Policy
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.spaces import Box, Discrete
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.sharing import Groups
from shoal.registry import ALGORITHMS, make_algorithm

B, N, D, A = 3, 2, 2, 3
KEY = jax.random.key(0)


def network(size_out: int = A, recurrent: int = 0, of_agent=(0, 0)) -> AgentNetwork:
    groups = Groups(of_agent)
    return AgentNetwork(D, size_out, groups, hidden=(4,), recurrent=recurrent, key=KEY)


def draw(*shape: int, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def actor(space, **settings) -> Actor:
    spec = EnvSpec("tiny", ("a", "b"), (D, D), space, 10)
    return Actor.of(network(space.size, **settings), spec, -0.5)


POLICIES = {
    "actor": lambda recurrent: actor(Discrete((A, A)), recurrent=recurrent),
    "box actor": lambda recurrent: actor(Box(-1.0, 1.0, (A, A)), recurrent=recurrent),
    "q": lambda recurrent: QPolicy(network(A, recurrent), Discrete((A, A)), 0.1),
    "squashed": lambda recurrent: SoftActor(network(2 * A, recurrent), Box(-1.0, 1.0, (A, A))),
    "softmax": lambda recurrent: SoftActor(network(A, recurrent), Discrete((A, A))),
    "noisy": lambda recurrent: NoisyPolicy(network(A, recurrent), Box(-1.0, 1.0, (A, A)), 0.1),
}


@pytest.mark.parametrize("space", [Discrete((A, 1))])
@pytest.mark.parametrize(
    "make",
    [
        actor,
        lambda space: QPolicy(network(), space, 1.0),
        lambda space: SoftActor(network(), space),
    ],
)
def test_actions_that_an_agent_lacks_are_never_taken(make, space):
    """Agent 1 has one action; its environment gives no mask."""
    distribution, carry = make(space)(TimeStep.of(draw(500, N, D)), None, KEY)
    actions = np.asarray(distribution.sample(KEY))
    assert carry is None
    assert set(actions[:, 0].tolist()) == {0, 1, 2}
    assert (actions[:, 1] == 0).all() and (distribution.mode()[:, 1] == 0).all()


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("recurrent", [0, 5])
def test_a_policy_acts_for_one_environment_as_for_many(name, recurrent):
    policy = POLICIES[name](recurrent)
    timestep = TimeStep.of(draw(B, N, D))
    carry = draw(B, N, 5, seed=1) if recurrent else None
    many, many_carry = policy(timestep, carry, KEY)
    one, one_carry = policy(*jax.tree.map(lambda x: x[1], (timestep, carry)), KEY)
    np.testing.assert_allclose(one.mode(), many.mode()[1], rtol=1e-5, atol=1e-6)
    if recurrent:
        np.testing.assert_allclose(one_carry, many_carry[1], rtol=1e-5, atol=1e-6)


def test_a_box_actor_has_a_width_a_group_and_dimension():
    space = Box(((0.0, -3.0), (2.0, -1.0)), ((1.0, 3.0), (10.0, 1.0)), (2, 2))
    policy = actor(space, of_agent=(1, 0))
    assert policy.log_std.shape == (2, 2)
    policy = Actor(policy.network, jnp.array([[0.0, 1.0], [2.0, 3.0]]), space)
    distribution, _ = policy(TimeStep.of(draw(B, N, D)), None, KEY)
    expected = np.exp([[2.0, 3.0], [0.0, 1.0]]) * [[0.5, 3.0], [4.0, 1.0]]  # in half widths
    np.testing.assert_allclose(
        np.exp(distribution.log_std), np.broadcast_to(expected, (B, N, 2)), rtol=1e-5
    )


def test_a_squashed_actor_reads_means_and_then_widths_within_bounds():
    policy = POLICIES["squashed"](0)
    out = jnp.stack([jnp.array([1.0, 2.0, 3.0, -99.0, 0.5, 99.0])] * N)
    normal = policy.distribution(out, TimeStep.of(draw(N, D))).normal
    np.testing.assert_allclose(normal.mean[0], [1, 2, 3])
    np.testing.assert_allclose(normal.log_std[0], [NARROWEST, 0.5, WIDEST])


def test_an_explorer_draws_in_the_box_of_each_agent_and_keeps_the_carry():
    """Noise of 9 half widths meets both bounds of every dimension; points at random fill it."""
    space = Box(((0.0, -3.0), (2.0, -1.0)), ((1.0, 3.0), (10.0, 1.0)), (2, 2))
    policy = NoisyPolicy(network(2, 5), space, 9.0)
    now, carry = TimeStep.of(draw(999, N, D)), draw(999, N, 5)
    expected = policy(now, carry)[1]
    for at_random in (False, True):
        distribution, after = Explorer(policy, jnp.bool_(at_random))(now, carry, KEY)
        np.testing.assert_array_equal(after, expected)
        action = np.asarray(distribution.sample(KEY))
        np.testing.assert_array_equal(action, distribution.mode())
        slack = 0.02 * 2 * space.half_width if at_random else 0.0
        assert (action.min(0) >= space.lows).all() and (action.min(0) <= space.lows + slack).all()
        assert (action.max(0) <= space.highs).all() and (action.max(0) >= space.highs - slack).all()


@pytest.mark.parametrize("name", ["sac", "isac", "masac", "ddpg", "td3"])
def test_actions_are_drawn_from_the_whole_box_until_something_was_learned(name):
    space = Box(((0.0, -3.0), (2.0, -1.0)), ((1.0, 3.0), (10.0, 1.0)), (2, 2))
    algorithm, state = made(name, space)
    now = jax.vmap(TimeStep.of)(draw(9999, N, D))

    def fills(state) -> bool:
        """Whether quarters of each dimension are met alike."""
        acting = algorithm.acting(state)
        carry = algorithm.initial_carry(acting)
        action = algorithm.act(acting, now, carry, KEY)[0]
        share = (action - space.lows) / (2 * space.half_width)
        counts = np.array([((share >= q / 4) & (share < (q + 1) / 4)).mean(0) for q in range(4)])
        return bool((np.abs(counts - 0.25) < 0.02).all())

    learned = eqx.tree_at(lambda s: s.learned.updates, state, jnp.int32(1))
    assert fills(state) and not fills(learned)


# Of all algorithms.


def made(name: str, space, **settings):
    """An algorithm of two agents, and a state of it; nothing where it has other actions."""
    fields = {"hidden": (4,), "population": 4, "capacity": 8, "learning_starts": 8, "batch_size": 8}
    entry = make_algorithm(name)
    settings = {k: v for k, v in (fields | settings).items() if hasattr(entry, k)}
    algorithm = make_algorithm(name, **settings)
    spec = EnvSpec("tiny", ("a", "b"), (D, D), space, 10)
    try:
        algorithm.check(spec)
    except UserError:
        return None
    return algorithm, algorithm.init(spec, KEY)


DISCRETE = [name for name in ALGORITHMS if made(name, Discrete((2, 2)))]


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((name, {}) for name in DISCRETE), ("openai_es", {"stochastic": True})],
)
def test_no_algorithm_takes_an_action_that_an_agent_lacks(name, settings):
    """Agent 0 has two actions, agent 1 has three, and the environment gives no mask; neither in
    acting nor by the policy, its best action or its draws, in 512 cases."""
    algorithm, state = made(name, Discrete((2, 3)), **settings)
    acting = algorithm.acting(state)
    now = TimeStep.of(3 * draw(512, N, D))
    carry = jax.tree.map(lambda x: jnp.stack([x] * 512), algorithm.initial_carry(acting))
    action, _, _ = algorithm.act(acting, now, carry, KEY)
    distribution, _ = algorithm.policy(state)(now, None, KEY)
    taken = [np.asarray(x) for x in (action, distribution.sample(KEY), distribution.mode())]
    assert all(x[:, 0].max() <= 1 and x.min() >= 0 for x in taken)
    assert any(x[:, 1].max() == 2 for x in taken)


class Gossip(Policy):
    """Each agent acts on what all see, and does not say so."""

    network: AgentNetwork

    def initial_carry(self):
        return self.network.initial_carry()

    def __call__(self, timestep, carry, key):
        heard = timestep.obs + 0.1 * timestep.obs.sum(-2, keepdims=True)
        return Actor(self.network, None, Discrete((A, A)))(
            eqx.tree_at(lambda t: t.obs, timestep, heard), carry
        )


def crosstalk(policy: Policy, timestep: TimeStep, carry) -> float:
    """The largest slope of what one agent does, or remembers, by what another one sees."""

    def of_agents(tree):
        leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
        rows = [jnp.moveaxis(x, x.shape.index(N), 0) for x in leaves if N in x.shape]
        return jnp.concatenate([x.reshape(N, -1) for x in rows], -1) if rows else None

    def outputs(obs):
        now = eqx.tree_at(lambda t: t.obs, timestep, obs)
        return [of_agents(part) for part in policy(now, carry, KEY)]

    most = []
    for slopes in jax.tree.leaves(jax.jit(jax.jacobian(outputs))(timestep.obs)):
        slopes = np.abs(slopes).max((1, 3))  # [N, N]
        assert np.diag(slopes).min() > 0  # each answers to what it sees itself
        most.append(float((slopes - np.diag(np.diag(slopes))).max()))
    assert len(most) == 2 - (carry is None)
    return max(most)


# What is looked up in a table has no slope: test_jal.py shows it other observations instead.
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "jal"])
def test_what_an_agent_does_depends_on_what_it_sees_alone_unless_the_class_says_so(name):
    space = Discrete((A, A)) if name in DISCRETE else Box(-1.0, 1.0, (A, A))
    algorithm, state = made(name, space, recurrent=3, normalise_observations=True)
    policy, now = algorithm.policy(state), TimeStep.of(draw(N, D))
    carry = jax.tree.map(lambda x: 0.3 + x, policy.initial_carry())
    assert policy.centralised == (crosstalk(policy, now, carry) > 0)


def test_crosstalk_is_found():
    policy = Gossip(network())
    assert not policy.centralised and crosstalk(policy, TimeStep.of(draw(N, D)), None) > 0
