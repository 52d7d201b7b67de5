"""A policy as a pure function of named arrays: what every exported file computes.

    obs [, action_mask] [, carry]  ->  action, what a sampler needs [, carry]

For all agents, padded as in training: `obs [B, N, D]`. Or for one agent at its true sizes:
`obs [B, D]`. What never changes, such as a mask of padded actions, is part of the function.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Bool, Float

from shoal.core.algorithm import Policy, require_decentralised
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import require, unknown
from shoal.core.spaces import ActionSpace, Factored
from shoal.envs.host.world import World
from shoal.export.policy_outputs import decide
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.sharing import Groups
from shoal.training.backend import backend_of
from shoal.training.constant_mask import depends


@functools.cache
def any_batch() -> Any:
    """The size of an axis that is not known yet: one symbol, because JAX keeps what it traced and
    does not compare symbols of different origin."""
    return export.symbolic_shape("B")[0]


@dataclass(frozen=True)
class PolicyFunction:
    """`call(*inputs)` in the order of `inputs`; shapes are those of one environment, batched by B.

    `carry` names the inputs that are recurrent state, zeros at the start of an episode. The outputs
    `next_...` of the same names are what to give to the next step. `parameters` counts numbers.
    """

    call: Callable[..., dict[str, Array]]
    inputs: dict[str, jax.ShapeDtypeStruct]
    carry: tuple[str, ...]
    parameters: int

    def arguments(self) -> list[jax.ShapeDtypeStruct]:
        """The inputs with a first axis of any size, `B`."""
        shapes = [((any_batch(), *x.shape), x.dtype) for x in self.inputs.values()]
        return [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]

    def trace(self) -> Any:
        """The program, a `ClosedJaxpr`, for any B."""
        return jax.make_jaxpr(self.call)(*self.arguments())

    def outputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Like `inputs`, of what it returns."""
        out = jax.eval_shape(self.call, *self.arguments())
        return {name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in out.items()}


def policy_function(policy: Policy, env: World, agent: str | None = None) -> PolicyFunction:
    """The policy of all agents, or of one.

    Args:
        policy: a decentralised one.
        env: where it acts; it says what sizes are real and whether masks change.
        agent: a name from `env.spec.agents`.

    Raises:
        UserError: there is no such agent, or the policy cannot be a function of these alone.
    """
    spec = env.spec
    if agent is not None and agent not in spec.agents:
        raise unknown("agent", agent, spec.agents)
    require_decentralised(policy, "an export")
    carry = jax.tree.leaves(policy.initial_carry())
    require(
        not any(np.any(np.asarray(leaf)) for leaf in carry),
        f"a {type(policy).__name__} starts from a carry that is not zero: it cannot be exported",
    )
    call = _Whole(policy, spec.action, *backend_of(env).mask(env))
    obs, mask = (spec.num_agents, spec.obs_size), (spec.num_agents, spec.action.size)
    _check_no_draws(call, obs, mask)
    if agent is not None:
        i = spec.agents.index(agent)
        obs, mask = (spec.obs_sizes[i],), (spec.action.part((i,)).size,)
        call = _One(dataclasses.replace(call, policy=_alone(policy, i)), spec, i)
        carry = [leaf[i] if _per_agent(leaf, spec) else leaf for leaf in carry]
    inputs = {"obs": jax.ShapeDtypeStruct(obs, jnp.float32)}
    if call.masked:
        inputs["action_mask"] = jax.ShapeDtypeStruct(mask, jnp.bool_)
    names = _carry_names(len(carry))
    inputs |= {n: jax.ShapeDtypeStruct(x.shape, x.dtype) for n, x in zip(names, carry)}
    numbers = jax.tree.leaves(call.policy)
    return PolicyFunction(call, inputs, names, sum(np.size(x) for x in numbers))


def _carry_names(count: int, stem: str = "carry") -> tuple[str, ...]:
    return (stem,) if count == 1 else tuple(f"{stem}_{k}" for k in range(count))


@dataclass(frozen=True, eq=False)
class _Whole:
    """All agents, padded. A mask that never changes is `fixed` (`None` in a world without)."""

    policy: Policy
    space: ActionSpace
    masked: bool
    fixed: Bool[np.ndarray, "N A"] | None

    def __call__(self, obs: Array, *rest: Array, key: Array | None = None) -> dict[str, Array]:
        mask, leaves = (rest[0], rest[1:]) if self.masked else (None, rest)
        if self.fixed is not None:
            mask = jnp.broadcast_to(self.fixed, (*obs.shape[:-1], self.fixed.shape[-1]))
        carry = jax.tree.unflatten(jax.tree.structure(self.policy.initial_carry()), leaves)
        key = jax.random.key(0) if key is None else key
        distribution, carry = self.policy(TimeStep.of(obs, action_mask=mask), carry, key)
        after = jax.tree.leaves(carry)
        return decide(distribution, self.space) | dict(
            zip(_carry_names(len(after), "next_carry"), after)
        )


