"""The replay gives back what it was given, and nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.core.errors import UserError
from shoal.core.replay import Replay, _by_weight

T, B = 4, 3
CAPACITY = 30  # room for two chunks, and six records that stay unused


def chunk(number: int):
    """Every record knows its time and its environment; times run on from chunk to chunk."""
    time = number * T + jnp.arange(T)[:, None] + jnp.zeros((T, B), jnp.int32)
    env = jnp.broadcast_to(jnp.arange(B), (T, B))
    return {
        "time": time,
        "env": env,
        "stamp": jnp.stack([time, env], -1) + 0.5,
        "odd": time % 2 == 1,
    }


def empty(prioritised: bool = False) -> Replay:
    return Replay.empty(jax.tree.map(lambda x: x[0, 0], chunk(0)), CAPACITY, prioritised)


@partial(jax.jit, static_argnums=1)
def filled(chunks: jax.Array, prioritised: bool = False) -> Replay:
    return jax.lax.fori_loop(0, chunks, lambda i, r: r.add(chunk(i)), empty(prioritised))


def draw(replay: Replay, count=600, length=1, stride=1):
    return drawn(replay, count, length, stride).records


def drawn(replay: Replay, count=600, length=1, stride=1, seed=1):
    sample = jax.jit(
        lambda r: r.sample(jax.random.key(seed), count, chunk=(T, B), length=length, stride=stride)
    )
    return jax.tree.map(np.asarray, sample(replay))


def test_types_are_kept():
    data = filled(1).data
    assert data["odd"].dtype == bool and data["time"].dtype == jnp.int32
    assert data["stamp"].shape == (CAPACITY, 2)


@pytest.mark.parametrize("chunks, times", [(1, range(0, 4)), (2, range(0, 8)), (5, range(12, 20))])
def test_everything_stored_is_drawn_and_nothing_else(chunks, times):
    """Also after the ring has wrapped, and never a record that was not written."""
    batch = draw(filled(chunks))
    pairs = set(zip(batch["time"].ravel().tolist(), batch["env"].ravel().tolist()))
    assert pairs == {(t, b) for t in times for b in range(B)}


def test_fields_stay_together():
    batch = draw(filled(5))
    np.testing.assert_array_equal(batch["stamp"][..., 0], batch["time"] + 0.5)
    np.testing.assert_array_equal(batch["stamp"][..., 1], batch["env"] + 0.5)
    np.testing.assert_array_equal(batch["odd"], batch["time"] % 2 == 1)


@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 5])
def test_sequences_are_of_one_environment_and_in_order(chunks):
    """Two chunks fit, so a sequence may cross from one to the next, but never from the newest
    record to the oldest."""
    batch = draw(filled(chunks), length=3)
    assert batch["time"].shape == (3, 600)
    assert (np.diff(batch["time"], axis=0) == 1).all()
    np.testing.assert_array_equal(batch["env"], np.broadcast_to(batch["env"][0], (3, 600)))
    newest = chunks * T - 1
    oldest = max(0, chunks - 2) * T
    assert set(batch["time"][0].tolist()) == set(range(oldest, newest - 1))


def test_a_stride_of_a_chunk_keeps_sequences_within_chunks():
    batch = draw(filled(4), length=T, stride=T)
    assert set(batch["time"][0].tolist()) == {2 * T, 3 * T}


def test_draws_are_uniform():
    batch = draw(filled(3), count=6000)
    counts = np.bincount(batch["time"].ravel())[T:]
    assert counts.shape == (2 * T,)
    np.testing.assert_allclose(counts, 750, rtol=0.15)  # 5 standard deviations


def test_too_small_a_replay_is_a_clear_mistake():
    small = Replay.empty(jax.tree.map(lambda x: x[0, 0], chunk(0)), T * B - 1)
    with pytest.raises(UserError, match="holds 11 transitions, expected room for the 12"):
        small.add(chunk(0))


def test_a_replay_that_cannot_be_counted_is_a_clear_mistake():
    with pytest.raises(UserError, match="replay of 2,147,483,648 steps, expected less than"):
        jax.eval_shape(lambda: Replay.empty(jnp.zeros(()), 2**31))


def test_longer_sequences_than_a_chunk_are_a_clear_mistake():
    with pytest.raises(UserError, match="sequences of 5 steps, expected at most the 4"):
        draw(filled(2), length=5)


@pytest.mark.parametrize("chunks", [1, 2, 5])
@pytest.mark.parametrize("length, stride", [(1, 1), (3, 1), (T, T)])
def test_alike_priorities_draw_what_could_be_drawn_without(chunks, length, stride):
    """And nothing else; in equal parts, as odds of 1 say."""
    plain = drawn(filled(chunks), 6000, length, stride)
    ours = drawn(filled(chunks, True), 6000, length, stride)
    assert set(ours.first.tolist()) == set(plain.first.tolist())
    counts = np.unique(ours.first, return_counts=True)[1]
    np.testing.assert_allclose(counts, 6000 / len(counts), atol=2)
    np.testing.assert_allclose(ours.odds, 1, rtol=1e-5)
    assert (np.diff(ours.records["time"], axis=0) == 1).all()


def test_sequences_are_drawn_in_proportion_to_their_priorities():
    replay = filled(5, True)
    first = drawn(replay, length=3).first
    priority = jnp.asarray(np.random.default_rng(0).uniform(0.1, 5.0, CAPACITY), jnp.float32)
    replay = replay.prioritise(jnp.arange(CAPACITY), priority)
    draw = drawn(replay, 60_000, length=3)
    starts = np.unique(first)
    assert set(draw.first.tolist()) == set(starts.tolist())
    share = np.asarray(priority)[starts] / np.asarray(priority)[starts].sum()
    counts = np.bincount(draw.first, minlength=CAPACITY)[starts]
    np.testing.assert_allclose(counts / 60_000, share, atol=1e-4)
    np.testing.assert_allclose(
        draw.odds, (share * len(starts))[np.searchsorted(starts, draw.first)], rtol=1e-4
    )


def test_what_is_new_has_the_highest_priority():
    replay = filled(1, True).prioritise(jnp.arange(3), jnp.array([0.1, 7.0, 0.2]))
    replay = replay.add(chunk(1))
    assert (replay.priority[T * B : 2 * T * B] == 7).all() and replay.priority[0] == np.float32(0.1)
    assert (replay.priority[2 * T * B :] == 0).all()


def test_rounded_sums_never_lead_to_what_may_not_begin():
    """Of 100,000 records every other one weighs nothing, the first and the last among them."""
    weight = jnp.tile(jnp.array([0.0, 0.1, 0.0, 1e-6]), 25_000).at[-1].set(0.0)
    row, share = jax.jit(_by_weight, static_argnums=1)(jax.random.key(0), 200_000, weight)
    assert (weight[row] > 0).all() and (row < 100_000).all() and (share > 0).all()


def test_an_error_that_is_not_finite_harms_its_own_sequence_alone():
    replay = filled(1, True)
    broken = jnp.array([jnp.nan, jnp.inf])
    replay = replay.prioritise(jnp.array([3, 4]), broken).add(chunk(1))
    assert np.isfinite(replay.priority).all() and (replay.priority[T * B : 2 * T * B] == 1).all()
    draw = drawn(replay, 6000)
    assert np.isfinite(draw.odds).all() and not {3, 4} & set(draw.first.tolist())
