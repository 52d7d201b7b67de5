"""Collect with worlds that processes of the host step, learn in a compiled program.

The same `act` and `learn` as in `on_device`; only the loop between them is Python. Such worlds
cannot be saved: after a resume their episodes start anew, with seeds that the state decides.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

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
from shoal.core.env import EnvSpec, TimeStep, paid, settle, to_act_on
from shoal.core.teams import mean_returns
from shoal.envs.host.env import HostStep
from shoal.envs.host.shared import fields
from shoal.envs.host.steps import acting_key, draw_seeds, seeds_of, timestep_of
from shoal.envs.host.vector import HostVector
from shoal.envs.host.world import HostWorld
from shoal.training.fit import check_action, check_same
from shoal.training.on_device import batch_carry, sum_names
from shoal.training.program import policy_of, structure_of, with_axis


class HostState(eqx.Module):
    """What the next update depends on and a checkpoint can keep."""

    algorithm: AlgState
    key: PRNGKeyArray
    updates: Int[Array, ""]


class Steps(NamedTuple):
    """A trajectory in the host's memory: `record` holds (shown, action, extras, successor), each
    leaf `[T, B, ...]`."""

    record: Any
    carry: Carry
    last: HostStep
    last_carry: Carry
    progress: np.float32


class Loop:
    """Where the environments are: outside of JAX, and gone with the process."""

    def __init__(self, vector: HostVector, spec: EnvSpec, key: PRNGKeyArray, carry: Carry):
        self.vector, self.spec = vector, spec
        self.shown = vector.reset(seeds_of(key, vector.num_envs))
        self.carry = carry
        self.done = np.ones(vector.num_envs, bool)  # carries of these are fresh in the next step
        self.returns = np.zeros(self.shown.reward.shape)
        self.length = np.zeros(vector.num_envs, int)

    def step(self, action: np.ndarray, totals: dict[str, float]) -> HostStep:
        """One step of all environments; returns the true successors, and counts episodes."""
        before = self.shown
        successor, self.shown = self.vector.step(action)
        self.done = done = successor.done
        self.returns += paid(before, successor)
        self.length += 1
        if done.any():
            totals["episodes"] += done.sum()
            returns = mean_returns(self.returns[done], self.spec)
            for name, ended in zip(sum_names(self.spec), returns):
                totals[name] += ended.sum()
            totals["episode_length_sum"] += self.length[done].sum()
            self.returns[done], self.length[done] = 0.0, 0
        return successor


class OnHost:
    """Steps `num_envs` environments `unroll` times, then learns; `update` does it once.

    `total_updates` is where schedules end. `report` is told of workers that were replaced.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        world: HostWorld,
        num_envs: int,
        unroll: int,
        total_updates: float = math.inf,
        report: Callable[[str], None] | None = None,
    ):
        self.algorithm = algorithm
        self.world, self.num_envs, self.unroll = world, num_envs, unroll
        self.total_updates, self.report = total_updates, report
        self._counts = ("episodes", *sum_names(world.spec), "episode_length_sum")
        self._arrays, self._static = eqx.partition(algorithm, eqx.is_array)
        self._loop: Loop | None = None
        self._init, self._next = jax.jit(self._make), jax.jit(_next)
        self._act, self._acting = jax.jit(self._choose), jax.jit(self._acting_of)
        # In place: a replay is most of a state, and an update changes little of it.
        self._learn = jax.jit(self._improve, donate_argnums=1)

    def init(self, key: PRNGKeyArray) -> HostState:
        """A fresh state: for one key the same parameters as on a device."""
        return self._init(self._arrays, key)

    def update(self, state: HostState) -> tuple[HostState, dict[str, Any]]:
        """Collects one trajectory and learns from it; the old state's memory is reused.

        Raises:
            WorldFailed: a world failed and was not to be replaced, or too often.
        """
        (key, key_collect, key_learn), updates = self._next(state.key, state.updates)
        progress = np.float32(min(float(state.updates) / self.total_updates, 1.0))
        acting = self._acting(self._arrays, state.algorithm)
        steps, totals = self.collect(acting, progress, key_collect, state.key)
        algorithm, metrics = self._learn(self._arrays, state.algorithm, steps, key_learn)
        state = HostState(algorithm, key, updates)
        return state, jax.tree.map(np.asarray, metrics) | totals

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.unroll

    def policy(self, state: HostState) -> Policy:
        return self._algorithm(self._arrays).policy(state.algorithm)

    def compile(self, state: HostState) -> None:
        """Starts the workers and compiles; nothing is learned."""
        key, acting = jax.random.key(0), self._acting(self._arrays, state.algorithm)
        steps, _ = self.collect(acting, np.float32(0.0), key, state.key)
        self._learn.lower(self._arrays, state.algorithm, steps, key).compile()
        self.start(acting, state.key)

    def close(self) -> None:
        """Ends the workers."""
        if self._loop is not None:
            self._loop.vector.close()
            self._loop = None

    def start(self, acting: Acting, key: PRNGKeyArray) -> Loop:
        """New episodes, which `key` decides, and workers where there are none."""
        old = self._loop
        vector = old.vector if old else self.world.vector(self.num_envs, self.report)
        carry = self._fresh_carry(self._algorithm(self._arrays), acting)
        self._structure = jax.tree.structure((self._arrays, acting))
        self._loop = Loop(vector, self.world.spec, key, carry)
        return self._loop

    def collect(
        self, acting: Acting, progress: np.float32, key: PRNGKeyArray, key_reset: PRNGKeyArray
    ) -> tuple[Steps, dict[str, Any]]:
        """Steps all environments `unroll` times. Also returns sums over episodes that ended.
        `key_reset` decides the first episodes, of workers that there were not."""
        loop = self._loop or self.start(acting, key_reset)
        totals = dict.fromkeys(self._counts, 0.0)
        record, rows, carry_0 = None, [], None
        # Once: to take modules apart in every step would cost more than a small network.
        leaves = jax.tree.leaves((self._arrays, acting))
        seeds = draw_seeds(key, self.unroll)
        for t in range(self.unroll):
            shown = loop.shown
            action, before, loop.carry, extras = self._act(
                leaves, shown, loop.carry, loop.done, seeds[t]
            )
            carry_0 = before if t == 0 else carry_0
            action, extras = jax.tree.map(np.asarray, (action, extras))
            step = (shown, action, extras, loop.step(action, totals))
            if record is None:
                record = _empty(step, self.unroll)
                rows = jax.tree.leaves(record)
            for row, value in zip(rows, jax.tree.leaves(step)):
                row[t] = value
        last = jax.tree.map(np.copy, loop.shown)
        steps = Steps(record, carry_0, last, loop.carry, progress)
        return steps, {name: np.float32(total) for name, total in totals.items()}

    # What is compiled.

    def _algorithm(self, arrays: Any) -> Algorithm:
        return eqx.combine(arrays, self._static)

    def _read(self, shown: HostStep) -> TimeStep:
        return timestep_of(shown, self.world.spec.action)

    def _acting_of(self, arrays: Any, state: AlgState) -> Acting:
        return self._algorithm(arrays).acting(state)

    def _fresh_carry(self, algorithm: Algorithm, acting: Acting) -> Carry:
        return batch_carry(algorithm.initial_carry(acting), self.num_envs)

    def _make(self, arrays: Any, key: PRNGKeyArray) -> HostState:
        key_algorithm, _, key_run = jax.random.split(key, 3)
        state = self._algorithm(arrays).init(self.world.spec, key_algorithm)
        return HostState(_own(state), key_run, jnp.int32(0))

    def _choose(self, leaves: list[Array], shown: HostStep, carry: Carry, done, seed) -> Any:
        """An action of all environments; also the carry before and after it."""
        arrays, acting = jax.tree.unflatten(self._structure, leaves)
        algorithm = self._algorithm(arrays)
        carry = where_done(done, self._fresh_carry(algorithm, acting), carry)
        key = acting_key(seed)
        timestep = to_act_on(self._read(shown))
        action, after, extras = algorithm.act(acting, timestep, carry, key)
        name = type(algorithm).__name__
        check_action(action, self.world.spec, self.num_envs, f"{name}.act")
        check_same(carry, after, f"{name}.act", "carry")
        return action, carry, after, extras

    def _improve(
        self, arrays: Any, state: AlgState, steps: Steps, key: PRNGKeyArray
    ) -> tuple[AlgState, Metrics]:
        algorithm = self._algorithm(arrays)
        trajectory = self._trajectory(algorithm, algorithm.acting(state), steps)
        after, metrics = algorithm.learn(state, trajectory, key)
        check_same(state, after, f"{type(algorithm).__name__}.learn")
        return _own(after), metrics

    def _trajectory(self, algorithm: Algorithm, acting: Acting, steps: Steps) -> Trajectory:
        """What was collected, as algorithms read it."""
        shown, action, extras, successor = steps.record
        before = self._read(shown)
        after = settle(before, self._read(successor))
        transitions = Transition(to_act_on(before), action, extras, after)
        fresh = self._fresh_carry(algorithm, acting)
        last_carry = where_done(transitions.successor.done[-1], fresh, steps.last_carry)
        last = to_act_on(self._read(steps.last))
        return Trajectory(transitions, steps.carry, last, last_carry, jnp.asarray(steps.progress))

    # For who collects here and learns elsewhere.

    def read(self, acting: Acting, steps: Steps) -> Trajectory:
        """What `collect` gave, as algorithms read it; to be compiled."""
        return self._trajectory(self._algorithm(self._arrays), acting, steps)

    def steps_like(self, acting: Any) -> Steps:
        """The shapes of what `collect` gives, as `acting` are shapes; starts no worker."""
        facts, b = self.world.facts, self.num_envs
        named: dict[str, Any] = dict.fromkeys(HostStep._fields) | {
            name: jax.ShapeDtypeStruct((b, *shape), kind)
            for name, (kind, shape) in fields(facts).items()
        }
        shown = HostStep(**named)
        self._structure = jax.tree.structure((self._arrays, acting))

        def choose(acting: Acting, shown: HostStep) -> Any:
            carry = self._fresh_carry(self._algorithm(self._arrays), acting)
            leaves = jax.tree.leaves((self._arrays, acting))
            seed = jnp.zeros(4, jnp.uint32)
            return self._choose(leaves, shown, carry, jnp.ones(b, bool), seed)

        action, before, after, extras = jax.eval_shape(choose, acting, shown)
        record = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.unroll, *x.shape), x.dtype),
            (shown, action, extras, shown),
        )
        return Steps(record, before, shown, after, np.float32(0.0))


