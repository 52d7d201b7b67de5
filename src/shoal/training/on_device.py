"""Collect and learn inside one compiled program: the default learner."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.algorithm import (
    Acting,
    Algorithm,
    AlgState,
    Carry,
    Metrics,
    Policy,
    Trajectory,
    Transition,
    where_done,
)
from shoal.core.env import Env, EnvSpec, EnvState, TimeStep, settle, to_act_on
from shoal.core.limits import Count, check_fields
from shoal.core.parallel import any_member, num_shards, pmean, shard_index
from shoal.core.teams import mean_returns, return_names
from shoal.training.fit import check_action, check_same


class Episodes(eqx.Module):
    """Running sums of the episode that each environment is in."""

    returns: Float[Array, "B N"]
    length: Int[Array, "B"]


class Loop(eqx.Module):
    """B environments in the midst of their episodes, and what acts in them."""

    env: EnvState
    timestep: TimeStep
    carry: Carry
    episodes: Episodes


class LearnerState(eqx.Module):
    """Everything that the next update depends on."""

    algorithm: AlgState
    loop: Loop
    key: PRNGKeyArray
    updates: Int[Array, ""]


class OnDevice(eqx.Module):
    """Steps `num_envs` environments `unroll` times, then learns; `update` does it once.

    Inside `jax.shard_map` each device holds `num_envs / devices` of the environments.
    `total_updates` is where schedules end; without one they stay where they start.
    """

    algorithm: Algorithm
    env: Env
    num_envs: Count = eqx.field(static=True)
    unroll: Count = eqx.field(static=True)
    total_updates: Float[Array, ""] | float = math.inf

    def __check_init__(self):
        check_fields(self)

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.unroll

    def _local_envs(self) -> int:
        return self.num_envs // num_shards()

    def init(self, key: PRNGKeyArray) -> LearnerState:
        """A fresh state. Parameters depend on `key` alone, environments on the device as well."""
        key_algorithm, key_reset, key_run = jax.random.split(key, 3)
        key_reset, key_run = (jax.random.fold_in(k, shard_index()) for k in (key_reset, key_run))
        algorithm = self.algorithm.init(self.env.spec, key_algorithm)
        loop = self.start(self.algorithm.acting(algorithm), key_reset)
        return LearnerState(algorithm, loop, key_run, jnp.int32(0))

    def start(self, acting: Acting, key: PRNGKeyArray) -> Loop:
        """Resets all environments."""
        n = self._local_envs()
        env, timestep = jax.vmap(self.env.reset)(jax.random.split(key, n))
        return Loop(
            env=env,
            timestep=to_act_on(timestep),
            carry=batch_carry(self.algorithm.initial_carry(acting), n),
            episodes=Episodes(jnp.zeros((n, self.env.spec.num_agents)), jnp.zeros(n, jnp.int32)),
        )

    def update(self, state: LearnerState) -> tuple[LearnerState, Metrics]:
        """Collects one trajectory and learns from it."""
        key, key_collect, key_learn = jax.random.split(state.key, 3)
        progress = jnp.minimum(state.updates / self.total_updates, 1.0)
        acting = self.algorithm.acting(state.algorithm)
        loop, trajectory, finished = self.collect(acting, state.loop, progress, key_collect)
        algorithm, metrics = self.algorithm.learn(state.algorithm, trajectory, key_learn)
        check_same(state.algorithm, algorithm, f"{type(self.algorithm).__name__}.learn")
        metrics = pmean(metrics | summarise(finished, self.env.spec))
        return LearnerState(algorithm, loop, key, state.updates + 1), metrics

    def collect(
        self, acting: Acting, loop: Loop, progress: Float[Array, ""], key: PRNGKeyArray
    ) -> tuple[Loop, Trajectory, tuple[Array, list[Array], Array]]:
        """Steps all environments `unroll` times. Also returns the environments as they are then,
        and of each step which episodes ended, with what returns and length."""
        n = self._local_envs()
        fresh = batch_carry(self.algorithm.initial_carry(acting), n)
        name = type(self.algorithm).__name__

        def step(loop: Loop, keys):
            key_act, key_step, key_reset = keys
            action, carry, extras = self.algorithm.act(acting, loop.timestep, loop.carry, key_act)
            check_action(action, self.env.spec, n, f"{name}.act")
            check_same(loop.carry, carry, f"{name}.act", "carry")
            env, after = jax.vmap(self.env.step)(jax.random.split(key_step, n), loop.env, action)
            successor = settle(loop.timestep, after)
            episodes, finished = count_episodes(loop.episodes, successor, self.env.spec)
            env, timestep = auto_reset(self.env, key_reset, env, successor)
            transition = Transition(loop.timestep, action, extras, successor)
            carry = where_done(successor.done, fresh, carry)
            return Loop(env, to_act_on(timestep), carry, episodes), (transition, finished)

        # All at once: splitting a key in each step would cost more than a small batch's physics.
        keys = tuple(jax.random.split(key, (3, self.unroll)))
        end, (transitions, finished) = jax.lax.scan(step, loop, keys)
        trajectory = Trajectory(transitions, loop.carry, end.timestep, end.carry, progress)
        # Data, also where a learner is differentiated.
        return end, jax.lax.stop_gradient(trajectory), finished

    def policy(self, state: LearnerState) -> Policy:
        return self.algorithm.policy(state.algorithm)


def batch_carry(carry: Carry, n: int) -> Carry:
    """The same carry for each of `n` environments."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), carry)


def auto_reset(
    env: Env, key: PRNGKeyArray, state: EnvState, successor: TimeStep
) -> tuple[EnvState, TimeStep]:
    """Starts new episodes where one ended. What was true before stays in `successor`.

    Resets are computed only when some environment of the batch needs one.
    """
    done = successor.done

    def reset(_):
        fresh_state, fresh = jax.vmap(env.reset)(jax.random.split(key, done.shape[0]))
        return where_done(done, (fresh_state, fresh), (state, successor))

    return jax.lax.cond(any_member(done.any()), reset, lambda _: (state, successor), None)


def count_episodes(
    episodes: Episodes, successor: TimeStep, spec: EnvSpec
) -> tuple[Episodes, tuple[Bool[Array, "B"], list[Float[Array, "B"]], Int[Array, "B"]]]:
    """Adds a step; also returns each environment's (ended, returns over agents and of each of
    several teams, length)."""
    returns, length = episodes.returns + successor.reward, episodes.length + 1
    done = successor.done
    kept = Episodes(jnp.where(done[:, None], 0.0, returns), jnp.where(done, 0, length))
    return kept, (done, mean_returns(returns, spec), length)


def sum_names(spec: EnvSpec) -> list[str]:
    """What the sums of `mean_returns` over episodes are called in a learner's metrics."""
    return [name.replace("return", "return_sum", 1) for name in return_names(spec)]


def summarise(finished: tuple[Array, list[Array], Array], spec: EnvSpec) -> Metrics:
    """Sums over the episodes that ended, so that means can be formed later over any stretch:
    `return_sum`, and `return_sum/<team>` where teams are rivals."""
    done, returns, length = finished
    return {
        "episodes": done.sum().astype(jnp.float32),
        **{name: jnp.where(done, x, 0.0).sum() for name, x in zip(sum_names(spec), returns)},
        "episode_length_sum": jnp.where(done, length, 0).sum().astype(jnp.float32),
    }
