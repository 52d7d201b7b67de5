"""Observations at mean 0 and deviation 1, and policies that keep the scale.

    o' = clip((o - mean) / deviation, -10, 10)

with mean and deviation of all that was seen so far, role by role. It matters most in locomotion
(Andrychowicz et al. 2021, arXiv:2006.05990). A policy that was trained so and played without the
scale is worth nothing: here it is part of the policy.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import Carry, Policy
from shoal.core.distributions import Distribution
from shoal.core.env import EnvSpec, TimeStep
from shoal.core.running_statistics import Moments, RunningStatistics
from shoal.nn.sharing import Groups

LIMIT = 10.0  # deviations from the mean


class Scales(eqx.Module):
    """The statistics of what agents see, by role, and of the global state where there is one."""

    obs: RunningStatistics
    state: RunningStatistics | None

    @staticmethod
    def of(spec: EnvSpec) -> "Scales":
        """Nothing seen yet: nothing is scaled."""
        roles = Groups.of(spec, "role").of_agent
        state = RunningStatistics.empty((0,), spec.state_size) if spec.state_size else None
        return Scales(RunningStatistics.empty(roles, spec.obs_size), state)

    def see(self, obs: Float[Array, "*B N D"]) -> Float[Array, "*B N D"]:
        """Observations at mean 0, deviation 1."""
        return jnp.clip(self.obs.normalise(obs), -LIMIT, LIMIT)

    def see_state(self, state: Float[Array, "*B S"]) -> Float[Array, "*B S"]:
        """A global state at mean 0, deviation 1."""
        if self.state is None:
            return state
        scaled = self.state.normalise(state[..., None, :])[..., 0, :]
        return jnp.clip(scaled, -LIMIT, LIMIT)

    def apply(self, timestep: TimeStep, visible: Bool[Array, "*B N"] | None = None) -> TimeStep:
        """The same time step as networks see it. Who is not `visible`, by default who is not
        active, still sees zeros."""
        visible = timestep.active if visible is None else visible
        obs = jnp.where(visible[..., None], self.see(timestep.obs), 0.0)
        timestep = eqx.tree_at(lambda t: t.obs, timestep, obs)
        if timestep.global_state is None:
            return timestep
        state = self.see_state(timestep.global_state)
        return eqx.tree_at(lambda t: t.global_state, timestep, state)

    def update(self, timestep: TimeStep) -> "Scales":
        """Also of the time steps `[T, B, ...]`; agents that are not due to act do not count."""
        return self.join(self.moments(timestep))

    def moments(self, timestep: TimeStep) -> tuple[Moments, Moments | None]:
        """What is to be joined of the time steps: of observations and of the global state."""
        obs = self.obs.moments(timestep.obs, timestep.active.astype(jnp.float32))
        if self.state is None or timestep.global_state is None:
            return obs, None
        state = timestep.global_state[:, :, None]
        return obs, self.state.moments(state, jnp.ones(state.shape[:3]))

    def join(self, seen: tuple[Moments, Moments | None]) -> "Scales":
        """Also of what was seen elsewhere."""
        obs, state = seen
        return Scales(
            self.obs.join(obs),
            self.state if self.state is None or state is None else self.state.join(state),
        )


class ScaledPolicy(Policy):
    """A policy behind the scale that it was trained with."""

    inner: Policy
    scales: Scales

    @property
    def centralised(self) -> bool:
        return self.inner.centralised

    def initial_carry(self) -> Carry:
        return self.inner.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Distribution, Carry]:
        return self.inner(self.scales.apply(timestep), carry, key)
