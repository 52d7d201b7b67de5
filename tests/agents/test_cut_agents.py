"""An agent that is cut while the others play on: it is valued from its own last observation, and
nothing afterwards is its own. By hand arithmetic.

Agent 1 is cut by step 1, of which its last observation is 20; agent 0 plays on until it terminates
by step 3, which ends the episode. Step 4 is of the next one, which does not end.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.agents.policy_gradient.ppo import ippo
from shoal.agents.policy_gradient.reinforce import reinforce
from shoal.core.algorithm import Trajectory, Transition
from shoal.core.env import EnvSpec, TimeStep, settle, to_act_on
from shoal.core.spaces import Discrete

T, N, GAMMA, LAMBDA = 5, 2, 0.9, 0.5
SPEC = EnvSpec("tiny", ("a", "b"), (1, 1), Discrete((2, 2)), 10)

OBS = [(1, 2), (2, 3), (3, 99), (4, 99), (7, 8)]
NEXT_OBS = [(2, 3), (3, 20), (4, 99), (5, 99), (8, 9)]
REWARD = [(1, 10), (2, 20), (3, 999), (4, 999), (5, 50)]
CUT = [(0, 0), (0, 0), (0, 1), (0, 1), (0, 0)]  # before each step
NEXT_CUT = [(0, 0), (0, 1), (0, 1), (0, 1), (0, 0)]
NEXT_TERMINATED = [(0, 0), (0, 0), (0, 0), (1, 0), (0, 0)]
ACTIVE = np.array([(1, 1), (1, 1), (1, 0), (1, 0), (1, 1)], bool)


def trajectory(algorithm, state, garbage: float = 0.0) -> Trajectory:
    """The five steps of one environment, as loops hand them on; whoever does not act leaves
    `garbage` in what acting remembers."""

    def steps(**fields) -> TimeStep:
        arrays = {name: jnp.asarray(x)[:, None] for name, x in fields.items()}
        obs = arrays.pop("obs").astype(jnp.float32)[..., None]
        return TimeStep.of(obs, **arrays)

    before = steps(obs=OBS, truncated=CUT)
    after = settle(
        before, steps(obs=NEXT_OBS, reward=REWARD, terminated=NEXT_TERMINATED, truncated=NEXT_CUT)
    )
    now = to_act_on(before)
    acting, carry = algorithm.acting(state), algorithm.initial_carry(algorithm.acting(state))
    act = jax.vmap(lambda now, key: algorithm.act(acting, now, carry, key))
    action, _, extras = act(now, jax.random.split(jax.random.key(0), T))
    extras = {k: jnp.where(now.active, x, garbage) for k, x in extras.items()}
    action = jnp.where(now.active, action, int(garbage > 0))
    last = jax.tree.map(lambda x: x[-1], after)
    return Trajectory(Transition(now, action, extras, after), carry, last, carry, jnp.float32(0))


@pytest.fixture(scope="module")
def actor_critic():
    """A critic V(o) = 2 o, and nothing scaled."""
    algorithm = ippo(
        hidden=(),
        agent_id=False,
        discount=GAMMA,
        gae_lambda=LAMBDA,
        normalise_values=False,
        normalise_advantages=False,
        epochs=1,
        minibatches=1,
    )
    state = algorithm.init(SPEC, jax.random.key(0))
    weight = lambda s: s.params["critic"].network.stack.head.weight  # noqa: E731
    return algorithm, eqx.tree_at(weight, state, jnp.full((1, 1, 1), 2.0))


def test_its_advantage_is_its_reward_and_the_value_of_its_own_last_observation(actor_critic):
    algorithm, state = actor_critic
    batch, _ = algorithm.targets(state, trajectory(algorithm, state))
    cut = 20 + GAMMA * 2 * 20 - 2 * 3
    before = 10 + GAMMA * 2 * 3 - 2 * 2 + GAMMA * LAMBDA * cut
    np.testing.assert_allclose(batch.advantage[:2, 0, 1], [before, cut], rtol=1e-6)
    np.testing.assert_allclose(batch.target[1, 0, 1], 20 + GAMMA * 40, rtol=1e-6)
    # The other one plays on.
    end = 4 - 2 * 4
    third = 3 + GAMMA * 2 * 4 - 2 * 3 + GAMMA * LAMBDA * end
    second = 2 + GAMMA * 2 * 3 - 2 * 2 + GAMMA * LAMBDA * third
    first = 1 + GAMMA * 2 * 2 - 2 * 1 + GAMMA * LAMBDA * second
    np.testing.assert_allclose(batch.advantage[:4, 0, 0], [first, second, third, end], rtol=1e-5)
    # And so does the next episode, past the end of the rollout.
    np.testing.assert_allclose(
        batch.advantage[4, 0], [5 + GAMMA * 16 - 14, 50 + GAMMA * 18 - 16], rtol=1e-6
    )


def test_afterwards_it_weighs_nothing_for_actor_and_critic(actor_critic):
    algorithm, state = actor_critic
    plain = trajectory(algorithm, state)
    batch, _ = algorithm.targets(state, plain)
    np.testing.assert_array_equal(batch.weight[:, 0], ACTIVE)
    np.testing.assert_array_equal(batch.alive[:, 0], ACTIVE)
    learn = jax.jit(algorithm.learn)
    usual, _ = learn(state, plain, jax.random.key(1))
    spoiled, _ = learn(state, trajectory(algorithm, state, 77.0), jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, usual.params, spoiled.params)
    assert not np.allclose(
        usual.params["critic"].network.stack.head.weight,
        state.params["critic"].network.stack.head.weight,
    )


def test_reinforce_learns_from_what_ends_within_the_rollout():
    """Agent 1's own episode ends where it is cut; the next episode of both is left open."""
    algorithm = reinforce(hidden=(), discount=GAMMA)
    state = algorithm.init(SPEC, jax.random.key(0))
    batch, _ = algorithm.targets(state, trajectory(algorithm, state))
    expected = [(1, 1), (1, 1), (1, 0), (1, 0), (0, 0)]
    np.testing.assert_array_equal(batch.weight[:, 0], expected)
    used = np.array(expected, bool)
    returns = np.array(
        [
            (1 + 0.9 * (2 + 0.9 * (3 + 0.9 * 4)), 10 + 0.9 * 20),
            (2 + 0.9 * 6.6, 20),
            (6.6, 0),
            (4, 0),
            (0, 0),
        ]
    )
    centred = returns - returns[used].mean()
    np.testing.assert_allclose(
        batch.advantage[:, 0][used], (centred / centred[used].std())[used], rtol=1e-5
    )
