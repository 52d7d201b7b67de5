"""Whether the action masks of an environment ever change: those that never do are known."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Var
from jaxtyping import Array, Bool

from shoal.core.env import Env
from shoal.envs.host.steps import always_masked
from shoal.envs.host.world import HostWorld


def mask_on_device(env: Env) -> tuple[bool, Bool[np.ndarray, "N A"] | None]:
    """Whether masks change, and otherwise the one that there always is (`None`: there is none)."""

    def first(key: Array) -> Array | None:
        return env.reset(key)[1].action_mask

    def later(key: Array, state: Any, action: Array) -> Array | None:
        return env.step(key, state, action)[1].action_mask

    key, spec = jax.random.key(0), env.spec
    if jax.eval_shape(first, key) is None:
        return False, None
    if depends(first, key):
        return True, None
    action = jnp.zeros((spec.num_agents, *spec.action.shape), spec.action.dtype)
    arguments = (key, jax.jit(env.reset)(key)[0], action)
    if depends(later, *arguments):
        return True, None
    mask, after = np.asarray(jax.jit(first)(key)), np.asarray(jax.jit(later)(*arguments))
    return (False, mask) if np.array_equal(mask, after) else (True, None)


def mask_on_host(env: HostWorld) -> tuple[bool, Bool[np.ndarray, "N A"] | None]:
    """As `mask_on_device`, by what the environment says of itself."""
    space = env.spec.action
    fixed = space.mask if always_masked(space) else None
    return (True, None) if env.facts.masked else (False, fixed)


def depends(fn: Callable[..., Any], *arguments: Any) -> bool:
    """Whether some argument may shape what `fn` returns; a call inside counts as a whole."""
    jaxpr = jax.make_jaxpr(fn)(*arguments).jaxpr
    reached = set(jaxpr.invars)
    for equation in jaxpr.eqns:
        if any(v in reached for v in equation.invars if isinstance(v, Var)):
            reached.update(equation.outvars)
    return any(v in reached for v in jaxpr.outvars if isinstance(v, Var))
