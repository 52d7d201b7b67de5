"""One member or several: branches stay branches, and members know nothing of each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Jaxpr, subjaxprs
from probes import Probe, Watcher

from shoal.agents.cooperative.iql import iql
from shoal.agents.policy_gradient.ppo import ippo
from shoal.training.on_device import OnDevice
from shoal.training.program import Program, stack


class DrawnEnd(Probe):
    """Ends after one step or two, as is drawn at the reset: members end at different times."""

    length = 2

    def dead(self, state):
        return jnp.broadcast_to(state.time > state.cue[0], (2,))


def conds(jaxpr: Jaxpr) -> int:
    """How many branches a program has, at any depth."""
    here = sum(equation.primitive.name == "cond" for equation in jaxpr.eqns)
    return here + sum(conds(inner) for inner in subjaxprs(jaxpr))


def program_conds(learner: OnDevice, members: int, side_by_side: bool) -> int:
    program = Program(stack([learner] * members), side_by_side=side_by_side)
    state = program.template(jax.random.split(jax.random.key(0), members))
    arguments = (program._arrays, state, jnp.int32(1), program._start(state))
    return conds(program._run.trace(*arguments).jaxpr.jaxpr)


LEARNERS = {
    # resets, and values where an agent was cut
    "ippo": (ippo(hidden=(4,), epochs=1, minibatches=1), 2),
    # resets, and training once there is enough to sample
    "iql": (iql(hidden=(4,), capacity=64, batch_size=4, learning_starts=8, update_ratio=1.0), 2),
    "watcher": (Watcher(), 1),  # resets
}


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("name", LEARNERS)
def test_a_program_has_the_branches_of_its_learner(name, side_by_side, members):
    algorithm, branches = LEARNERS[name]
    learner = OnDevice(algorithm, DrawnEnd(), num_envs=2, unroll=3)
    update = jax.make_jaxpr(learner.update)(learner.init(jax.random.key(0)))
    assert conds(update.jaxpr) == branches
    assert program_conds(learner, members, side_by_side) == branches


def test_members_side_by_side_make_what_they_make_one_after_another():
    """Episodes have one step or two, each member its own: one's reset must not touch another."""
    learner = OnDevice(Watcher(), DrawnEnd(), num_envs=1, unroll=7, total_updates=4.0)
    learners, keys, results = stack([learner] * 3), jax.random.split(jax.random.key(0), 3), []
    for side_by_side in (False, True):
        program = Program(learners, side_by_side=side_by_side)
        state, total, last = program.run(program.init(keys), 4)
        results.append((jax.random.key_data(state.key), eqx.tree_at(lambda s: s.key, state, 0)))
        results[-1] += (total, last)
    assert len({tuple(row.ravel()) for row in results[0][3]["carry_before"]}) > 1
    jax.tree.map(np.testing.assert_array_equal, *results)