class HostProgram:
    """K learners, one after the other: what `Program` is for compiled worlds. A state is a tuple of
    theirs, of which nothing need be copied."""

    def __init__(self, learners: Sequence[OnHost]):
        self.learners = learners
        self._policy_arrays = jax.jit(self._gather_policies)

    def open(self) -> None:
        """Nothing has to be there first: each learner starts its processes."""

    def init(self, keys: Array) -> tuple[HostState, ...]:
        """A fresh state for K keys."""
        return tuple(learner.init(key) for learner, key in zip(self.learners, keys))

    def run(
        self,
        state: tuple[HostState, ...],
        updates: int,
        sums: Mapping[str, Any] | None = None,
    ) -> tuple[tuple[HostState, ...], Any, Any]:
        """Makes that many updates; the old state's memory is reused. Also returns, `[K]` each, the
        metrics' sums, which go on from `sums`, and last values. No updates: compiles."""
        states, totals, lasts = [], [], []
        for k, (learner, own) in enumerate(zip(self.learners, state)):
            total, last = {name: x[k] for name, x in (sums or {}).items()}, {}
            if not updates:
                learner.compile(own)
            for _ in range(updates):
                own, last = learner.update(own)
                total = {n: np.asarray(total.get(n, 0), x.dtype) + x for n, x in last.items()}
            states.append(own)
            lasts.append(last)
            totals.append(total)
        total, last = (jax.tree.map(lambda *xs: np.stack(xs), *each) for each in (totals, lasts))
        return tuple(states), total, last

    def template(self, keys: Array) -> tuple[HostState, ...]:
        """Shapes and dtypes of a state, for checkpoints; starts no worker."""
        return jax.eval_shape(self.init, keys)

    def place(self, state: tuple[HostState, ...]) -> tuple[HostState, ...]:
        """Puts a state from a checkpoint onto the device."""
        return jax.device_put(state)

    def fetch(self, state: tuple[HostState, ...]) -> tuple[HostState, ...]:
        """The state as a checkpoint keeps it: this one."""
        return state

    def policies(self, state: tuple[HostState, ...]) -> Policy:
        """The policies of all members, as one whose arrays have a leading axis K."""
        shapes = eqx.filter_eval_shape(policy_of, self.learners[0], state[0])
        return eqx.combine(self._policy_arrays(state), structure_of(shapes))

    def policies_template(self, keys: Array) -> Policy:
        """`policies` with shapes and dtypes for arrays."""
        shapes = eqx.filter_eval_shape(policy_of, self.learners[0], self.template(keys)[0])
        return jax.tree.map(lambda x: with_axis(x, len(keys)), shapes)

    def _gather_policies(self, state: tuple[HostState, ...]) -> Any:
        policies = [policy_of(learner, own) for learner, own in zip(self.learners, state)]
        arrays = [eqx.filter(policy, eqx.is_array) for policy in policies]
        return jax.tree.map(lambda *xs: jnp.stack(xs), *arrays)

    def __enter__(self) -> "HostProgram":
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all workers."""
        for learner in self.learners:
            learner.close()


def _next(key: PRNGKeyArray, updates: Int[Array, ""]) -> tuple[tuple[PRNGKeyArray, ...], Array]:
    """The keys of an update and the count after it, which outside would be a program each."""
    return tuple(jax.random.split(key, 3)), updates + 1


def _empty(step: Any, length: int) -> Any:
    """Memory for `length` steps like this one. Workers write over what they showed."""
    return jax.tree.map(lambda x: np.empty((length, *x.shape), x.dtype), step)


def _own(state: AlgState) -> AlgState:
    """A state that is nobody else's: what a program passes on as it was given would share its
    memory, which the next update reuses."""
    return jax.tree.map(jnp.copy, state)
