"""The network of N agents: a torso, perhaps a recurrent cell, and a head, shared within groups.

It sees the whole agent axis, `[M, N, D]`, though here each agent's output depends on its own input
alone. Networks that let agents talk keep the same two methods.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.errors import require
from shoal.core.sequence import carries_after
from shoal.nn.batch_norm import BatchNormMLP, Statistics
from shoal.nn.convolution import Image, ImageTorso
from shoal.nn.layer_norm import LayerNormMLP
from shoal.nn.mlp import MLP, Activation, Linear
from shoal.nn.recurrent import GRU, unroll
from shoal.nn.residual import ResidualMLP
from shoal.nn.sharing import Groups
from shoal.nn.torso import Torso

MAX_UNROLLED_GROUPS = 8  # one by one, two networks take 0.6 of the time of one batched product


Layers = type[MLP] | type[LayerNormMLP] | type[ResidualMLP] | type[BatchNormMLP]
Seen = tuple[Statistics, ...]  # of each batch norm, with a leading axis G


class Stack(eqx.Module):
    """One group's layers."""

    torso: MLP | LayerNormMLP | ResidualMLP | BatchNormMLP | ImageTorso | Torso
    cell: GRU | None
    head: Linear


class AgentIds(eqx.Module):
    """The number of each agent within its group, as inputs of a network; none where `count` is 0,
    which is where every agent has parameters of its own."""

    of_agent: tuple[int, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)

    @staticmethod
    def of(groups: Groups, wanted: bool) -> "AgentIds":
        count = groups.largest if wanted and groups.largest > 1 else 0
        return AgentIds(groups.place_in_group, count)

    def append(self, x: Float[Array, "*B N in"]) -> Float[Array, "*B N all"]:
        """The inputs of all agents with their numbers behind them, one-hot."""
        if not self.count:
            return x
        ids = jax.nn.one_hot(jnp.array(self.of_agent), self.count)
        return jnp.concatenate([x, jnp.broadcast_to(ids, (*x.shape[:-1], self.count))], -1)


