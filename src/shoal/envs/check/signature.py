"""Shapes and types of what reset and step return: those of the spec, and the same after both."""

from typing import Any, NamedTuple

import jax

from shoal.core.env import Env, TimeStep
from shoal.core.spaces import Box
from shoal.envs.check.finding import Finding, error, warning
from shoal.envs.check.spec import array_kind


class Signature(NamedTuple):
    """What a traced function returns: shapes and types, in the tree of what they belong to."""

    state: Any
    timestep: Any


def check_timestep(env: Env, signatures: dict[str, Signature]) -> list[Finding]:
    """Shapes and types of every field, as the spec promises them."""
    found = []
    for name, (_, timestep) in signatures.items():
        for field, expected in _expected(env).items():
            leaf = getattr(timestep, field)
            found += _compare(name, field, leaf, *expected)
        found += _check_mask(env, name, timestep) + _check_metrics(env, name, timestep)
    return found


def _expected(env: Env) -> dict[str, tuple[tuple[int, ...], str, bool]]:
    """Shape, type, and whether it is there at all; of a mask that is checked apart."""
    spec, n = env.spec, env.spec.num_agents
    return {
        "obs": ((n, spec.obs_size), "float32", True),
        "reward": ((n,), "float32", True),
        "terminated": ((n,), "bool", True),
        "truncated": ((), "bool", True),
        "active": ((n,), "bool", True),
        "global_state": ((spec.state_size,), "float32", spec.state_size > 0),
    }


def _compare(
    name: str, field: str, leaf: Any, shape: tuple[int, ...], dtype: str, there: bool
) -> list[Finding]:
    wanted = f"{dtype}[{', '.join(map(str, shape))}]" if there else "None"
    if (leaf is None) != (not there):
        seen = f"{field} of {name} is {'None' if leaf is None else array_kind(leaf)}"
        mend = f"return {wanted}, or change the spec (state_size, action.sizes)"
        return [error("timestep", seen, wanted, mend)]
    if leaf is None or (leaf.shape == shape and str(leaf.dtype) == dtype):
        return []
    mend = (
        f"write {field}.astype(jnp.{dtype.replace('bool', 'bool_')})"
        if leaf.shape == shape
        else f"return one number an agent{', padded with zeros' * (field == 'obs')}; or mend the "
        "spec's sizes"
    )
    return [error("timestep", f"{field} of {name} is {array_kind(leaf)}", wanted, mend)]


def _check_mask(env: Env, name: str, timestep: TimeStep) -> list[Finding]:
    space = env.spec.action
    if isinstance(space, Box):
        return _compare(name, "action_mask", timestep.action_mask, (), "bool", False)
    shape = (env.spec.num_agents, space.size)
    if timestep.action_mask is None and len(set(space.sizes)) > 1:
        seen = f"action_mask of {name} is None, but agents have {space.sizes} actions"
        mend = "return jnp.asarray(self.spec.action.mask), and what is illegal now as False"
        return [error("timestep", seen, f"bool{list(shape)}: padding is never legal", mend)]
    there = timestep.action_mask is not None
    return _compare(name, "action_mask", timestep.action_mask, shape, "bool", there)


def _check_metrics(env: Env, name: str, timestep: TimeStep) -> list[Finding]:
    promised, metrics = [m for m, _ in env.spec.metrics], timestep.metrics
    if not isinstance(metrics, dict) or set(metrics) != set(promised):
        given = sorted(metrics) if isinstance(metrics, dict) else metrics
        seen = f"metrics of {name} are {given}"
        mend = "name the same metrics in spec.metrics, in reset and in step"
        return [error("timestep", seen, f"those of the spec: {sorted(promised)}", mend)]
    return [
        finding
        for metric, leaf in metrics.items()
        for finding in _compare(name, f"metrics[{metric!r}]", leaf, (), "float32", True)
    ]


def check_carry(signatures: dict[str, Signature]) -> list[Finding]:
    """Whether what a step returns can stand where a reset's stood: `scan` and `jit` need it."""
    found = []
    for part in Signature._fields:
        reset, step = (getattr(signatures[name], part) for name in ("reset", "step"))
        if jax.tree.structure(reset) != jax.tree.structure(step):
            seen = f"the {part} has another structure after a step than after a reset"
            mend = "build both by one function, and use None in both or in neither"
            found.append(error("carry", seen, "one structure", mend))
            continue
        leaves = zip(jax.tree.leaves_with_path(reset), jax.tree.leaves(step))
        found += [
            finding
            for (path, before), after in leaves
            for finding in _compare_arrays(f"{part}{jax.tree_util.keystr(path)}", before, after)
        ]
    return found


def _compare_arrays(where: str, before: Any, after: Any) -> list[Finding]:
    """Of one leaf. A weak type alone costs a second compilation where worlds are stepped by hand;
    loops convert it."""
    kinds = array_kind(before), array_kind(after)
    if kinds[0] == kinds[1]:
        return []
    only_weak = before.shape == after.shape and before.dtype == after.dtype
    mend = (
        "say the type of Python's numbers, in reset and in step: jnp.int32(0), "
        "jnp.full(n, x, jnp.float32), or .astype"
    )
    report = warning if only_weak else error
    seen = f"{where} is {kinds[0]} after reset, {kinds[1]} after step"
    return [report("carry", seen, "one shape and type, so that it compiles once", mend)]
