"""Different algorithms for different agents: what each sees, and what becomes of what it does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Mixed, collect

from shoal.agents.cooperative.iql import iql
from shoal.agents.policy_gradient.ppo import ippo
from shoal.agents.together import Together
from shoal.core.distributions import action_distribution
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import UserError
from shoal.core.select import JointDistribution, join_actions, spec_for, take_action, take_agents
from shoal.core.spaces import Box, Discrete, Factored
from shoal.training.on_device import OnDevice

SPACES = {
    "discrete": Discrete((2, 5, 3, 2)),
    "box": Box(
        ((0.0,), (-1.0, -2.0), (0.0, 1.0), (5.0,)),
        ((1.0,), (1.0, 2.0), (3.0, 4.0), (6.0,)),
        (1, 2, 2, 1),
    ),
    "factored": Factored(((2,), (3, 4), (2, 2), (5,))),
}
PARTS = ((2, 0), (3, 1))


def spec(space) -> EnvSpec:
    return EnvSpec("four", ("a", "b", "c", "d"), (1, 4, 2, 3), space, 5, roles=(0, 1, 2, 3))


@pytest.mark.parametrize("name", SPACES)
def test_parts_have_their_own_sizes_and_join_to_what_was_taken_apart(name):
    whole = spec(SPACES[name])
    rng = np.random.default_rng(0)
    obs = jnp.asarray(rng.normal(size=(6, 4, 4)), jnp.float32)
    timestep = TimeStep.of(obs, reward=jnp.arange(4.0), active=jnp.array([True, False, True, True]))
    own = spec_for(whole, PARTS[0])
    assert own.agents == ("c", "a") and own.obs_size == 2
    taken = take_agents(timestep, whole, PARTS[0])
    np.testing.assert_array_equal(taken.obs, obs[:, [2, 0], :2])
    np.testing.assert_array_equal(taken.reward[0], [2, 0])
    np.testing.assert_array_equal(own.action.mask.sum(1), whole.action.mask.sum(1)[[2, 0]])
    logits = jnp.asarray(rng.normal(size=(6, 4, whole.action.size)), jnp.float32)
    log_std = jnp.zeros((4, whole.action.size))
    action = action_distribution(whole.action, logits, None, log_std).sample(jax.random.key(0))
    exists = whole.action.mask if name == "box" else True
    action = jnp.where(exists, action, 0)  # what is drawn for padding means nothing
    parts = [take_action(action, whole, ids) for ids in PARTS]
    np.testing.assert_array_equal(join_actions(parts, whole, PARTS), action)


@pytest.mark.parametrize("name", SPACES)
def test_a_joint_distribution_is_each_agents_own(name):
    """The same logits as one distribution of all agents give the same numbers, agent by agent."""
    whole = spec(SPACES[name])
    rng = np.random.default_rng(1)
    rows = {i: rng.normal(size=n) for i, n in enumerate(whole.action.mask.sum(1))}

    def logits(space, agents):
        out = np.zeros((len(agents), space.size), np.float32)
        for k, i in enumerate(agents):
            mask = space.mask[k] & ~getattr(space, "idle", np.zeros_like(space.mask))[k]
            out[k, mask] = rows[i][: mask.sum()]
        return jnp.asarray(out)

    def made(agents):
        space = spec_for(whole, agents).action
        return action_distribution(space, logits(space, agents), None, jnp.zeros((2, space.size)))

    alone = action_distribution(
        whole.action, logits(whole.action, range(4)), None, jnp.zeros((4, whole.action.size))
    )
    joint = JointDistribution(tuple(map(made, PARTS)), whole, PARTS)
    action = alone.mode()
    np.testing.assert_array_equal(
        joint.mode(), jnp.where(whole.action.mask, action, 0) if name == "box" else action
    )
    np.testing.assert_allclose(joint.log_prob(action), alone.log_prob(action), rtol=1e-5)
    np.testing.assert_allclose(joint.entropy(), alone.entropy(), rtol=1e-5)
    np.testing.assert_allclose(joint.kl(joint), np.zeros(4), atol=1e-6)


def test_each_part_learns_what_it_would_have_learned_alone_from_the_same_steps():
    parts = (
        ippo(hidden=(4,), minibatches=1),
        iql(hidden=(4,), learning_starts=8, capacity=64, batch_size=8, update_ratio=1.0),
    )
    together = Together(parts, ((1,), (0,)))
    together.check(Mixed().spec)
    state, trajectory = collect(together, Mixed(), num_envs=4, unroll=3)
    learned, metrics = together.learn(state, trajectory, jax.random.key(5))
    for k, key in enumerate(jax.random.split(jax.random.key(5), 2)):
        own = together._part_of(trajectory, state.spec, k)
        alone, found = parts[k].learn(state.each[k], own, key)
        jax.tree.map(np.testing.assert_array_equal, alone, learned.each[k])
        np.testing.assert_array_equal(metrics[f"part_{k}/loss"], found["loss"])
    assert metrics["skipped_in_a_row"] == 0


def test_ppo_and_q_learning_learn_side_by_side():
    """In `Mixed` each agent is paid 1 for the action that its cue asks for."""
    parts = (
        ippo(hidden=(16,), learning_rate=0.01, entropy_weight=0.003, minibatches=2),
        iql(
            hidden=(32,), learning_rate=0.005, learning_starts=320, capacity=16_000, epsilon_end=0.0
        ),
    )
    learner = OnDevice(Together(parts, ((1,), (0,))), Mixed(), 32, 10, 60.0)

    @jax.jit
    def run(key):
        _, metrics = jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), None, 60)
        return metrics["return_sum"] / metrics["episodes"]

    assert run(jax.random.key(0))[-1] > 0.9


@pytest.mark.parametrize("agents", [((0,), (0,)), ((0,),), ((0, 1), (2,))])
def test_every_agent_must_have_one_algorithm(agents):
    with pytest.raises(UserError, match="expected the numbers 0 to 1 of Mixed, once each"):
        Together((ippo(), ippo()), agents).check(Mixed().spec)
