"""CrossQ on steps made by hand: one batch norm over what was done and what followed, no targets."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec as P
from probes import Meet

from shoal.agents.experience import Experience
from shoal.agents.policy_gradient.ddpg import ddpg, td3
from shoal.agents.policy_gradient.sac import masac, sac
from shoal.core.descend import rows_of
from shoal.core.env import EnvSpec
from shoal.core.errors import UserError
from shoal.core.parallel import AXIS
from shoal.core.spaces import Box
from shoal.runs.checkpoint import load, save

KEY, GAMMA, EPSILON, M = jax.random.key(7), 0.9, 1e-3, 64
SPEC = EnvSpec("tiny", ("a",), (2,), Box(-1.0, 1.0, (1,)), 10)
SETTINGS = dict(crossq=True, agent_id=False, discount=GAMMA, hidden=(8,))
SETTINGS |= dict(learning_starts=0, capacity=8, batch_size=8)


def experience(seed: int = 0) -> Experience:
    """M steps of one agent, one row in four of which is its last."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(2.0, 3.0, (1, M, 1, *shape)), jnp.float32)  # noqa: E731
    gone = jnp.arange(M).reshape(1, M, 1) % 4 == 0
    yes = jnp.ones((1, M, 1), bool)
    return Experience(
        obs=draw(2),
        next_obs=draw(2),
        action=jnp.tanh(draw(1)),
        reward=draw(),
        active=yes,
        next_active=~gone,
        legal=yes[..., None],
        next_legal=yes[..., None],
        cut=~yes,
        gone=gone,
        done=gone[..., 0],
        state=None,
        next_state=None,
        carry=(None, None),
    )


@pytest.mark.parametrize("make", [sac, masac, ddpg, td3])
def test_there_are_no_slow_copies(make):
    assert make(**SETTINGS).init(SPEC, KEY).learned.target == {}
    assert "critic" in make(**{**SETTINGS, "crossq": False}).init(SPEC, KEY).learned.target


def test_the_loss_by_hand():
    """Linear critics, and a policy that stands still: both halves are normalised by one mean and
    deviation, of all that was done and of what followed where something did. Outside training, as
    for the actor, it is the running ones that count."""
    made = ddpg(**{**SETTINGS, "hidden": ()})
    learned, batch = made.init(SPEC, KEY).learned, experience()
    heads = lambda p: (p["actor"].stack.head, p["critic"].networks[0].stack.head)  # noqa: E731
    w = jnp.array([0.7, -1.1, 0.4])
    where = lambda x: [y for head in heads(x.params) for y in (head.weight, head.bias)]  # noqa: E731
    zero = [jnp.zeros_like(x) for x in where(learned)]
    learned = eqx.tree_at(where, learned, [*zero[:2], w.reshape(1, 3, 1), zero[3]])
    after, metrics = jax.jit(made.step)(learned, batch, KEY, 0.0)

    flat = lambda x: np.asarray(x, np.float64).reshape(M, -1)  # noqa: E731
    gone = flat(batch.gone)[:, 0] > 0
    now = np.concatenate([flat(batch.obs), flat(batch.action)], 1)
    then = np.concatenate([flat(batch.next_obs), np.zeros((M, 1))], 1)
    seen = np.concatenate([now, then[~gone]])
    q, next_q = (
        (x - seen.mean(0)) / np.sqrt(seen.var(0) + EPSILON) @ np.asarray(w) for x in (now, then)
    )
    y = flat(batch.reward)[:, 0] + GAMMA * np.where(gone, 0, next_q)
    np.testing.assert_allclose(metrics["critic_loss"], ((q - y) ** 2).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["q_mean"], q.mean(), rtol=1e-3, atol=1e-4)

    mean, variance = 0.01 * seen.mean(0), 0.99 + 0.01 * seen.var(0)
    stack = after.params["critic"].networks[0].stack
    np.testing.assert_allclose(stack.torso.norms[0].seen.mean[0], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stack.torso.norms[0].seen.variance[0], variance, rtol=1e-4)
    still = now * [1, 1, 0]
    q = (still - mean) / np.sqrt(variance + EPSILON) @ np.asarray(w)
    np.testing.assert_allclose(metrics["actor_loss"], -q.mean(), rtol=1e-4)


