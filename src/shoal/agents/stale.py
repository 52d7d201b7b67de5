"""Acting some updates behind: what a distant actor does, without one.

    Stale(impala(), lag=4)

On one device the lag is exact, so that what it costs can be measured, and what V-trace saves.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from shoal.core.algorithm import (
    Acting,
    Algorithm,
    AlgState,
    Carry,
    Extras,
    Metrics,
    Policy,
    Trajectory,
)
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.limits import Natural


class StaleState(eqx.Module):
    """What learns, and what acted before each of the last updates, the newest first."""

    learned: AlgState
    sent: Any  # of `acting`, leaves `[lag + 1, ...]`


class Stale(Algorithm):
    """Learns as `algorithm` does, and acts as it did `lag` updates ago."""

    algorithm: Algorithm
    """What learns."""
    lag: Natural = eqx.field(static=True, default=4)
    """Updates that what acts is behind."""

    def check(self, spec: EnvSpec) -> None:
        self.algorithm.check(spec)

    def check_devices(self, num_envs: int, devices: int) -> None:
        self.algorithm.check_devices(num_envs, devices)

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> StaleState:
        state = self.algorithm.init(spec, key)
        sent = [self.algorithm.acting(state)] * (self.lag + 1)
        return StaleState(state, jax.tree.map(lambda *xs: jnp.stack(xs), *sent))

    def acting(self, state: StaleState) -> Acting:
        return jax.tree.map(lambda x: x[-1], state.sent)

    def initial_carry(self, acting: Acting) -> Carry:
        return self.algorithm.initial_carry(acting)

    def act(
        self, acting: Acting, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        return self.algorithm.act(acting, timestep, carry, key)

    def learn(
        self, state: StaleState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[StaleState, Metrics]:
        learned, metrics = self.algorithm.learn(state.learned, trajectory, key)
        newest = self.algorithm.acting(learned)
        sent = jax.tree.map(lambda x, new: jnp.concatenate([new[None], x[:-1]]), state.sent, newest)
        return StaleState(learned, sent), metrics

    def policy(self, state: StaleState) -> Policy:
        return self.algorithm.policy(state.learned)
