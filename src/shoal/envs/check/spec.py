"""The spec: static, hashable, and of one mind about how many agents there are."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

import jax
import numpy as np

from shoal.core.env import Env, EnvSpec
from shoal.core.spaces import ActionSpace, Factored
from shoal.envs.check.finding import Finding, error, raised, warning

REDUCTIONS = ("sum", "mean", "last", "max")
CHECK = "spec"


def check_spec(env: Env) -> list[Finding]:
    """Everything that is known before the world runs."""
    try:
        spec = env.spec
    except Exception as problem:
        return [_broken(f"asking for env.spec raises {raised(problem)}", "an EnvSpec")]
    if callable(spec):
        return [_broken("env.spec is a function", "an EnvSpec", "write @property above def spec")]
    if not isinstance(spec, EnvSpec):
        return [_broken(f"env.spec is a {type(spec).__name__}", "a shoal.EnvSpec")]
    found = _numbers(spec) or _hashable(env, spec)
    if found:  # what follows compares lengths
        return found
    return _lengths(spec) + _names(spec) + _roles(spec)


def check_fields(env: Env) -> list[Finding]:
    """Whether a run can write down the world's fields and build it again."""
    found = []
    for name, value in vars(env).items():
        if not isinstance(value, (bool, int, float, str, list, tuple, type(None), jax.Array)):
            found.append(
                warning(
                    CHECK,
                    f"field {name} is a {type(value).__name__}",
                    "a number, text, tuple or JAX array, which a run's config.json can keep",
                    f"give {name} one of these types, or convert it: "
                    "eqx.field(converter=jnp.asarray)",
                )
            )
    return found


def _broken(seen: str, expected: str, mend: str = "return an EnvSpec with all its fields") -> Any:
    return error(CHECK, seen, expected, mend)


def _hashable(env: Env, spec: EnvSpec) -> list[Finding]:
    """Static parts are what compiled programs are looked up by."""
    found = []
    if jax.tree.leaves(spec):
        found.append(_broken("the spec holds arrays", "plain numbers and names", "use int and str"))
    for what, thing in (("spec", spec), (type(env).__name__, env)):
        for field in dataclasses.fields(thing):
            if field.metadata.get("static"):
                problem = _unhashable(getattr(thing, field.name))
                mend = "use tuples; what is an array is no static field"
                if problem:
                    seen = f"{what}.{field.name} cannot be hashed: {problem}"
                    found.append(_broken(seen, "tuples, numbers and names", mend))
    if not found and spec != env.spec:
        seen = "asking for env.spec twice gives two different specs"
        found.append(_broken(seen, "the same each time", "compute it from the fields alone"))
    return found


def _unhashable(value: Any) -> str:
    try:
        hash(value)
    except TypeError as problem:
        return str(problem)
    return "an array" if isinstance(value, jax.Array) else ""


def _numbers(spec: EnvSpec) -> list[Finding]:
    """Types and ranges of each field."""
    space = spec.action
    if not isinstance(space, ActionSpace):
        seen = f"spec.action is of type {type(space).__name__}"
        kinds = ", ".join(kind.__name__ for kind in get_args(ActionSpace))
        return [_broken(seen, f"one of {kinds}", "import them from shoal.core.spaces")]
    found = []
    sizes = (_whole(1), "whole numbers from 1")
    if isinstance(space, Factored):
        sizes = (_row(_whole(1)), "tuples of whole numbers from 1")
    tuples = {
        "agents": (spec.agents, lambda x: isinstance(x, str) and x != "", "names"),
        "teams": (spec.teams, _whole(0), "whole numbers from 0"),
        "roles": (spec.roles, _whole(0), "whole numbers from 0"),
        "obs_sizes": (spec.obs_sizes, _whole(1), "whole numbers from 1"),
        "action.sizes": (space.sizes, *sizes),
    }
    for name, (values, admit, kind) in tuples.items():
        if not isinstance(values, tuple) or not values or not all(map(admit, values)):
            mend = "convert NumPy's numbers with int(...), lists with tuple(...)"
            found.append(_broken(f"spec.{name} is {values!r}", f"a tuple of {kind}", mend))
    for name, value, least in (("horizon", spec.horizon, 1), ("state_size", spec.state_size, 0)):
        if not _whole(least)(value):
            mend = f"set {name} to a whole number, not an array"
            found.append(_broken(f"spec.{name} is {value!r}", f"an int from {least}", mend))
    return found


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= least


def _row(admit: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda x: isinstance(x, tuple) and len(x) > 0 and all(map(admit, x))


def _lengths(spec: EnvSpec) -> list[Finding]:
    n = len(spec.agents)
    sizes = {
        "teams": spec.teams,
        "roles": spec.roles,
        "obs_sizes": spec.obs_sizes,
        "action.sizes": spec.action.sizes,
    }
    return [
        _broken(
            f"spec.{name} has {len(values)} entries, spec.agents has {n}",
            f"{n} entries, one an agent",
            f"write ({values[0]},) * num_agents where all are alike",
        )
        for name, values in sizes.items()
        if len(values) != n
    ]


def _names(spec: EnvSpec) -> list[Finding]:
    found = []
    if len(set(spec.agents)) < len(spec.agents):
        seen = f"two agents have one name: {', '.join(spec.agents)}"
        found.append(_broken(seen, "a name each", "number them: f'agent_{i}'"))
    metrics = spec.metrics
    if not isinstance(metrics, tuple) or not all(
        isinstance(m, tuple) and len(m) == 2 and isinstance(m[0], str) for m in metrics
    ):
        mend = "write metrics=(('met', 'max'),), with a comma behind a single pair"
        return [*found, _broken(f"spec.metrics is {metrics!r}", "a tuple of pairs", mend)]
    for name, how in metrics:
        if how not in REDUCTIONS:
            seen = f"metric {name} is reduced by {how!r}"
            mend = "say how an episode's number follows from its steps'"
            found.append(_broken(seen, f"one of {', '.join(REDUCTIONS)}", mend))
    if len({name for name, _ in metrics}) < len(metrics):
        found.append(_broken("two metrics have one name", "a name each", "rename one"))
    return found


def _roles(spec: EnvSpec) -> list[Finding]:
    """Agents of one role share parameters, so they should see and do alike."""
    kinds: dict[int, tuple[Any, Any]] = {}
    for role, *kind in zip(spec.roles, spec.obs_sizes, spec.action.sizes):
        if kinds.setdefault(role, (kind[0], kind[1])) != tuple(kind):
            seen = f"agents of role {role} differ in the sizes of their observations or actions"
            mend = "give each kind of agent a role of its own"
            return [warning(CHECK, seen, "agents of one role see and do alike", mend)]
    return []


def array_kind(leaf: Any) -> str:
    """The shape and type of an array in words: `float32[3, 4]`."""
    shape = ", ".join(map(str, np.shape(leaf)))
    return f"{leaf.dtype}[{shape}]"
