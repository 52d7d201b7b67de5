"""Reset and step before any number is computed: they compile, and always to the same program.

A function is traced twice. What differs between the traces did not come from its arguments.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shoal.core.env import Action, Env, TimeStep
from shoal.core.spaces import Box
from shoal.envs.check.finding import Finding, error, raised
from shoal.envs.check.signature import Signature

OUTSIDE = "nothing may be kept outside of what a function returns: put it into the state"
MENDS: tuple[tuple[type[BaseException], str], ...] = (
    (
        jax.errors.TracerBoolConversionError,
        "`if`, `and`, `while` and `min` ask for a value that is known only when the program runs: "
        "write jnp.where, &, jax.lax.cond or jnp.minimum",
    ),
    (
        jax.errors.TracerArrayConversionError,
        "NumPy cannot compute with what is known only when the program runs: use jax.numpy",
    ),
    (jax.errors.NonConcreteBooleanIndexError, "shapes are static: write jnp.where(mask, a, b)"),
    (
        jax.errors.ConcretizationTypeError,
        "int(), float() and sizes need a number that is known before the program runs: "
        "keep it an array, or make it a static field",
    ),
    (
        jax.errors.TracerIntegerConversionError,
        "range() and the index of a list need a whole number that is known before the program "
        "runs: write jax.lax.fori_loop, or make the list an array and index that",
    ),
    (jax.errors.UnexpectedTracerError, OUTSIDE),
    (
        dataclasses.FrozenInstanceError,
        "an environment never changes: what changes belongs into the state",
    ),
)


def check_compiles(env: Env) -> tuple[list[Finding], dict[str, Signature]]:
    """Traces reset and step; also says what they return, if they do."""
    key = jax.random.key(0)
    found, signature = _trace("reset", lambda: env.reset, key)
    if signature is None:
        return found, {}
    again, followed = _trace("step", lambda: env.step, key, signature.state, no_action(env))
    signatures = {"reset": signature}
    return found + again, signatures if followed is None else signatures | {"step": followed}


def _trace(name: str, get: Callable[[], Any], *arguments: Any) -> tuple[list[Finding], Any]:
    """Traces a function twice and compares."""
    before = _global_randomness()
    try:
        first, out = _jaxpr(get(), *arguments)
        second, _ = _jaxpr(get(), *arguments)
    except Exception as problem:
        return [_failed(name, problem)], None
    found = []
    if before != _global_randomness():
        seen = f"{name} draws NumPy's global random numbers"
        mend = "draw with jax.random and the key; what NumPy draws is drawn once, when it compiles"
        found.append(error("pure", seen, "randomness from the key alone", mend))
    elif _text(first) != _text(second):
        seen = f"{name} compiled twice makes two different programs"
        mend = (
            "take everything from the arguments and the fields, and draw with jax.random and the "
            "key: no `random`, no clock, no counter, no global that changes"
        )
        found.append(error("pure", seen, "the same program each time", mend))
    if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], TimeStep)):
        seen = f"{name} returns {_describe(out)}"
        mend = "end it with `return state, TimeStep(...)`"
        return [*found, error("compile", seen, "a pair of a state and a TimeStep", mend)], None
    return found, Signature(*out)


def _global_randomness() -> str:
    """Where NumPy's global generator is. (Python's own is moved by run-time type checkers.)"""
    _, words, *rest = np.random.get_state(legacy=True)
    return repr((np.asarray(words).tolist(), rest))


def _jaxpr(function: Any, *arguments: Any) -> tuple[Any, Any]:
    """The program, and the tree of what it returns with weak types kept."""
    with jax.checking_leaks():  # a lambda of its own: a trace is remembered by its function
        jaxpr, out = jax.make_jaxpr(lambda *a: function(*a), return_shape=True)(*arguments)
    return jaxpr, jax.tree.unflatten(jax.tree.structure(out), jaxpr.out_avals)


def _text(jaxpr: Any) -> str:
    """A program in words, with its constants, but without addresses of objects."""
    constants = [np.asarray(c).tobytes() for c in jaxpr.consts if not is_key(c)]
    return re.sub(r"0x[0-9a-f]+", "", str(jaxpr)) + repr(constants)


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a key, and no number."""
    return jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)


def _failed(name: str, problem: Exception) -> Finding:
    mends = [mend for kind, mend in MENDS if isinstance(problem, kind)]
    mend = mends[0] if mends else f"mend that line; env.{name} called by itself tells more"
    if "Leaked" in str(problem) or "leak" in type(problem).__name__.lower():
        mend = OUTSIDE
    if "valid JAX type" in str(problem):
        mend = "states hold arrays alone; names and other constants are static fields"
    return error("compile", f"{name} raises {raised(problem)}", "it compiles", mend)


def _describe(out: Any) -> str:
    if isinstance(out, tuple):
        return f"({', '.join(type(part).__name__ for part in out)})"
    return f"a {type(out).__name__}"


def no_action(env: Env) -> Action:
    """An action of the right shape and type."""
    space, n = env.spec.action, env.spec.num_agents
    if isinstance(space, Box):
        return jnp.asarray(space.lows)
    return jnp.zeros((n, *space.shape), space.dtype)
