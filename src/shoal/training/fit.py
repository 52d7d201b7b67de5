"""Whether algorithms, learners and policies keep their promises, found while they are traced:
before anything is compiled, and at no cost once it is.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from shoal.core.algorithm import Learner, Policy
from shoal.core.env import Env, EnvSpec, to_act_on
from shoal.core.errors import UserError, require
from shoal.training.evaluation import random_action


def check_same(before: Any, after: Any, who: str, what: str = "state") -> None:
    """Raises `UserError` for the first leaf in which what `who` returns is not like what it got."""
    old, new = _leaves(before), _leaves(after)
    for path in [*old, *new]:
        got, gave = old.get(path), new.get(path)
        if gave is None:
            raise UserError(f"{who} returns a {what} without {path}, which is {got}")
        if got is None:
            raise UserError(f"{who} returns a {what} with {path}, {gave}, which it did not get")
        if got != gave:
            raise UserError(f"{who} returns a {what} whose {path} is {gave}, expected {got}")
    same = jax.tree.structure(before) == jax.tree.structure(after)
    require(same, f"{who} returns a {what} of another structure than it got")


def _leaves(tree: Any) -> dict[str, str]:
    """`float32[3, 4]` and the like by path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path) or "value": _kind(x) for path, x in leaves}


def _kind(x: Any) -> str:
    """The type and shape of an array or a number."""
    x = x if isinstance(x, jax.Array | jax.ShapeDtypeStruct) else np.asarray(x)
    return f"{x.dtype}[{', '.join(map(str, x.shape))}]"


def check_action(action: Any, spec: EnvSpec, num_envs: int, who: str) -> None:
    """Raises `UserError` where actions of B environments do not fit the action space."""
    shape = (num_envs, spec.num_agents)
    right = jax.eval_shape(lambda key: random_action(spec.action, shape, None, key), _key())
    fits = jax.tree.structure(action) == jax.tree.structure(right) and all(
        jnp.shape(x) == y.shape and jnp.issubdtype(x.dtype, _number(y))
        for x, y in _pairs(action, right)
    )
    if not fits:
        gave, wanted = (", ".join(_leaves(tree).values()) for tree in (action, right))
        raise UserError(
            f"{who} gives actions {gave}, expected {wanted} for {num_envs} environments of "
            f"{spec.num_agents} agents in {spec.name}"
        )


def _pairs(action: Any, right: Any) -> list[tuple[Any, Any]]:
    return list(zip(jax.tree.leaves(action), jax.tree.leaves(right)))


def _number(x: Any) -> Any:
    return jnp.integer if jnp.issubdtype(x.dtype, jnp.integer) else jnp.floating


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))


def check_kind(learner: Any) -> None:
    """Raises `UserError` for what is no learner."""
    name = type(learner).__name__
    good = isinstance(learner, Learner)
    require(good, f"{name} is no learner: it needs steps_per_update, init, update and policy")


def trace(learner: Learner) -> tuple[Any, Any, Any]:
    """The shapes of a learner's state, of the same after an update, and of that one's metrics."""
    state = jax.eval_shape(learner.init, _key())
    return state, *jax.eval_shape(learner.update, state)


def check_learner(learner: Learner, env: Env, traced: tuple[Any, Any, Any]) -> Any:
    """Looks at what was `traced` of a learner, and traces its policy. Returns the shapes of its
    state.

    Raises:
        UserError: its state does not keep its structure, a metric is no number, or its policy does
            not act in the environment.
    """
    name = type(learner).__name__
    state, after, metrics = traced
    check_same(state, after, f"{name}.update")
    for metric, value in metrics.items():
        single = jnp.shape(value) == ()
        require(single, f"metric '{metric}' of {name} is {_kind(value)}, expected one number")
    policy = eqx.filter_eval_shape(learner.policy, state)
    kind = type(policy).__name__
    require(isinstance(policy, Policy), f"{name}.policy gives a {kind}, expected a shoal.Policy")
    action = eqx.filter_eval_shape(_act, policy, env, _key())
    check_action(action, env.spec, 1, f"{kind}, the policy of {name},")
    return state


def check_policy(policy: Policy, env: Env) -> None:
    """Traces a policy in an environment.

    Raises:
        UserError: it cannot read what agents are shown there, or its actions do not fit.
    """
    try:
        action = eqx.filter_eval_shape(_act, policy, env, _key())
    except (TypeError, ValueError) as error:
        spec = env.spec
        raise UserError(
            f"the policy does not fit {spec.name}, whose {spec.num_agents} agents are shown "
            f"{spec.obs_size} numbers each: run.elsewhere(env) moves one, or says why it cannot"
        ) from error
    check_action(action, env.spec, 1, "the policy")


def _act(policy: Policy, env: Env, key: Array) -> Any:
    """The likeliest actions at the start of one episode."""
    first, carry = jax.tree.map(lambda x: x[None], (env.reset(key)[1], policy.initial_carry()))
    return policy(to_act_on(first), carry, key)[0].mode()
