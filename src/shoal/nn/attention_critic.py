r"""A critic of every agent that attends to the others, whatever their number.

    Q_i(o, a) = f_i(e_i, x_i)[a_i],    e_i = e_i(o_i),    g_j = g_j(o_j, a_j)
    x_i = sum_{j != i} w_ij V g_j,    w_ij = softmax_{j != i} (W_q e_i)^T (W_k g_j) / sqrt(d)

for each of several heads, whose x_i stand one behind another, with an activation on V g. Encoders e
and g and outputs f are those of an agent's group; queries, keys and values are everyone's. Who is
not active is not attended to.
Iqbal and Sha 2019, arXiv:1810.02912.
"""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from shoal.core.algorithm import Carry
from shoal.core.env import EnvSpec
from shoal.core.spaces import Discrete
from shoal.nn.agent_network import AgentNetwork
from shoal.nn.critics import ActionCritic, StateAction
from shoal.nn.mlp import ACTIVATIONS, Activation
from shoal.nn.orthogonal import orthogonal
from shoal.nn.sharing import Groups


class Attention(eqx.Module):
    """What each agent reads of the others, by several heads."""

    query: Float[Array, "H E D"]
    key: Float[Array, "H E D"]
    value: Float[Array, "H E D"]
    activation: Activation = eqx.field(static=True)

    @staticmethod
    def of(heads: int, size: int, activation: Activation, key: PRNGKeyArray) -> "Attention":
        """For embeddings of `heads * size` numbers."""
        width = heads * size

        def layer(key: PRNGKeyArray) -> Float[Array, "H E D"]:
            return orthogonal(key, width, width).reshape(width, heads, size).swapaxes(0, 1)

        query, key, value = map(layer, jax.random.split(key, 3))
        return Attention(query, key, value, activation)

    def weights(
        self,
        own: Float[Array, "*B N E"],
        others: Float[Array, "*B N E"],
        active: Bool[Array, "*B N"],
    ) -> Float[Array, "*B H N N"]:
        """How much each agent (rows) attends to each: 1 in all, or 0 where it is alone."""
        n, size = own.shape[-2], self.query.shape[-1]
        query = jnp.einsum("...ne,hed->...hnd", own, self.query)
        key = jnp.einsum("...ne,hed->...hnd", others, self.key)
        match = jnp.einsum("...hnd,...hmd->...hnm", query, key) / size**0.5
        there = (active[..., None, :] & ~jnp.eye(n, dtype=bool))[..., None, :, :]
        return jnp.where(there, jax.nn.softmax(jnp.where(there, match, -1e9), -1), 0.0)

    def __call__(
        self,
        own: Float[Array, "*B N E"],
        others: Float[Array, "*B N E"],
        active: Bool[Array, "*B N"],
    ) -> Float[Array, "*B N E"]:
        """What the active others' embeddings are worth to each, one head behind another."""
        value = ACTIVATIONS[self.activation](jnp.einsum("...ne,hed->...hnd", others, self.value))
        read = jnp.einsum("...hnm,...hmd->...nhd", self.weights(own, others, active), value)
        return read.reshape(*own.shape[:-1], -1)


class AttentiveValues(eqx.Module):
    """One member of the ensemble: the values of all actions of each agent."""

    own: AgentNetwork  # e
    other: AgentNetwork  # g
    attention: Attention
    head: AgentNetwork  # f

    def initial_carry(self) -> Carry:
        return self.own.initial_carry(), self.other.initial_carry()

    def values(
        self,
        own: Float[Array, "*B N E"],
        other: Float[Array, "*B N E"],
        active: Bool[Array, "*B N"],
    ) -> Float[Array, "*B N A"]:
        """Values by what the encoders say."""
        read = self.attention(own, other, active)
        return self.head.step(jnp.concatenate([own, read], -1), None)[0]


class AttentionCritic(ActionCritic):
    """Values of discrete actions by attention. Reads observations, and no global state."""

    space: Discrete
    members: tuple[AttentiveValues, ...]

    @staticmethod
    def of(
        spec: EnvSpec,
        space: Discrete,
        groups: Groups,
        *,
        heads: int,
        head_size: int,
        keys: Key[Array, "K"],
        **shape: Any,
    ) -> "AttentionCritic":
        """Critics for that environment; `shape` is that of the encoders, `AgentNetwork`s. Behind
        the attention is one more layer, as wide as their last."""
        size, width = spec.obs_size, heads * head_size
        last = {"hidden": shape["hidden"][-1:], "activation": shape["activation"]}

        def member(key: PRNGKeyArray) -> AttentiveValues:
            own, other, attention, head = jax.random.split(key, 4)
            return AttentiveValues(
                AgentNetwork(size, width, groups, images=spec.images, key=own, **shape),
                AgentNetwork(
                    size + space.size, width, groups, images=spec.images, key=other, **shape
                ),
                Attention.of(heads, head_size, shape["activation"], attention),
                AgentNetwork(2 * width, space.size, groups, key=head, **last),
            )

        return AttentionCritic(space, tuple(map(member, keys)))

    def initial_carry(self) -> Carry:
        return tuple(member.initial_carry() for member in self.members)

    def _with(self, carry: Carry) -> Iterable[tuple[AttentiveValues, Carry]]:
        """Each member with its own recurrent state, which may be none at all."""
        return zip(self.members, carry or [(None, None)] * len(self.members))

    def _with_action(self, pair: StateAction) -> Float[Array, "*B N in"]:
        """What everyone sees and does."""
        action = self.space.numbers(pair.action)
        return jnp.concatenate([pair.obs, jnp.where(pair.active[..., None], action, 0.0)], -1)

    def step(self, pair: StateAction, carry: Carry) -> tuple[Float[Array, "K *B N A"], Carry]:
        values, after = [], []
        for member, (own_carry, other_carry) in self._with(carry):
            own, own_after = member.own.step(pair.obs, own_carry)
            other, other_after = member.other.step(self._with_action(pair), other_carry)
            values.append(member.values(own, other, pair.active))
            after.append((own_after, other_after))
        return jnp.stack(values), tuple(after)

    def unroll(
        self,
        pair: StateAction,
        carry: Carry,
        starts: Bool[Array, "T B"],
        action: Array | None = None,
    ) -> Float[Array, "K T B N A"]:
        del action  # an agent's own is not read
        both = self._with_action(pair)

        def member(m: AttentiveValues, carry: Carry) -> Float[Array, "T B N A"]:
            own, other = (
                m.own.unroll(pair.obs, carry[0], starts),
                m.other.unroll(both, carry[1], starts),
            )
            return m.values(own, other, pair.active)

        return jnp.stack([member(m, c) for m, c in self._with(carry)])

    def after(
        self, now: StateAction, following: StateAction, carry: Carry, starts: Bool[Array, "T B"]
    ) -> Float[Array, "K T B N A"]:
        both, next_both = self._with_action(now), self._with_action(following)

        def member(m: AttentiveValues, carry: Carry) -> Float[Array, "T B N A"]:
            own = m.own.after(now.obs, following.obs, carry[0], starts)
            other = m.other.after(both, next_both, carry[1], starts)
            return m.values(own, other, following.active)

        return jnp.stack([member(m, c) for m, c in self._with(carry)])