class AgentNetwork(eqx.Module):
    """`[.., N, in] -> [.., N, out]` with one set of parameters a group.

    `recurrent` is the size of the GRU between torso and head, 0 for none. `images` are those that
    an input begins with, (height, width, channels) each, flattened. With `agent_id` an agent's
    number within its group is an input, so that agents that share parameters can differ. They have
    `layers` of that kind; `torso` is the address of what makes a torso of the user's own.
    """

    stack: Stack  # every leaf has a leading axis G
    groups: Groups
    recurrent: int = eqx.field(static=True)
    ids: AgentIds

    def __init__(
        self,
        size_in: int,
        size_out: int,
        groups: Groups,
        *,
        hidden: tuple[int, ...],
        recurrent: int = 0,
        activation: Activation = "tanh",
        head_gain: float = 1.0,
        images: tuple[Image, ...] = (),
        agent_id: bool = False,
        layers: Layers = MLP,
        torso: str = "",
        key: PRNGKeyArray,
    ):
        self.ids = AgentIds.of(groups, agent_id)
        size_in += self.ids.count

        def build(key: PRNGKeyArray) -> Stack:
            key_torso, key_cell, key_head = jax.random.split(key, 3)
            if torso:
                require(
                    layers is MLP,
                    f"torso is {torso}, expected none with residual layers or layer_norm",
                )
                made = Torso.of(torso, size_in, key_torso)
            elif images:
                made = ImageTorso(size_in, images, hidden, activation, layers, key=key_torso)
            else:
                made = layers(size_in, hidden, activation, key=key_torso)
            width = made.size_out
            cell = GRU(width, recurrent, key=key_cell) if recurrent else None
            return Stack(made, cell, Linear(recurrent or width, size_out, head_gain, key=key_head))

        self.stack = eqx.filter_vmap(build)(jax.random.split(key, groups.count))
        self.groups = groups
        self.recurrent = recurrent

    def initial_carry(self) -> Float[Array, "N H"] | None:
        """Zeros for one environment, or `None` without recurrence."""
        if not self.recurrent:
            return None
        return jnp.zeros((len(self.groups.of_agent), self.recurrent))

    def alone(self, agent: int) -> "AgentNetwork":
        """The network of one agent, `[.., 1, in] -> [.., 1, out]`, with no other's parameters."""
        group = self.groups.of_agent[agent]
        stack = jax.tree.map(lambda x: x[group : group + 1], self.stack)
        ids = AgentIds(self.ids.of_agent[agent : agent + 1], self.ids.count)
        new = (stack, Groups((0,)), ids)
        return eqx.tree_at(lambda n: (n.stack, n.groups, n.ids), self, new)

    def _per_group(self, fn: Callable[..., Any], *xs: list[Array]) -> list[Any]:
        """Runs `fn(stack, *x)` for every group with its own part of each of `xs`."""
        if len(xs[0]) > MAX_UNROLLED_GROUPS and len({x.shape for x in xs[0]}) == 1:
            out = jax.vmap(fn)(self.stack, *map(jnp.stack, xs))
            return [jax.tree.map(lambda x, g=g: x[g], out) for g in range(len(xs[0]))]
        stacks = [jax.tree.map(lambda x, g=g: x[g], self.stack) for g in range(len(xs[0]))]
        return [fn(*inputs) for inputs in zip(stacks, *xs)]

    def step(
        self, x: Float[Array, "*B N in"], carry: Float[Array, "*B N H"] | None
    ) -> tuple[Float[Array, "*B N out"], Float[Array, "*B N H"] | None]:
        """One time step for any number of environments."""
        x = self.ids.append(x)
        batch, num_agents = x.shape[:-2], x.shape[-2]

        def split(x: Array) -> list[Array]:
            return self.groups.split(x.reshape(-1, *x.shape[-2:]))

        def join(parts: list[Array]) -> Array:
            return self.groups.join(parts, num_agents).reshape(*batch, num_agents, -1)

        if carry is None:
            return join(self._per_group(lambda s, x: s.head(s.torso(x)), split(x))), None
        h = self._per_group(
            lambda s, x, h: s.cell(s.cell.project(s.torso(x)), h), split(x), split(carry)
        )
        return join(self._per_group(lambda s, h: s.head(h), h)), join(h)

    def train(
        self, x: Float[Array, "*B N in"], weight: Float[Array, "*B N"]
    ) -> tuple[Float[Array, "*B N out"], Seen]:
        """Outputs normalised by this very batch, of samples of that weight, each group by its own;
        and what the layers have then seen, for `remember`."""
        x = self.ids.append(x)
        num_agents = x.shape[-2]

        def run(s: Stack, x: Array, weight: Array) -> tuple[Array, Seen]:
            assert isinstance(s.torso, BatchNormMLP)
            out, seen = s.torso.train(x, weight)
            return s.head(out), seen

        samples = self.groups.split(x.reshape(-1, *x.shape[-2:]))
        weights = self.groups.split(weight.reshape(-1, num_agents))
        out, seen = zip(*self._per_group(run, samples, weights))
        out = self.groups.join(list(out), num_agents).reshape(*x.shape[:-1], -1)
        return out, jax.tree.map(lambda *xs: jnp.stack(xs), *seen)

    def remember(self, seen: Seen) -> "AgentNetwork":
        """The same network with other running statistics."""
        where: Any = lambda n: [norm.seen for norm in n.stack.torso.norms]  # noqa: E731
        return eqx.tree_at(where, self, list(seen))

    def after(
        self,
        x: Float[Array, "T B N in"],
        next_x: Float[Array, "T B N in"],
        carry: Float[Array, "B N H"] | None,
        starts: Bool[Array, "T B"],
    ) -> Float[Array, "T B N out"]:
        """Outputs at the successor of each of T time steps, read with the carry that the step left:
        `next_x` need not be what the next step saw, for a reset may lie between."""
        carries = carries_after(lambda x, c: self.step(x, c)[1], x, carry, starts)
        return self.step(next_x, carries)[0]

    def unroll(
        self,
        x: Float[Array, "T B N in"],
        carry: Float[Array, "B N H"] | None,
        starts: Bool[Array, "T B"],
    ) -> Float[Array, "T B N out"]:
        """T time steps, from `carry`; where `starts`, the carry is reset before the step."""
        T, B, N = x.shape[:3]
        if carry is None:
            return self.step(x, None)[0]

        x = self.ids.append(x)

        def run(s: Stack, x: Array, h: Array, starts: Array) -> Array:
            assert s.cell is not None
            projected = s.cell.project(s.torso(x.reshape(-1, x.shape[-1])))
            h = unroll(s.cell, projected.reshape(T, h.shape[0], -1), h, starts)
            return s.head(h.reshape(-1, h.shape[-1]))

        def by_time(x: Array) -> list[Array]:  # [T, B, N, ...] to G times [T, B * n, ...]
            parts = self.groups.split(x.reshape(T * B, *x.shape[2:]))
            return [part.reshape(T, -1, *x.shape[3:]) for part in parts]

        agent_starts = jnp.broadcast_to(starts[:, :, None], (T, B, N))
        out = self._per_group(run, by_time(x), self.groups.split(carry), by_time(agent_starts))
        return self.groups.join(out, N).reshape(T, B, N, -1)