@dataclass(frozen=True, eq=False)
class _One:
    """Agent `i` alone, at its own sizes: every other row repeats its own, and is left out again."""

    whole: _Whole
    spec: EnvSpec
    i: int

    @property
    def masked(self) -> bool:
        return self.whole.masked

    @property
    def policy(self) -> Policy:
        return self.whole.policy

    def __call__(self, obs: Array, *rest: Array) -> dict[str, Array]:
        initial = jax.tree.leaves(self.whole.policy.initial_carry())
        shared = [not _per_agent(leaf, self.spec) for leaf in initial]
        rows = [self._rows(obs, self.spec.obs_size)]
        if self.masked:
            rows.append(self._rows(self._padded_mask(rest[0]), self.spec.action.size))
        carry = rest[self.masked :]
        rows += [x if s else self._rows(x, x.shape[-1]) for s, x in zip(shared, carry)]
        out = self.whole(*rows)
        names = dict(zip(_carry_names(len(initial), "next_carry"), shared))
        for name in out:
            if not names.get(name, False):
                out[name] = out[name][:, self.i]
            if name not in names:
                out[name] = self._unpadded(out[name])
        return out

    def _padded_mask(self, mask: Array) -> Array:
        """`[B, own size]`; of factors, each padded to the most options of all agents'."""
        space, own = self.spec.action, self.spec.action.part((self.i,))
        if not (isinstance(space, Factored) and isinstance(own, Factored)):
            return mask
        padding = ((0, 0), (0, 0), (0, space.num_options - own.num_options))
        return jnp.pad(own.split(mask), padding).reshape(mask.shape[0], -1)

    def _unpadded(self, x: Array) -> Array:
        """What is said of actions, `[B, ...]`, without those that the agent lacks."""
        own = self.spec.action.part((self.i,))
        sizes = (own.size,)
        if isinstance(own, Factored):
            sizes = (own.num_factors, own.num_options)
        for axis, size in enumerate(sizes[: x.ndim - 1], start=1):
            x = jax.lax.slice_in_dim(x, 0, size, axis=axis)
        return x

    def _rows(self, x: Array, size: int) -> Array:
        """`[B, n]` padded with zeros to `[B, N, size]`."""
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - x.shape[-1])])
        shape = (x.shape[0], self.spec.num_agents, *padded.shape[1:])
        return jnp.broadcast_to(padded[:, None], shape)


# One agent's part ------------------------------------------------------------------------------


class _Alone(eqx.Module):
    """The network of one agent with the methods of all agents': every row is that agent's."""

    network: AgentNetwork  # of one agent
    groups: Groups  # of all of them
    agent: int = eqx.field(static=True)

    def initial_carry(self) -> Float[Array, "N H"] | None:
        if not self.network.recurrent:
            return None
        return jnp.zeros((len(self.groups.of_agent), self.network.recurrent))

    def step(
        self, x: Float[Array, "*B N in"], carry: Float[Array, "*B N H"] | None
    ) -> tuple[Float[Array, "*B N out"], Float[Array, "*B N H"] | None]:
        def mine(x: Array) -> Array:
            return x[..., self.agent : self.agent + 1, :]

        def repeated(row: Array) -> Array:
            return jnp.broadcast_to(row, (*x.shape[:-1], row.shape[-1]))

        out, after = self.network.step(mine(x), None if carry is None else mine(carry))
        return repeated(out), None if after is None else repeated(after)


def _alone(policy: Policy, agent: int) -> Policy:
    """The same policy with no parameters but those that this agent uses. Policies of other
    networks stay whole: all they compute for the others is left out of the file, where it can be.
    """

    def narrow(network: Any) -> Any:
        if not isinstance(network, AgentNetwork):
            return network
        return _Alone(network.alone(agent), network.groups, agent)

    return jax.tree.map(narrow, policy, is_leaf=lambda x: isinstance(x, AgentNetwork))


def _per_agent(leaf: Array, spec: EnvSpec) -> bool:
    return leaf.ndim > 0 and leaf.shape[0] == spec.num_agents


# What never changes ----------------------------------------------------------------------------


def _check_no_draws(whole: _Whole, obs: tuple[int, ...], mask: tuple[int, ...]) -> None:
    """Raises `UserError` where the key shapes what the policy does."""
    arguments = [jnp.zeros((1, *obs))]
    arguments += [jnp.ones((1, *mask), bool)] if whole.masked else []
    arguments += [x[None] for x in jax.tree.leaves(whole.policy.initial_carry())]
    require(
        not depends(lambda key: whole(*arguments, key=key), jax.random.key(0)),
        f"a {type(whole.policy).__name__} draws random numbers as it acts: it cannot be exported",
    )
