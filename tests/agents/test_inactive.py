"""What the inactive would see reaches no network, no critic, no scale and no replay."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from probes import Probe

from shoal.registry import make_algorithm
from shoal.training.on_device import OnDevice


class Garbage(Probe):
    """Agent 0 is due at every second step, agent 1 dies at the third of five; whoever is not due
    would see the same garbage everywhere. Both are paid for the action that they see."""

    garbage: Float[Array, ""]

    length = 5

    def active(self, state):
        return jnp.stack([state.time % 2 == 0, state.time < 3])

    def dead(self, state):
        return jnp.stack([jnp.zeros((), bool), state.time >= 3])

    def obs(self, state):
        seen = self._see(2.0 * state.cue - 1, state.time / 5)
        return jnp.where(self.active(state)[:, None], seen, self.garbage)

    def reward(self, state, action):
        return 1.0 * (action == state.cue)


ON_POLICY = dict(hidden=(4,), minibatches=2)
OFF_POLICY = dict(hidden=(4,), learning_starts=16, capacity=96, batch_size=16, update_ratio=0.125)
ALGORITHMS = {
    "mappo": ("mappo", ON_POLICY),
    "mappo, both": ("mappo", {**ON_POLICY, "critic": "both", "normalise_observations": True}),
    "sable, recurrent": (
        "sable",
        {**ON_POLICY, "heads": 2, "head_size": 2, "recurrent": 3, "normalise_observations": True},
    ),
    "ippo, recurrent": ("ippo", {**ON_POLICY, "recurrent": 3, "normalise_observations": True}),
    "reinforce": ("reinforce", dict(hidden=(4,))),
    "vdn, recurrent": ("vdn", {**OFF_POLICY, "recurrent": 3}),
    "qmix": ("qmix", {**OFF_POLICY, "normalise_observations": True, "embed": 2, "hypernet": 3}),
    "wqmix, recurrent": (
        "wqmix",
        {**OFF_POLICY, "recurrent": 3, "embed": 2, "hypernet": 3, "central_hidden": (4,)},
    ),
    "qplex": ("qplex", {**OFF_POLICY, "hypernet": 3, "advantage_hidden": (3,)}),
    "qfix": ("qfix", {**OFF_POLICY, "hypernet": 3, "fix_hidden": (3,)}),
    "qtran": ("qtran", {**OFF_POLICY, "joint_hidden": (4,), "normalise_observations": True}),
    "pqn_vdn": ("pqn_vdn", {**ON_POLICY, "normalise_observations": True}),
    "pqn_iql, recurrent": ("pqn_iql", {**ON_POLICY, "recurrent": 3}),
    "sac": ("sac", OFF_POLICY),
    "masac, recurrent": ("masac", {**OFF_POLICY, "recurrent": 3, "normalise_observations": True}),
    "coma, recurrent": ("coma", {**ON_POLICY, "recurrent": 3, "normalise_observations": True}),
    "maac": ("maac", OFF_POLICY),
    "maac, recurrent": ("maac", {**OFF_POLICY, "recurrent": 3, "normalise_observations": True}),
    "maddpg, recurrent": ("maddpg", {**OFF_POLICY, "recurrent": 3}),
    "facmac": (
        "facmac",
        {**OFF_POLICY, "embed": 2, "hypernet": 3, "normalise_observations": True},
    ),
    "openai_es": (
        "openai_es",
        dict(hidden=(4,), population=4, normalise_observations=True),
    ),
    "cma_es": ("cma_es", dict(hidden=(4,), population=4)),
    "nsres": ("nsres", dict(hidden=(4,), population=4)),
    "jal": ("jal", {}),
}


@eqx.filter_jit
def run(learner):
    state = learner.init(jax.random.key(0))
    state, metrics = jax.lax.scan(lambda s, _: learner.update(s), state, None, 3)
    return state.algorithm, metrics


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_changes_nothing_whatever_it_is(name):
    """Bit for bit, and without a skipped update behind what is not a number."""
    kind, settings = ALGORITHMS[name]
    algorithm = make_algorithm(kind, **settings)
    ends = {}
    for garbage in (0.0, 777.0, np.nan):
        learner = OnDevice(algorithm, Garbage(jnp.float32(garbage)), 4, 8, total_updates=6.0)
        state, metrics = run(learner)
        assert metrics["skipped_updates"].max() == 0
        parts = getattr(state, "learned", state).params, getattr(state, "scales", None)
        ends[garbage] = np.concatenate([np.ravel(x) for x in jax.tree.leaves(parts)])
    assert np.isfinite(ends[0.0]).all()
    np.testing.assert_array_equal(ends[777.0], ends[0.0])
    np.testing.assert_array_equal(ends[np.nan], ends[0.0])


def test_what_they_would_see_is_garbage():
    """The check above can fail: the environment shows it, and networks would answer to it."""
    _, timestep = Garbage(jnp.float32(777.0)).reset(jax.random.key(0))
    world = Garbage(jnp.float32(777.0))
    state, _ = world.reset(jax.random.key(0))
    _, timestep = world.step(jax.random.key(0), state, jnp.zeros(2, jnp.int32))
    np.testing.assert_array_equal(timestep.active, [False, True])
    assert (timestep.obs[0] == 777).all() and not (timestep.obs[1] == 777).any()
