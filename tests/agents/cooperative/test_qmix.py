"""Mixing networks: by hand, never falling, and best for the team where best for each."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.cooperative.qmix import QMIX, StateMix, qmix
from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.nn.mixers import Choice, Mixer

S, EMBED, HIDDEN = 4, 5, 6


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def spec(*teams: int, state_size: int = S) -> EnvSpec:
    n = len(teams)
    names = tuple(f"agent_{i}" for i in range(n))
    space = Discrete((3,) * n)
    return EnvSpec("tiny", names, (2,) * n, space, 10, teams=teams, state_size=state_size)


def mixer(*teams: int, seed: int = 0, spread: float = 0.0) -> Mixer:
    """A mixer whose parameters are moved at random, so that signs and biases of all kinds occur."""
    made = QMIX(embed=EMBED, hypernet=HIDDEN).mixer(spec(*teams), jax.random.key(seed))
    leaves, structure = jax.tree.flatten(made)
    moved = [x + spread * normal(100 + k + seed, *x.shape) for k, x in enumerate(leaves)]
    return structure.unflatten(moved)


def choice(q, state) -> Choice:
    return Choice(q, q * jnp.nan, jnp.zeros(q.shape, jnp.int32), state)


def test_a_mixing_network_by_hand():
    mix = StateMix(3, S, EMBED, HIDDEN, key=jax.random.key(0))
    q, state = np.asarray(normal(1, 7, 3)), np.asarray(normal(2, 7, S))

    def weights(hypernet):
        (layer,) = hypernet.torso.layers
        hidden = np.maximum(state @ layer.weight + layer.bias, 0)
        return hidden @ hypernet.head.weight + hypernet.head.bias

    w1 = np.abs(weights(mix.w1)).reshape(7, 3, EMBED)
    z = np.einsum("mn,mne->me", q, w1) + state @ mix.b1.weight + mix.b1.bias
    hidden = np.where(z > 0, z, np.exp(z) - 1)
    expected = (hidden * np.abs(weights(mix.w2))).sum(1) + weights(mix.v)[:, 0]
    ours = mix(choice(jnp.asarray(q), jnp.asarray(state)), jnp.asarray(state))
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_teams_value_never_falls_with_an_agents(seed):
    """At 500 random states and values, with weights of any sign: dQ_tot / dQ_i >= 0."""
    team = mixer(0, 0, 0, seed=seed, spread=0.7)
    q, state = normal(seed, 500, 3), normal(seed + 50, 500, S)
    value = lambda q, state: team(choice(q, state))[0]  # noqa: E731
    slope = jax.jit(jax.vmap(jax.grad(value)))(q, state)
    assert slope.min() >= 0 and (slope > 0).mean() > 0.9
    assert slope.std(0).min() > 0.1  # and the state says how steep it is


def test_large_states_do_not_make_a_team_steep_at_the_start():
    """Of states like those of a grid, up to 8 wide: no agent's error is made larger."""
    state = jax.random.randint(jax.random.key(1), (200, 12), 0, 9).astype(float)

    def slope(algorithm: QMIX) -> jax.Array:
        team = algorithm.mixer(spec(0, 0, 0, state_size=12), jax.random.key(0))
        value = lambda q, state: team(choice(q, state))[0]  # noqa: E731
        return jax.jit(jax.vmap(jax.grad(value)))(normal(2, 200, 3), state).mean()

    assert 0 < slope(qmix()) < 1
    assert slope(qmix(hypernet_gain=1.0)) > 10


def test_the_best_for_each_is_the_best_for_all():
    """Every joint action of three agents is tried, on 200 random tables of values."""
    team, joint = mixer(0, 0, 0, spread=1.0), np.array(list(itertools.product(range(3), repeat=3)))
    tables, state = normal(3, 200, 3, 3), normal(4, 200, S)
    chosen = np.asarray(tables)[:, np.arange(3), joint]  # [200, 27, 3]
    states = jnp.broadcast_to(state[:, None], (200, 27, S))
    values = np.asarray(eqx.filter_jit(team)(choice(jnp.asarray(chosen), states)))[..., 0]
    greedy = np.asarray(tables).argmax(-1) @ np.array([9, 3, 1])
    of_greedy = values[np.arange(200), greedy]
    np.testing.assert_allclose(of_greedy, values.max(1), rtol=1e-5, atol=1e-5)
    assert (values.max(1) - values.min(1) > 0.1).all()
    assert len(set(greedy.tolist())) > 20


def test_a_team_is_mixed_from_its_own_members_and_the_whole_state():
    both = mixer(1, 0, 1, spread=0.5)
    q, state = normal(5, 3), normal(6, S)
    jacobian = jax.jacobian(lambda q: both(choice(q, state)))(q)
    np.testing.assert_array_equal(jacobian != 0, [[False, True, False], [True, False, True]])
    by_state = jax.jacobian(lambda s: both(choice(q, s)))(state)
    assert (np.abs(by_state) > 0).all()


def test_without_a_global_state_all_observations_are_one():
    algorithm = qmix(hidden=(4,), embed=EMBED, hypernet=HIDDEN, learning_starts=0, capacity=8)
    state = algorithm.init(spec(0, 0, state_size=0), jax.random.key(0))
    (mix,) = state.learned.params["mixer"].mixes
    assert mix.b1.weight.shape == (4, EMBED) and state.replay.data.state.shape == (8, 4)
    assert state.learned.target["mixer"].mixes[0].b1.weight.shape == (4, EMBED)
    assert set(state.learned.optimizers) == {"q", "mixer"}
