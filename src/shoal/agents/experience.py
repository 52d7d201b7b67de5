"""What a replay keeps of a step, and what a gradient step reads of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shoal.agents.scales import Scales
from shoal.core.algorithm import Carry, Trajectory
from shoal.core.env import EnvSpec, cut_now
from shoal.core.sequence import starts_of
from shoal.core.spaces import legal_actions
from shoal.nn.critics import StateAction, everyone, global_state, pixels_of, state_inputs


class Experience(eqx.Module):
    """Steps, as they were before any scale; of sequences the leading axes are [L, M].

    `next_*` are of the true successor, before any reset. States are kept only for those who read
    them, and carries only by recurrent networks.
    """

    obs: Float[Array, "*L N D"]
    next_obs: Float[Array, "*L N D"]
    action: Array  # [*L N ...]
    reward: Float[Array, "*L N"]
    active: Bool[Array, "*L N"]
    next_active: Bool[Array, "*L N"]
    legal: Bool[Array, "*L N A"]
    next_legal: Bool[Array, "*L N A"]
    cut: Bool[Array, "*L N"]  # by this step: the successor is its own last observation
    gone: Bool[Array, "*L N"]  # has no successor: terminated, or cut before
    done: Bool[Array, "*L"]
    state: Float[Array, "*L S"] | None
    next_state: Float[Array, "*L S"] | None
    carry: Carry  # with which the step was acted
    importance: Float[Array, "M"] | None = None  # of sequences that were drawn by priority

    @staticmethod
    def empty(spec: EnvSpec, carry: Carry, reads_state: bool) -> "Experience":
        """One step of zeros, for its shapes and types."""
        n, space = spec.num_agents, spec.action
        obs, each = jnp.zeros((n, spec.obs_size)), jnp.zeros(n, bool)
        state = jnp.zeros(state_inputs(spec)[0]) if reads_state else None
        return Experience(
            obs=obs,
            next_obs=obs,
            action=jnp.zeros((n, *space.shape), space.dtype),
            reward=jnp.zeros(n),
            active=each,
            next_active=each,
            legal=jnp.zeros((n, space.size), bool),
            next_legal=jnp.zeros((n, space.size), bool),
            cut=each,
            gone=each,
            done=jnp.zeros((), bool),
            state=state,
            next_state=state,
            carry=carry,
        )

    @staticmethod
    def of(trajectory: Trajectory, spec: EnvSpec, reads_state: bool) -> "Experience":
        """What is kept of a rollout, `[T, B, ...]`."""
        space, pixels = spec.action, pixels_of(spec)
        steps = trajectory.transitions
        now, then = steps.timestep, steps.successor
        cut = cut_now(now, then)
        return Experience(
            obs=now.obs,
            next_obs=then.obs,
            action=steps.action,
            reward=then.reward,
            active=now.active,
            next_active=then.active,
            legal=legal_actions(space, now.action_mask, now.reward.shape),
            next_legal=legal_actions(space, then.action_mask, then.reward.shape),
            cut=cut,
            gone=then.ended & ~cut,
            done=then.done,
            state=global_state(now, pixels) if reads_state else None,
            next_state=global_state(then, pixels) if reads_state else None,
            carry=steps.extras,
        )

    def under(self, scales: Scales | None, pixels: int) -> "Experience":
        """What was stored as it was, under the scale of today; so many numbers of an observation
        are images."""
        if scales is None:
            return self
        obs = jnp.where(self.active[..., None], scales.see(self.obs), 0.0)
        seen = (self.next_active | self.cut)[..., None]
        next_obs = jnp.where(seen, scales.see(self.next_obs), 0.0)
        batch = eqx.tree_at(lambda b: (b.obs, b.next_obs), self, (obs, next_obs))
        if batch.state is None or batch.next_state is None:
            return batch
        if scales.state is None:  # the state is all observations
            states = everyone(obs, pixels), everyone(next_obs, pixels)
        else:
            states = scales.see_state(batch.state), scales.see_state(batch.next_state)
        return eqx.tree_at(lambda b: (b.state, b.next_state), batch, states)

    @property
    def present(self) -> Bool[Array, "*L N"]:
        """Who has a successor whose value is known: it acts next, or was cut there."""
        return (self.next_active | self.cut) & ~self.gone

    def now(self, action: Array) -> StateAction:
        """These steps as critics read them, with agents that do that."""
        return StateAction(self.obs, self.state, action, self.active)

    def then(self, action: Array) -> StateAction:
        """Their successors."""
        return StateAction(self.next_obs, self.next_state, action, self.present)

    @property
    def starts(self) -> Bool[Array, "L M"]:
        """Where an episode begins within a sequence."""
        return starts_of(self.done)

    @property
    def first_carry(self) -> Carry:
        """The recurrent state with which the first step of each sequence was acted."""
        return jax.tree.map(lambda x: x[0], self.carry)
