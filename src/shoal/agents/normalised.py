"""An algorithm that sees observations at mean 0 and deviation 1, and a policy that keeps the scale.

    o' = clip((o - mean) / deviation, -10, 10)

with mean and deviation of all that was seen so far, role by role (sums of squares joined as in Chan
et al. 1979). It matters most in locomotion (Andrychowicz et al. 2021, arXiv:2006.05990). A policy
that was trained so and played without the scale is worth nothing: here it is part of the policy.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.algorithm import (
    Algorithm,
    AlgState,
    Carry,
    Extras,
    Metrics,
    Policy,
    Trajectory,
)
from shoal.core.distributions import Distribution
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.parallel import pmean
from shoal.nn.sharing import Groups

LIMIT = 10.0  # deviations from the mean


class Moments(eqx.Module):
    """Of R kinds of vectors: how many there were, their mean, and the sum of squares around it."""

    count: Float[Array, "R"]
    mean: Float[Array, "R D"]
    squares: Float[Array, "R D"]
    kinds: tuple[int, ...] = eqx.field(static=True)  # of each of N vectors that are seen together

    @staticmethod
    def of(kinds: tuple[int, ...], size: int) -> "Moments":
        """Nothing seen yet."""
        shape = (max(kinds) + 1, size)
        return Moments(jnp.zeros(shape[0]), jnp.zeros(shape), jnp.zeros(shape), kinds)

    def normalise(self, x: Float[Array, "*B N D"]) -> Float[Array, "*B N D"]:
        """At mean 0, deviation 1; the same as it was where nothing has been seen."""
        kinds = jnp.array(self.kinds)
        count = self.count[:, None]
        variance = self.squares / jnp.maximum(count, 1.0)
        scale = jnp.where(count > 1, jax.lax.rsqrt(variance + 1e-6), 1.0)
        return jnp.clip((x - self.mean[kinds]) * scale[kinds], -LIMIT, LIMIT)

    def update(self, x: Float[Array, "T B N D"], weight: Float[Array, "T B N"]) -> "Moments":
        """Also of `x`, as far as its weight is 1."""
        kinds = jnp.array(self.kinds)
        of_kind = weight[..., None] * jax.nn.one_hot(kinds, len(self.count))  # [T, B, N, R]
        added = jnp.maximum(pmean(of_kind.sum((0, 1, 2))), 1e-8)
        mean = pmean(jnp.einsum("tbnr,tbnd->rd", of_kind, x)) / added[:, None]
        squares = pmean(jnp.einsum("tbnr,tbnd->rd", of_kind, (x - mean[kinds]) ** 2))
        count, step = self.count + added, mean - self.mean
        share = (added / count)[:, None]
        joined = Moments(
            count,
            self.mean + step * share,
            self.squares + squares + step**2 * self.count[:, None] * share,
            self.kinds,
        )
        finite = jnp.isfinite(joined.squares).all()
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), joined, self)


class Scales(eqx.Module):
    """Of what agents see, by role, and of the global state where a world has one."""

    obs: Moments
    state: Moments | None

    def apply(self, timestep: TimeStep) -> TimeStep:
        """The same time step at mean 0, deviation 1."""
        seen = self.obs.normalise(timestep.obs)
        if self.state is None or timestep.global_state is None:
            return eqx.tree_at(lambda t: t.obs, timestep, seen)
        state = self.state.normalise(timestep.global_state[..., None, :])[..., 0, :]
        return eqx.tree_at(lambda t: (t.obs, t.global_state), timestep, (seen, state))

    def update(self, timestep: TimeStep) -> "Scales":
        """Also of the time steps `[T, B, ...]`; agents that are not due to act do not count."""
        obs = self.obs.update(timestep.obs, timestep.active.astype(jnp.float32))
        if self.state is None or timestep.global_state is None:
            return Scales(obs, self.state)
        state = timestep.global_state[:, :, None]
        return Scales(obs, self.state.update(state, jnp.ones(state.shape[:3])))


class NormalisedPolicy(Policy):
    """A policy behind the scale that it was trained with."""

    inner: Policy
    scale: Moments

    def initial_carry(self) -> Carry:
        return self.inner.initial_carry()

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Distribution, Carry]:
        seen = self.scale.normalise(timestep.obs)
        return self.inner(eqx.tree_at(lambda t: t.obs, timestep, seen), carry, key)


class NormalisedState(eqx.Module):
    """The algorithm's own state, and the scales."""

    inner: AlgState
    scales: Scales


class Normalised(Algorithm):
    """Any algorithm, behind scales that it neither knows nor changes.

    A trajectory is learned from as it was acted on; what it holds moves the scales afterwards.
    """

    inner: Algorithm

    def check(self, spec: EnvSpec) -> None:
        self.inner.check(spec)

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> NormalisedState:
        kinds = Groups.of(spec, "role").of_agent
        obs = Moments.of(kinds, spec.obs_size)
        state = Moments.of((0,), spec.state_size) if spec.state_size else None
        return NormalisedState(self.inner.init(spec, key), Scales(obs, state))

    def initial_carry(self, state: NormalisedState) -> Carry:
        return self.inner.initial_carry(state.inner)

    def policy(self, state: NormalisedState) -> NormalisedPolicy:
        return NormalisedPolicy(self.inner.policy(state.inner), state.scales.obs)

    def acting(self, state):
        return state

    def act(
        self, state: NormalisedState, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        return self.inner.act(state.inner, state.scales.apply(timestep), carry, key)

    def learn(
        self, state: NormalisedState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[NormalisedState, Metrics]:
        apply: Any = state.scales.apply
        steps = trajectory.transitions
        seen = eqx.tree_at(
            lambda t: (t.transitions.timestep, t.transitions.successor, t.last),
            trajectory,
            (apply(steps.timestep), apply(steps.successor), apply(trajectory.last)),
        )
        inner, metrics = self.inner.learn(state.inner, seen, key)
        return NormalisedState(inner, state.scales.update(steps.timestep)), metrics