def test_what_followed_has_no_gradient():
    """The gradient is that of (q - y)^2 for a y that stays as it is; through y it would differ."""
    made, batch = ddpg(**SETTINGS), experience()
    learned = made.init(SPEC, KEY).learned
    head = lambda x: x.params["critic"].networks[0].stack.head.weight  # noqa: E731
    learned = eqx.tree_at(head, learned, replace_fn=lambda w: 5 * w)
    action = jnp.tanh(learned.params["actor"].step(batch.next_obs, None)[0])
    now, then = batch.now(batch.action), batch.then(action)

    def loss(critic, y):
        q, next_q, _ = critic.jointly(now, then)
        own = batch.reward + GAMMA * jnp.where(batch.gone, 0.0, next_q[0, ..., 0])
        return ((q[0] - (own if y is None else y)) ** 2).mean()

    critic = learned.params["critic"]
    _, next_q, _ = critic.jointly(now, then)
    y = batch.reward + GAMMA * jnp.where(batch.gone, 0.0, next_q[0, ..., 0])
    norm = lambda y: np.linalg.norm(rows_of(jax.grad(loss)(critic, y), 1))  # noqa: E731
    _, metrics = jax.jit(made.step)(learned, batch, KEY, 0.0)
    np.testing.assert_allclose(metrics["critic_grad_norm"], norm(y), rtol=1e-4)
    assert abs(norm(None) / norm(y) - 1) > 0.01


def test_adam_leaves_alone_what_was_seen():
    made = sac(**SETTINGS)
    learned = made.init(SPEC, KEY).learned
    step = jax.jit(made.step)
    still, _ = step(learned, experience(), KEY, 0.0)
    moved, _ = step(learned, experience(), KEY, 0.1)
    first = lambda x: x.params["critic"].networks[1].stack.torso.norms[0]  # noqa: E731
    jax.tree.map(np.testing.assert_array_equal, first(still).seen, first(moved).seen)
    assert first(moved).seen.batches == 1 and not np.allclose(first(moved).scale, 1.0)


def test_what_was_seen_is_saved_with_the_rest(tmp_path):
    made = sac(**SETTINGS)
    after, _ = jax.jit(made.step)(made.init(SPEC, KEY).learned, experience(), KEY, 0.1)
    save(tmp_path, 1, after, config_hash="x", extra={}, keep=1)
    loaded = load(tmp_path, jax.eval_shape(lambda: after), config_hash="x").state
    jax.tree.map(np.testing.assert_array_equal, loaded, after)


def test_two_devices_learn_what_one_does():
    made, batch = td3(**SETTINGS, smoothing=0.0, actor_interval=1), experience()
    learned = made.init(SPEC, KEY).learned

    def step(learned, batch):
        return made.step(learned, batch, KEY, 1e-2)[0].params

    mesh = jax.make_mesh((2,), (AXIS,), axis_types=(AxisType.Auto,))
    halves = jax.shard_map(
        step, mesh=mesh, in_specs=(P(), P(None, AXIS)), out_specs=P(), check_vma=False
    )
    one, two = jax.jit(step)(learned, batch), jax.jit(halves)(learned, batch)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    jax.tree.map(close, one, two)
    assert not np.allclose(rows_of(one, 1), rows_of(learned.params, 1))


def test_critics_can_be_wider_than_the_actor():
    params = sac(**{**SETTINGS, "critic_hidden": (16, 32)}).start(SPEC, KEY)
    assert params["actor"].network.stack.torso.size_out == 8
    assert [net.stack.torso.size_out for net in params["critic"].networks] == [32, 32]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recurrent": 4}, "recurrent"),
        ({"residual": True}, "residual"),
        ({"recurrent": 4, "residual": True}, "recurrent, residual"),
    ],
)
def test_other_layers_are_refused_in_a_line(settings, said):
    with pytest.raises(UserError, match=f"crossq needs plain layers, and there is {said}$"):
        td3(**SETTINGS, **settings).check(SPEC)


def test_images_are_refused_in_a_line():
    spec = dataclasses.replace(SPEC, obs_sizes=(16,), images=((4, 4, 1),))
    with pytest.raises(UserError, match="crossq needs plain layers, and there is images"):
        sac(**SETTINGS).check(spec)


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (sac, dict(crossq=True)),
        (masac, dict(crossq=True)),
        (td3, dict(crossq=True)),
        (sac, dict(residual=True, normalise_observations=True)),
    ],
    ids=["sac, crossq", "masac, crossq", "td3, crossq", "sac, residual"],
)
def test_a_team_meets_in_a_box(train_probe, make, settings):
    """48,000 steps from seed 0: returns above 0.95 of 1, with 0 for agents that stand still."""
    of_sac = {} if make is td3 else dict(init_alpha=0.1, target_entropy=-2.0)
    made = make(
        hidden=(32,),
        learning_rate=3e-3,
        learning_starts=320,
        capacity=16_000,
        batch_size=160,
        update_ratio=0.025,
        target_rate=0.05,
        **of_sac,
        **settings,
    )
    assert train_probe(made, Meet()).returns.min() > 0.95
