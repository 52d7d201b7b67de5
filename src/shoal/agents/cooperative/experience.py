"""What value-based learners keep of each step in their replay."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shoal.agents.cooperative.q_policy import legal_actions
from shoal.core.algorithm import Trajectory
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.spaces import ActionSpace


class Experience(eqx.Module):
    """A step, or with leading axes many. `next_*` are of the true successor, before any reset;
    states are kept only for mixers that read them."""

    obs: Float[Array, "*B N D"]
    next_obs: Float[Array, "*B N D"]
    action: Int[Array, "*B N"]
    reward: Float[Array, "*B N"]
    active: Bool[Array, "*B N"]
    next_active: Bool[Array, "*B N"]
    next_legal: Bool[Array, "*B N A"]
    terminated: Bool[Array, "*B N"]
    ends: Bool[Array, "*B"]  # whether the next record is of another episode or another chunk
    state: Float[Array, "*B S"] | None
    next_state: Float[Array, "*B S"] | None

    @property
    def starts(self) -> Bool[Array, "*B"]:
        """Where an episode begins, in records whose first axis is time."""
        return jnp.concatenate([jnp.ones_like(self.ends[:1]), self.ends[:-1]])


def empty_record(spec: EnvSpec, keep_state: bool) -> Experience:
    """The shapes and types of one step."""
    n, actions = spec.num_agents, spec.action.size
    obs, each = jnp.zeros((n, spec.obs_size)), jnp.zeros(n, bool)
    state = jnp.zeros(spec.state_size or n * spec.obs_size) if keep_state else None
    return Experience(
        obs=obs,
        next_obs=obs,
        action=jnp.zeros(n, jnp.int32),
        reward=jnp.zeros(n),
        active=each,
        next_active=each,
        next_legal=jnp.zeros((n, actions), bool),
        terminated=each,
        ends=jnp.zeros((), bool),
        state=state,
        next_state=state,
    )


def experience_of(trajectory: Trajectory, space: ActionSpace, keep_state: bool) -> Experience:
    """What is kept of a trajectory, `[T, B, ...]`.

    The last step counts as an end: what is stored next may have been collected elsewhere.
    """
    steps = trajectory.transitions
    now, then = steps.timestep, steps.successor
    return Experience(
        obs=now.obs,
        next_obs=then.obs,
        action=steps.action,
        reward=then.reward,
        active=now.active,
        next_active=then.active,
        next_legal=legal_actions(space, then.action_mask, then.obs),
        terminated=then.terminated,
        ends=then.done.at[-1].set(True),
        state=_global_state(now) if keep_state else None,
        next_state=_global_state(then) if keep_state else None,
    )


def _global_state(timestep: TimeStep) -> Float[Array, "*B S"]:
    """The global state, or all observations where the environment has none."""
    if timestep.global_state is not None:
        return timestep.global_state
    return timestep.obs.reshape(*timestep.obs.shape[:-2], -1)
