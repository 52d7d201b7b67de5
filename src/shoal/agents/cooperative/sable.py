r"""Sable: PPO of a team whose agents decide one after another, by retention over agents.

$$
\begin{aligned}
\max\ & E[\min(\rho_i A_i,\ \mathrm{clip}(\rho_i, 1 - \epsilon, 1 + \epsilon)\, A_i)]
  - c_v\, E[(V_i - R_i)^2] + c_e\, E[H(\pi_i)] \\
& \pi(a|o) = \prod_i \pi_i(a_i\,|\,o_1, \dots, o_N, a_1, \dots, a_{i-1}), \qquad
  \rho_i = \frac{\pi_i}{\pi^{old}_i}
\end{aligned}
$$

with the advantages of `ppo`. An encoder mixes what all see; a decoder goes through the agents and
reads, of those before an agent, what they do: so a team breaks ties and takes turns. Both by
retention, where what is read does not grow with the number of agents. Agents act on messages: the
policy is not decentralised.

As in the paper's form without memory over time, to which `recurrent` adds a GRU of what each agent
sees. Values come from an encoder of the critic's own, where the paper's actor and critic share one.
Mahjoub et al. 2024, arXiv:2410.01706; the decoder's order is that of Wen et al. 2022,
arXiv:2205.14953 (MAT).
"""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from shoal.agents.policies import Actor
from shoal.agents.policy_gradient.ppo import PPO
from shoal.core.distributions import Distribution
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import Count
from shoal.nn.critics import ValueCritic, pixels_of
from shoal.nn.layer_norm import LayerNorm
from shoal.nn.mixers import agents_of_team
from shoal.nn.mlp import Activation, Linear
from shoal.nn.residual import Block
from shoal.nn.retention import Retention, RetentionNetwork, Written, by_row
from shoal.nn.sharing import Groups

Memory = tuple[tuple[Written, Written], ...] | None


class Turn(eqx.Module):
    """A block of the decoder: retention over the actions before an agent, and then over what came
    of it, asked by what the encoder says of the agent."""

    norms: tuple[LayerNorm, LayerNorm, LayerNorm]
    done: Retention
    asked: Retention
    feed: Block
    activation: Activation = eqx.field(static=True)

    def __init__(self, heads: int, width: int, activation: Activation, *, key: PRNGKeyArray):
        key_done, key_asked, key_feed = jax.random.split(key, 3)
        self.norms = (LayerNorm(width), LayerNorm(width), LayerNorm(width))
        self.done = Retention(heads, width, in_turn=True, key=key_done)
        self.asked = Retention(heads, width, in_turn=True, key=key_asked)
        self.feed = Block(width, 1, key=key_feed)
        self.activation = activation

    def __call__(
        self,
        x: Float[Array, "*B N E"],
        seen: Float[Array, "*B N E"],
        before: tuple[Written, Written] | tuple[None, None],
    ) -> tuple[Float[Array, "*B N E"], tuple[Written, Written]]:
        own = by_row(self.norms[0], x)
        read, done = self.done(own, own, before[0])
        x = x + read
        read, asked = self.asked(by_row(self.norms[1], seen), by_row(self.norms[2], x), before[1])
        return by_row(lambda x: self.feed(x, self.activation), seen + read), (done, asked)


class Decoder(eqx.Module):
    """From what each agent has heard and what the one before it did, `[*B, N, ...]`, to outputs."""

    token: Linear
    turns: tuple[Turn, ...]
    norm: LayerNorm
    head: Linear

    def __init__(
        self,
        size_in: int,
        size_out: int,
        *,
        blocks: int,
        heads: int,
        head_size: int,
        activation: Activation,
        key: PRNGKeyArray,
    ):
        key_token, key_head, *keys = jax.random.split(key, 2 + blocks)
        width = heads * head_size
        self.token = Linear(size_in, width, 1.0, key=key_token)
        self.turns = tuple(Turn(heads, width, activation, key=k) for k in keys)
        self.norm = LayerNorm(width)
        self.head = Linear(width, size_out, 0.01, key=key_head)

    def __call__(
        self, told: Float[Array, "*B N in"], seen: Float[Array, "*B N E"], before: Memory
    ) -> tuple[Float[Array, "*B N out"], Memory]:
        """Outputs for agents whose predecessors wrote `before`, and the memory after them."""
        x, after = by_row(self.token, told), []
        for k, turn in enumerate(self.turns):
            x, written = turn(x, seen, (None, None) if before is None else before[k])
            after.append(written)
        return by_row(self.head, by_row(self.norm, x)), tuple(after)


