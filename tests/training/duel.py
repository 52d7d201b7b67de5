"""A learner that owns two algorithms: rival teams, each of which learns from its own part."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from shoal import registry
from shoal.agents.policy_gradient.ppo import PPO
from shoal.core.algorithm import Algorithm, Policy, Trajectory
from shoal.core.distributions import Categorical
from shoal.core.env import Env, EnvSpec
from shoal.core.parallel import pmean
from shoal.training.on_device import Loop, OnDevice, summarise


class Duel(eqx.Module):
    """What each of two teams learns with."""

    first: PPO
    second: PPO

    def check(self, spec: EnvSpec) -> None:
        assert len(set(spec.teams)) == 2

    def check_devices(self, num_envs: int, devices: int) -> None:
        self.first.check_devices(num_envs, devices)
        self.second.check_devices(num_envs, devices)


SMALL = dict(hidden=(8,), minibatches=2, epochs=1, recurrent=4)


def duel(**fields: Any) -> Duel:
    return Duel(**{name: PPO(**SMALL) for name in ("first", "second")} | fields)


ENTRY = registry.Entry("duel:duel", "rivals that learn apart", learner="duel:DuelLearner")


class Both(Algorithm):
    """Acts for two teams; it does not learn."""

    sides: Duel
    teams: tuple[int, ...] = eqx.field(static=True)

    def init(self, spec, key):
        raise NotImplementedError

    def learn(self, state, trajectory, key):
        raise NotImplementedError

    def policy(self, state):
        raise NotImplementedError

    def acting(self, state):
        return self.sides.first.acting(state[0]), self.sides.second.acting(state[1])

    def initial_carry(self, acting):
        return self.sides.first.initial_carry(acting[0]), self.sides.second.initial_carry(acting[1])

    def act(self, acting, timestep, carry, key):
        keys = jax.random.split(key)
        a, carry_a, extras_a = self.sides.first.act(acting[0], timestep, carry[0], keys[0])
        b, carry_b, extras_b = self.sides.second.act(acting[1], timestep, carry[1], keys[1])
        mine = jnp.array(self.teams) == self.teams[0]
        return jnp.where(mine, a, b), (carry_a, carry_b), (extras_a, extras_b)


class DuelPolicy(Policy):
    """The agents of the first team act by one policy, the others by another."""

    policies: tuple[Policy, Policy]
    teams: tuple[int, ...] = eqx.field(static=True)

    def initial_carry(self):
        return tuple(policy.initial_carry() for policy in self.policies)

    def __call__(self, timestep, carry, key):
        (a, carry_a), (b, carry_b) = (p(timestep, c, key) for p, c in zip(self.policies, carry))
        mine = (jnp.array(self.teams) == self.teams[0])[:, None]
        return Categorical(jnp.where(mine, a.log_probs, b.log_probs)), (carry_a, carry_b)


class DuelState(eqx.Module):
    sides: tuple[Any, Any]
    loop: Loop
    key: Array
    updates: Int[Array, ""]


class DuelLearner(eqx.Module):
    """Both teams act in the same episodes; each learns as if the other were not due to act."""

    algorithm: Duel
    env: Env
    num_envs: int = eqx.field(static=True)
    unroll: int = eqx.field(static=True)
    total_updates: Float[Array, ""] | float

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.unroll

    @property
    def _both(self) -> OnDevice:
        both = Both(self.algorithm, self.env.spec.teams)
        return OnDevice(both, self.env, self.num_envs, self.unroll)

    def init(self, key):
        key, *keys, key_start = jax.random.split(key, 4)
        sides = (self.algorithm.first, self.algorithm.second)
        states = tuple(side.init(self.env.spec, k) for side, k in zip(sides, keys))
        loop = self._both.start(self._both.algorithm.acting(states), key_start)
        return DuelState(states, loop, key, jnp.int32(0))

    def update(self, state):
        key, key_collect, *keys = jax.random.split(state.key, 4)
        progress = jnp.minimum(state.updates / self.total_updates, 1.0)
        acting = self._both.algorithm.acting(state.sides)
        loop, trajectory, ended = self._both.collect(acting, state.loop, progress, key_collect)
        states, metrics = [], {}
        for i, name in enumerate(("first", "second")):
            side, part = getattr(self.algorithm, name), self._part(trajectory, i)
            learned, said = side.learn(state.sides[i], part, keys[i])
            states.append(learned)
            metrics |= {f"{name}_{k}": v for k, v in said.items()}
        metrics = pmean(metrics | summarise(ended, self.env.spec))
        return DuelState(tuple(states), loop, key, state.updates + 1), metrics

    def _part(self, trajectory: Trajectory, i: int) -> Trajectory:
        steps, teams = trajectory.transitions, jnp.array(self.env.spec.teams)
        mine = (teams == self.env.spec.teams[0]) == (i == 0)
        timestep = dataclasses.replace(steps.timestep, active=steps.timestep.active & mine)
        steps = dataclasses.replace(steps, timestep=timestep, extras=steps.extras[i])
        return Trajectory(
            steps,
            trajectory.carry[i],
            trajectory.last,
            trajectory.last_carry[i],
            trajectory.progress,
        )

    def policy(self, state):
        sides = (self.algorithm.first, self.algorithm.second)
        policies = tuple(side.policy(s) for side, s in zip(sides, state.sides))
        return DuelPolicy(policies, self.env.spec.teams)
