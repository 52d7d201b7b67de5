"""Shapes and types of what reset and step return: those of the spec, and the same after both."""

import dataclasses
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
    after = {name: _defects(env, name, part.timestep) for name, part in signatures.items()}
    rest = after["step"]
    found = []
    for finding in after["reset"]:
        of_step = finding.seen.replace(" of reset ", " of step ", 1)
        both = dataclasses.replace(finding, seen=of_step) in rest
        rest = [f for f in rest if f.seen != of_step]
        said = finding.seen.replace(" of reset ", " of reset and step ", 1)
        found.append(dataclasses.replace(finding, seen=said) if both else finding)
    return found + rest


def _defects(env: Env, name: str, timestep: TimeStep) -> list[Finding]:
    """What one function returns that the spec does not promise."""
    found = [
        finding
        for field, expected in _expected(env).items()
        for finding in _compare(name, field, getattr(timestep, field), *expected)
    ]
    return found + _check_mask(env, name, timestep) + _check_metrics(env, name, timestep)


def _expected(env: Env) -> dict[str, tuple[tuple[int, ...], str, bool]]:
    """Shape, type, and whether it is there at all; of a mask that is checked apart."""
    spec, n = env.spec, env.spec.num_agents
    return {
        "obs": ((n, spec.obs_size), "float32", True),
        "reward": ((n,), "float32", True),
        "terminated": ((n,), "bool", True),
        "truncated": ((n,), "bool", True),
        "active": ((n,), "bool", True),
        "global_state": ((spec.state_size,), "float32", spec.state_size > 0),
    }


def _compare(
    name: str, field: str, leaf: Any, shape: tuple[int, ...], dtype: str, there: bool
) -> list[Finding]:
    wanted = f"{dtype}[{', '.join(map(str, shape))}]" if there else "None"
    if (leaf is None) != (not there):
        seen = f"{field} of {name} is {'None' if leaf is None else array_kind(leaf)}"
        size = 0 if leaf is None else leaf.size
        instead = f", or set state_size={size} in the spec" * (field == "global_state")
        return [error("timestep", seen, wanted, f"return {wanted}{instead}")]
    if leaf is None or (leaf.shape == shape and str(leaf.dtype) == dtype):
        return []
    mend = (
        f"write {field}.astype(jnp.{dtype.replace('bool', 'bool_')})"
        if leaf.shape == shape
        else _mend_shape(field, leaf.shape, shape)
    )
    return [error("timestep", f"{field} of {name} is {array_kind(leaf)}", wanted, mend)]


def _mend_shape(field: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What to write where an array has another shape than the spec's."""
    match field:
        case "obs" if len(shape) == 2 and shape[0] == wanted[0]:
            return (
                f"agents are shown {shape[1]} numbers, and the largest of spec.obs_sizes is "
                f"{wanted[1]}: make the two agree; who sees fewer is padded with zeros"
            )
        case "obs":
            return "return a row of numbers for each agent, padded with zeros to one length"
        case "action_mask":
            return "return a row for each agent, and in it a truth value for each action"
        case "truncated":
            return (
                "return one truth value for each agent; a time limit is everyone's: "
                f"jnp.full({wanted[0]}, time >= horizon), or TimeStep.of(truncated=time >= horizon)"
            )
        case "global_state":
            return f"return a row of {wanted[0]} numbers, or mend spec.state_size"
        case "reward" | "terminated" | "active":
            return f"return one value for each agent, such as jnp.full({wanted[0]}, x) for all"
    return "return one number for the whole world, such as x.mean()"


def _check_mask(env: Env, name: str, timestep: TimeStep) -> list[Finding]:
    space = env.spec.action
    if isinstance(space, Box):
        return _compare(name, "action_mask", timestep.action_mask, (), "bool", False)
    shape = (env.spec.num_agents, space.size)
    if timestep.action_mask is None and not space.mask.all():
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
    kinds = [
        array_kind(leaf) + " (weak type)" * bool(getattr(leaf, "weak_type", False))
        for leaf in (before, after)
    ]
    if kinds[0] == kinds[1]:
        return []
    report, mend = error, "return the same shape from both, perhaps padded"
    if before.shape == after.shape:
        mend = f"choose one type for both: write .astype(jnp.{after.dtype}) in reset, or mend step"
        if before.dtype == after.dtype:
            report = warning
            mend = (
                "say the type of Python's numbers, in reset and in step: jnp.int32(0), "
                "jnp.full(n, x, jnp.float32), or .astype"
            )
    seen = f"{where} is {kinds[0]} after reset, {kinds[1]} after step"
    return [report("carry", seen, "one shape and type, so that it compiles once", mend)]