class InTurn(Distribution):
    """What agents do one after another, each knowing what those before it did."""

    actor: "InTurnActor"
    seen: Float[Array, "*B N E"]
    timestep: TimeStep

    def given(self, action: Array) -> Distribution:
        """Everyone's distribution where those before it did that, all at once."""
        told = jnp.roll(self._told(action), 1, -2).at[..., 0, :].set(0.0)
        return self._of(self.actor.decoder(told, self.seen, None)[0])

    def sample(self, key: PRNGKeyArray) -> Array:
        return self._decide(
            lambda found, key: found.sample(key), jax.random.split(key, self.seen.shape[-2])
        )

    def mode(self) -> Array:
        return self._decide(lambda found, key: found.mode(), jnp.zeros(self.seen.shape[-2]))

    def log_prob(self, action: Array) -> Float[Array, "*B N"]:
        return self.given(action).log_prob(action)

    def entropy(self) -> Float[Array, "*B N"]:
        """Where those before an agent do what is likeliest."""
        return self.given(self.mode()).entropy()

    def kl(self, other: "InTurn") -> Float[Array, "*B N"]:
        """Where those before an agent do what this one finds likeliest."""
        action = self.mode()
        return self.given(action).kl(other.given(action))

    def _decide(self, choose: Callable[[Distribution, Any], Array], keys: Array) -> Array:
        """Goes through the agents, each told what the one before it chose."""
        decoder, axis = self.actor.decoder, self.seen.ndim - 2

        def agent(loop, inputs):
            (told, memory), (i, seen, key) = loop, inputs
            out, memory = decoder(told, seen[..., None, :], memory)
            out = jnp.broadcast_to(out, (*self.seen.shape[:-1], out.shape[-1]))
            action = choose(self._of(out), key)
            told = jax.lax.dynamic_slice_in_dim(self._told(action), i, 1, axis)
            return (told, memory), jax.lax.dynamic_index_in_dim(action, i, axis, keepdims=False)

        first = jnp.zeros((*self.seen.shape[:axis], 1, decoder.token.weight.shape[0]))
        memory = jax.eval_shape(decoder, first, self.seen[..., :1, :], None)[1]
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), memory)
        inputs = (jnp.arange(len(keys)), jnp.moveaxis(self.seen, axis, 0), keys)
        return jnp.moveaxis(jax.lax.scan(agent, (first, nothing), inputs)[1], 0, axis)

    def _told(self, action: Array) -> Float[Array, "*B N in"]:
        """What an agent tells the next: that it did something, what, and who it is; or nothing."""
        did = self.timestep.active[..., None].astype(jnp.float32)
        action = self.actor.space.numbers(action)
        return did * self.actor.network.ids.append(jnp.concatenate([did, action], -1))

    def _of(self, out: Float[Array, "*B N A"]) -> Distribution:
        return Actor.distribution(self.actor, out, self.timestep)


class InTurnActor(Actor):
    """A policy whose network hears all agents, and whose agents decide one after another."""

    decoder: Decoder

    @property
    def centralised(self) -> bool:
        return True

    def distribution(self, out: Float[Array, "*B N E"], timestep: TimeStep) -> InTurn:
        return InTurn(self, out, timestep)


class Sable(PPO):
    """PPO of a team that decides one after another. All share parameters, whatever their roles."""

    critic: Literal["retention", "local", "global", "both"] = eqx.field(  # pyright: ignore[reportIncompatibleVariableOverride]
        static=True, default="retention"
    )
    """What the critic sees: retention (all that agents see, as the policy), or as in `mappo`."""
    blocks: Count = eqx.field(static=True, default=1)
    """How many blocks of retention the encoder has, and the decoder."""
    heads: Count = eqx.field(static=True, default=4)
    """How many heads read."""
    head_size: Count = eqx.field(static=True, default=8)
    """Numbers that a head reads; an embedding has `heads` times as many."""

    def check(self, spec: EnvSpec) -> None:
        super().check(spec)
        teams = len(agents_of_team(spec))
        require(
            teams == 1,
            f"sable's agents tell each other what they do and {spec.name} has {teams} teams: use "
            "mappo",
        )
        alike = self.sharing == "auto" or Groups.of(spec, self.sharing).count == 1
        require(
            alike,
            f"sharing is {self.sharing}, and sable's agents are one network: expected shared",
        )

    def groups(self, spec: EnvSpec) -> Groups:
        return Groups.of(spec, "shared")

    def make_actor(self, spec: EnvSpec, key: PRNGKeyArray) -> InTurnActor:
        key_encoder, key_decoder = jax.random.split(key)
        encoder = self._encoder(spec, self.heads * self.head_size, key_encoder)
        plain = Actor.of(encoder, spec, self.init_log_std)
        size = spec.action.size
        decoder = Decoder(
            1 + size + encoder.ids.count,
            size * (2 if self.state_dependent_std else 1),
            activation=self.activation,
            key=key_decoder,
            **self._sizes,
        )
        return InTurnActor(encoder, plain.log_std, spec.action, decoder)

    def make_critic(self, spec: EnvSpec, key: PRNGKeyArray) -> ValueCritic:
        if self.critic != "retention":
            return super().make_critic(spec, key)
        return ValueCritic(self._encoder(spec, 1, key), "local", pixels_of(spec))

    @property
    def _sizes(self) -> dict[str, int]:
        return {"blocks": self.blocks, "heads": self.heads, "head_size": self.head_size}

    def _encoder(self, spec: EnvSpec, size_out: int, key: PRNGKeyArray) -> RetentionNetwork:
        return RetentionNetwork(
            spec.obs_size,
            size_out,
            self.groups(spec),
            images=spec.images,
            key=key,
            **self._sizes,
            **self.architecture,
        )


def sable(**overrides: Any) -> Sable:
    """Sable. `overrides` are fields of `Sable`.

    When to use it:
        A team that may talk as it acts, and must break ties or share out what there is to do: an
        agent knows what those before it chose.

    What breaks it:
        Agents that must act alone: they need messages from all others, in order, at every step.
        Little time: an update costs many times that of `mappo`, and acting grows with the square of
        the number of agents where they are hundreds. Several teams are refused, and so is an export
        of the policy.
    """
    return Sable(**overrides)
