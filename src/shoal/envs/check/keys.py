"""Random keys: each is used once, and a step uses its own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shoal.core.env import Env
from shoal.envs.check.finding import Finding, error, raised, warning
from shoal.envs.check.play import as_numbers
from shoal.envs.check.tracing import is_key, no_action


def check_keys(env: Env) -> list[Finding]:
    """Whether a key is used twice within reset or step, or is kept for later."""
    key, found = jax.random.key(0), []
    state, _ = jax.jit(lambda k: env.reset(k))(key)
    calls = {"reset": lambda k: env.reset(k), "step": lambda k: env.step(k, state, no_action(env))}
    for name, call in calls.items():
        try:
            with jax.debug_key_reuse(True):
                jax.make_jaxpr(call)(jax.random.key(1))
                jax.jit(call)(jax.random.key(1))
        except jax.errors.KeyReuseError as problem:
            seen = f"{name} uses one key twice: {raised(problem)}"
            mend = "split it: key_a, key_b = jax.random.split(key); what one key draws is the same"
            found.append(error("keys", seen, "each key is used once", mend))
    return found + _kept(state, key)


def _kept(state: Any, key: Any) -> list[Finding]:
    """A key in the state: the one that reset was given, or another."""
    own = np.asarray(jax.random.key_data(key))
    for path, leaf in jax.tree.leaves_with_path(state):
        raw = np.asarray(as_numbers(jnp.asarray(leaf)))
        where = f"state{jax.tree_util.keystr(path)}"
        mend = "leave it out of the state: step is given a key of its own"
        if raw.dtype == np.uint32 and raw.shape == own.shape and (raw == own).all():
            seen = f"{where} keeps the key that reset was given, which reset has used"
            return [error("keys", seen, "steps use the key that they are given", mend)]
        if is_key(leaf):
            return [warning("keys", f"{where} is a key", "step's own key is used", mend)]
    return []
