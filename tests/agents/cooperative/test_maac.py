"""MAAC: what its critic reads, by properties and by hand, and its gradient against the paper's."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec as P
from probes import collect

from shoal.agents.cooperative.maac import MAAC, maac
from shoal.agents.policies import expectation
from shoal.agents.policy_gradient.sac import masac
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.parallel import AXIS, pmean
from shoal.core.spaces import Box, Discrete
from shoal.envs.cooperative.two_step import TwoStepGame
from shoal.nn.attention_critic import AttentionCritic
from shoal.nn.critics import StateAction

N, D, A, B = 4, 2, 3, 5
KEY = jax.random.key(3)
SPEC = EnvSpec("tiny", tuple("abcd"), (D,) * N, Discrete((A,) * N), 9)
FIELDS = dict(
    hidden=(6,),
    heads=2,
    head_size=3,
    capacity=16,
    batch_size=8,
    learning_starts=0,
    update_ratio=0.1,
)


def critic(recurrent: int = 0, **settings) -> AttentionCritic:
    made = maac(**FIELDS, recurrent=recurrent, **settings).start(SPEC, KEY)["critic"]
    leaves, structure = jax.tree.flatten(made)
    keys = jax.random.split(KEY, len(leaves))
    moved = [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)]
    return structure.unflatten(moved)  # with biases that are not 0


def pairs(seed: int = 0, active=True, steps: tuple[int, ...] = ()) -> StateAction:
    key_obs, key_action = jax.random.split(jax.random.key(seed))
    shape = (*steps, B, N)
    obs = jax.random.normal(key_obs, (*shape, D))
    action = jax.random.randint(key_action, shape, 0, A)
    return StateAction(obs, None, action, jnp.broadcast_to(jnp.asarray(active), shape))


@eqx.filter_jit
def values(made, pair):
    return made.step(pair, None)[0]


@pytest.mark.parametrize("sharing", ["shared", "independent"])
def test_a_value_reads_what_the_others_do_and_not_its_agents_own_action(sharing):
    made, pair = critic(sharing=sharing), pairs()
    plain = np.asarray(values(made, pair))
    assert plain.shape == (1, B, N, A)
    for i in range(N):
        other = dataclasses.replace(pair, action=pair.action.at[:, i].add(1) % A)
        change = np.abs(values(made, other) - plain).max((0, 3))
        np.testing.assert_array_equal(change[:, i], 0)
        assert (np.delete(change, i, 1) > 1e-6).all()


def test_others_that_share_parameters_are_interchangeable():
    made, pair = critic(sharing="shared", agent_id=False), pairs()
    order = jnp.array([0, 3, 1, 2])
    swapped = StateAction(pair.obs[:, order], None, pair.action[:, order], pair.active)
    plain, other = values(made, pair), values(made, swapped)
    np.testing.assert_allclose(other[:, :, 0], plain[:, :, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other, plain[:, :, order], rtol=1e-5, atol=1e-6)
    numbered = critic(sharing="shared", agent_id=True)
    assert np.abs(values(numbered, swapped) - values(numbered, pair))[:, :, 0].max() > 1e-3


@pytest.mark.parametrize("left", [2, 1, 0])
def test_nobody_attends_to_who_is_not_active(left):
    """Whatever it does, or would see; and whoever is alone reads nothing."""
    active = jnp.arange(N) < left
    pair = pairs(active=active)
    garbage = dataclasses.replace(
        pair,
        obs=jnp.where(active[:, None], pair.obs, 77.0),
        action=jnp.where(active, pair.action, 2),
    )
    made = critic()
    own = jnp.ones(N, bool) if left == 0 else active
    changed = np.asarray(values(made, garbage) - values(made, pair))
    np.testing.assert_array_equal(changed[:, :, own & active], 0)
    member = made.members[0]
    e = member.own.step(pair.obs, None)[0]
    weights = member.attention.weights(e, e, pair.active)
    attended = np.asarray(active & ~np.eye(N, dtype=bool))
    expected = np.broadcast_to(attended.any(-1), (B, 2, N))
    np.testing.assert_allclose(weights.sum(-1), 1.0 * expected, rtol=1e-5)
    assert (np.asarray(weights)[..., ~attended] == 0).all()
    assert np.isfinite(
        jax.grad(lambda m: values(m, pair).sum())(made).members[0].attention.query
    ).all()


def test_attention_by_hand():
    """One head at a time, one agent at a time, as the paper has it."""
    made, pair = critic(), pairs()
    member = made.members[0]
    act = jax.nn.relu
    e = np.asarray(member.own.step(pair.obs, None)[0])
    both = jnp.concatenate([pair.obs, jax.nn.one_hot(pair.action, A)], -1)
    g = np.asarray(member.other.step(both, None)[0])
    read = np.zeros((B, N, 6))
    for h in range(2):
        q, k, v = (
            np.asarray(x[h])
            for x in (member.attention.query, member.attention.key, member.attention.value)
        )
        for i in range(N):
            others = [j for j in range(N) if j != i]
            match = np.stack([((e[:, i] @ q) * (g[:, j] @ k)).sum(-1) for j in others], -1)
            weight = np.exp(match / np.sqrt(3))
            weight /= weight.sum(-1, keepdims=True)
            for w, j in zip(weight.T, others):
                read[:, i, 3 * h : 3 * h + 3] += w[:, None] * act(g[:, j] @ v)
    expected = member.head.step(jnp.concatenate([e, read], -1), None)[0]
    np.testing.assert_allclose(values(made, pair)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_recurrent_critic_reads_steps_as_one_by_one_and_successors_with_what_it_remembers():
    made, pair, then = critic(recurrent=4), pairs(steps=(3,)), pairs(seed=1, steps=(3,))
    starts = jnp.zeros((3, B), bool).at[2, 1].set(True)
    fresh = jax.tree.map(lambda x: jnp.stack([x] * B), made.initial_carry())
    carry = jax.tree.map(lambda x: x + 0.2, fresh)
    unrolled = made.unroll(pair, carry, starts)
    after = made.after(pair, then, carry, starts)
    for t in range(3):
        at = lambda tree, t=t: jax.tree.map(lambda x: x[t], tree)  # noqa: E731
        carry = jax.tree.map(lambda x, t=t: jnp.where(starts[t][:, None, None], 0, x), carry)
        q, carry = made.step(at(pair), carry)
        np.testing.assert_allclose(unrolled[:, t], q, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(after[:, t], made.step(at(then), carry)[0], rtol=1e-4, atol=1e-5)
    taken = jnp.take_along_axis(unrolled, pair.action[None, ..., None], -1)[..., 0]
    np.testing.assert_allclose(made.taken(pair, None or fresh, starts).shape, taken.shape)


# The algorithm.


def trained(algorithm: MAAC):
    """A state that has seen one rollout of the two-step game, and a batch of it."""
    state, rollout = collect(algorithm, TwoStepGame(), num_envs=4, unroll=4)
    replay = algorithm.learn(state, rollout, KEY)[0].replay
    batch = jax.tree.map(lambda x: x[:16].reshape(4, 4, *x.shape[1:]), replay.data)
    return state.learned, batch


def test_the_actors_step_is_the_mean_of_the_papers_with_any_baseline():
    """grad log pi_i(a) (Q_i(a) - b - alpha log pi_i(a)), summed over own actions."""
    algorithm = maac(**FIELDS, init_alpha=0.3)
    learned, batch = trained(algorithm)
    head = lambda x: x.params["actor"].network.stack.head.weight  # noqa: E731
    noise = jax.random.normal(KEY, head(learned).shape)
    learned = eqx.tree_at(head, learned, noise)
    key = jax.random.key(9)
    _, metrics = jax.jit(algorithm.step)(learned, batch, key, 0.0)

    def policy(actor):
        return actor.unroll(batch.obs, batch.legal, None, batch.starts)

    actor = learned.params["actor"]
    action, p, log_p = expectation(policy(actor), jax.random.split(key)[1])
    q = learned.params["critic"].unroll(batch.now(action), None, batch.starts)[0]
    norms = []
    for baseline in ((p * q).sum(-1, keepdims=True), 5.0):
        gain = q - baseline - 0.3 * log_p
        paper = lambda actor, gain=gain: -(p * gain * policy(actor).log_probs).sum(-1).mean()  # noqa: E731
        grads = jax.tree.leaves(jax.grad(paper)(actor))
        norms.append(float(jnp.sqrt(sum((x**2).sum() for x in grads))))
    np.testing.assert_allclose(metrics["actor_grad_norm"], norms, rtol=1e-4)


def test_without_attention_it_is_discrete_masac_with_one_critic():
    plain = {k: v for k, v in FIELDS.items() if not k.startswith("head")}
    ours, other = maac(**plain, critic="global"), masac(**plain, critics=1)
    (a, batch), (b, same) = trained(ours), trained(other)
    jax.tree.map(np.testing.assert_array_equal, batch, same)
    after = [
        algorithm.step(x, batch, KEY, 1e-2)[0].params for algorithm, x in ((ours, a), (other, b))
    ]
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.leaves(x) for x in after))


def numbers(tree) -> np.ndarray:
    leaves = [x for x in jax.tree.leaves(tree) if x.dtype == jnp.float32]
    return np.concatenate([np.ravel(x) for x in leaves])


def test_two_devices_learn_from_their_halves_of_a_batch_what_one_does():
    """Of sharp policies, whose draws are the same wherever they are made."""
    algorithm = maac(**FIELDS)
    learned, batch = trained(algorithm)
    bias = lambda x: x.params["actor"].network.stack.head.bias  # noqa: E731
    learned = eqx.tree_at(bias, learned, jnp.array([[0.0, 90.0]]))

    def step(learned, batch):
        learned, metrics = algorithm.step(learned, batch, KEY, 1e-2)
        return learned, pmean(metrics)

    mesh = jax.make_mesh((2,), (AXIS,), axis_types=(AxisType.Auto,))
    shared = jax.shard_map(
        step, mesh=mesh, in_specs=(P(), P(None, AXIS)), out_specs=P(), check_vma=False
    )
    one, two = jax.jit(step)(learned, batch), jax.jit(shared)(learned, batch)
    assert not np.allclose(numbers(one[0]), numbers(learned))
    np.testing.assert_allclose(numbers(two[0]), numbers(one[0]), rtol=1e-4, atol=1e-6)


def test_mistakes_are_named():
    box = EnvSpec("tiny", ("a",), (1,), Box(-1.0, 1.0, (1,)), 10)
    with pytest.raises(UserError, match="maac chooses among discrete actions and tiny has others"):
        maac().check(box)
    with pytest.raises(UserError, match="crossq is of plain critics, and critic is attention"):
        maac(crossq=True).check(SPEC)
