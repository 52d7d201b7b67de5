"""What host environments show, as algorithms read it, and what their episodes are drawn from."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from shoal.core.env import TimeStep
from shoal.core.spaces import ActionSpace, Box
from shoal.envs.host.env import HostStep
from shoal.envs.host.shared import SEEDS


def timestep_of(shown: HostStep, space: ActionSpace) -> TimeStep:
    """What games show, as algorithms read it; inside a compiled program."""
    fields = jax.tree.map(jnp.asarray, shown._asdict())
    if fields["action_mask"] is None and always_masked(space):
        shape = (*fields["reward"].shape, space.size)
        fields["action_mask"] = jnp.broadcast_to(space.mask, shape)
    return TimeStep(**fields, metrics={})


def always_masked(space: ActionSpace) -> bool:
    """Whether some agents have fewer actions than others, which a mask must say."""
    return not isinstance(space, Box) and not bool(space.mask.all())


def seeds_of(key: PRNGKeyArray, count: int) -> np.ndarray:
    """A seed for each of `count` worlds."""
    return np.asarray(jax.random.bits(key, (count,), jnp.uint32)).astype(np.int64) & SEEDS


def draw_seeds(key: PRNGKeyArray, steps: int) -> np.ndarray:
    """What each of `steps` actions is drawn from, uint32 `[steps, 4]`."""
    return np.asarray(_bits(key, steps))


def acting_key(seed: Array) -> PRNGKeyArray:
    """The key of one step; drawing with it takes half the time of acting with a small network."""
    return jax.random.wrap_key_data(seed, impl="unsafe_rbg")


_bits = jax.jit(lambda key, steps: jax.random.bits(key, (steps, 4), jnp.uint32), static_argnums=1)
