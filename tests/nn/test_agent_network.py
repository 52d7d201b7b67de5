"""Who shares what with whom, who sees what, and a recurrent unroll against single steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.nn import agent_network
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.recurrent import GRU
from shoal.nn.sharing import Groups

IN, OUT, N, M = 3, 2, 3, 4
SPEC = EnvSpec("tiny", ("a", "b", "c"), (IN,) * N, Discrete((OUT,) * N), 9, roles=(7, 2, 7))


def network(groups: Groups, **settings) -> AgentNetwork:
    build = eqx.filter_jit(AgentNetwork)
    return build(IN, OUT, groups, hidden=(4,), key=jax.random.key(0), **settings)


def count(network: AgentNetwork) -> int:
    return sum(x.size for x in jax.tree.leaves(network))


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(
    ("sharing", "groups", "parameters"),
    [
        ("shared", (0, 0, 0), 26),  # 3 * 4 + 4, then 4 * 2 + 2
        ("independent", (0, 1, 2), 78),
        ("role", (1, 0, 1), 52),
        ("auto", (1, 0, 1), 52),
    ],
)
def test_sharing_decides_how_many_parameters_there_are(sharing, groups, parameters):
    made = Groups.of(SPEC, sharing)
    assert made.of_agent == groups
    assert count(network(made)) == parameters


def test_a_gru_adds_its_own_parameters():
    gru = (4 * 15 + 15) + (5 * 15 + 15)
    assert count(network(Groups((0, 0, 0)), recurrent=5)) == 16 + gru + (5 * 2 + 2)


@pytest.mark.parametrize("of_agent", [(0, 0, 0), (0, 1, 2), (1, 0, 1), (0, 0, 1)])
def test_split_and_join_are_inverse(of_agent):
    groups = Groups(of_agent)
    x = normal(0, M, N, 5)
    np.testing.assert_array_equal(groups.join(groups.split(x), N), x)


@pytest.mark.parametrize("recurrent", [0, 5])
def test_many_groups_run_as_one_batched_product(monkeypatch, recurrent):
    net = network(Groups((0, 1, 2)), recurrent=recurrent)
    x, starts = normal(0, 4, M, N, IN), jnp.zeros((4, M), bool)
    carry = None if not recurrent else normal(1, M, N, recurrent)
    one_by_one = net.unroll(x, carry, starts)
    monkeypatch.setattr(agent_network, "MAX_UNROLLED_GROUPS", 1)
    np.testing.assert_allclose(net.unroll(x, carry, starts), one_by_one, atol=1e-6)


@pytest.mark.parametrize("of_agent", [(0, 0, 0), (0, 1, 2), (1, 0, 1)])
def test_an_agents_output_depends_on_its_own_input_alone(of_agent):
    net = network(Groups(of_agent))
    slope = jax.jacfwd(lambda x: net.step(x, None)[0])(normal(0, M, N, IN))
    size = np.abs(slope).sum((2, 5))  # [M, N, M, N]: of whose output by whose input
    own = np.eye(M)[:, None, :, None] * np.eye(N)[None, :, None, :]
    assert (size[own == 0] == 0).all() and (size[own == 1] > 0).all()


@pytest.mark.parametrize("of_agent", [(0, 0, 0), (0, 1, 2), (1, 0, 1)])
def test_agents_use_the_parameters_of_their_group_and_no_other(of_agent):
    net = network(Groups(of_agent))
    x = jnp.broadcast_to(normal(0, M, 1, IN), (M, N, IN))
    out = net.step(x, None)[0]
    for i in range(N):
        for j in range(i):
            same = np.allclose(out[:, i], out[:, j])
            assert same == (of_agent[i] == of_agent[j])
        grads = jax.grad(lambda net, i=i: net.step(x, None)[0][:, i].sum())(net)
        touched = np.abs(grads.stack.head.weight).sum((1, 2)) > 0
        np.testing.assert_array_equal(touched, np.arange(len(touched)) == of_agent[i])


@pytest.mark.parametrize("of_agent", [(0, 0, 0), (1, 0, 1)])
def test_unroll_equals_single_steps_with_resets(of_agent):
    T, H = 6, 5
    net = network(Groups(of_agent), recurrent=H)
    x, carry = normal(0, T, M, N, IN), normal(1, M, N, H)
    starts = np.zeros((T, M), bool)
    starts[0, 1] = starts[3, 0] = starts[3, 2] = starts[5, 0] = True
    out = eqx.filter_jit(net.unroll)(x, carry, jnp.asarray(starts))
    step = eqx.filter_jit(net.step)
    for t in range(T):
        carry = jnp.where(starts[t][:, None, None], net.initial_carry(), carry)
        expected, carry = step(x[t], carry)
        np.testing.assert_allclose(out[t], expected, rtol=1e-4, atol=1e-6)


def test_successors_are_read_with_the_memory_of_their_own_step():
    """Against single steps: what is read there changes no memory, and no reset lies before it."""
    T, H = 4, 5
    net = network(Groups((1, 0, 1)), recurrent=H)
    x, next_x, carry = normal(0, T, M, N, IN), normal(1, T, M, N, IN), normal(2, M, N, H)
    starts = np.zeros((T, M), bool)
    starts[2, 0] = starts[1, 2] = starts[0, 1] = True
    out = eqx.filter_jit(net.after)(x, next_x, carry, jnp.asarray(starts))
    step = eqx.filter_jit(net.step)
    for t in range(T):
        carry = jnp.where(starts[t][:, None, None], 0.0, carry)
        carry = step(x[t], carry)[1]
        np.testing.assert_allclose(out[t], step(next_x[t], carry)[0], rtol=1e-4, atol=1e-6)


def test_where_nothing_was_reset_a_successor_is_the_next_step():
    net = network(Groups((0, 0, 0)), recurrent=5)
    x, carry, starts = normal(0, 4, M, N, IN), normal(1, M, N, 5), jnp.zeros((4, M), bool)
    following = net.after(x[:-1], x[1:], carry, starts[:-1])
    np.testing.assert_allclose(following, net.unroll(x, carry, starts)[1:], atol=1e-5)


def test_agents_that_share_parameters_differ_by_their_number_within_their_group():
    x = jnp.broadcast_to(normal(0, M, 1, IN), (M, N, IN))
    net = network(Groups((1, 0, 1)), agent_id=True)
    assert (net.ids.of_agent, net.ids.count) == ((0, 0, 1), 2)
    np.testing.assert_array_equal(net.ids.append(x)[0, :, IN:], [[1, 0], [1, 0], [0, 1]])
    out = net.step(x, None)[0]
    assert np.abs(out[:, 0] - out[:, 2]).max() > 0.01
    # Without the numbers' weights they are the same.
    first = net.stack.torso.layers[0]
    blind = eqx.tree_at(
        lambda n: n.stack.torso.layers[0].weight, net, first.weight.at[:, IN:].set(0)
    )
    out = blind.step(x, None)[0]
    np.testing.assert_allclose(out[:, 0], out[:, 2], rtol=1e-6)


@pytest.mark.parametrize(("of_agent", "wanted"), [((0, 1, 2), True), ((0, 0, 0), False)])
def test_no_number_is_an_input_where_none_is_needed_or_wanted(of_agent, wanted):
    net = network(Groups(of_agent), agent_id=wanted)
    assert count(net) == count(network(Groups(of_agent)))


@pytest.mark.parametrize("of_agent", [(0, 0, 0), (0, 1, 2), (1, 0, 1)])
def test_a_network_of_one_agent_alone_says_what_it_said_among_all(of_agent):
    net = network(Groups(of_agent), agent_id=True, recurrent=5)
    x, carry = normal(0, M, N, IN), normal(1, M, N, 5)
    out, after = net.step(x, carry)
    for i in range(N):
        alone = net.alone(i)
        own, own_after = alone.step(x[:, i : i + 1], carry[:, i : i + 1])
        np.testing.assert_allclose(own[:, 0], out[:, i], atol=1e-6)
        np.testing.assert_allclose(own_after[:, 0], after[:, i], atol=1e-6)
        assert count(alone) == count(net) // net.groups.count


def test_unroll_without_memory_is_one_step_for_all():
    net = network(Groups((1, 0, 1)))
    x = normal(0, 2, M, N, IN)
    out = net.unroll(x, None, jnp.ones((2, M), bool))
    np.testing.assert_allclose(out[1], net.step(x[1], None)[0], rtol=1e-5)


def test_a_gru_step_by_hand():
    H = 2
    cell = GRU(3, H, key=jax.random.key(0))
    x, h = normal(1, 1, 3), normal(2, 1, H)
    gates_x, gates_h = x @ cell.inputs.weight, h @ cell.hidden.weight
    r, z = (1 / (1 + np.exp(-(gates_x + gates_h)[:, k : k + H])) for k in (0, H))
    n = np.tanh(gates_x[:, 2 * H :] + r * gates_h[:, 2 * H :])
    np.testing.assert_allclose(cell(cell.project(x), h), (1 - z) * n + z * h, rtol=1e-5)
