"""Probe environments: two agents, a few steps, and a value that is known by hand.

Each one isolates one thing that a learner must get right. They all have the same shapes, so that
`AnyProbe` can hold them behind one index that is a leaf: one compiled training serves them all.
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.core.algorithm import Algorithm, AlgState, Trajectory
from shoal.core.env import Action, Env, EnvSpec, TimeStep
from shoal.core.spaces import Box, Discrete
from shoal.training.on_device import OnDevice

N, A = 2, 3
DISCOUNT = 0.9


class ProbeState(eqx.Module):
    time: Int[Array, ""]
    cue: Int[Array, "N"]  # 0 or 1, drawn at reset, one an agent
    told: Int[Array, "N"]  # the last action of each agent in its turn


class Probe(Env):
    """One step, no reward, and an observation of [which agent am I, 0, 0], unless overridden."""

    length: ClassVar[int] = 1
    limit: ClassVar[bool] = False  # whether `length` is a time limit

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name=type(self).__name__,
            agents=("a", "b"),
            teams=(0, 0),
            roles=(0, 0),
            obs_sizes=(3, 3),
            action=Discrete((A, A)),
            state_size=0,
            horizon=self.length,
        )

    def reset(self, key: PRNGKeyArray) -> tuple[ProbeState, TimeStep]:
        cue = jax.random.randint(key, (N,), 0, 2)
        state = ProbeState(jnp.int32(0), cue, jnp.zeros(N, jnp.int32))
        return state, self._show(state, jnp.zeros(N))

    def step(
        self, key: PRNGKeyArray, state: ProbeState, action: Action
    ) -> tuple[ProbeState, TimeStep]:
        del key
        reward = self.reward(state, action).astype(jnp.float32)
        told = jnp.where(self.active(state), action, state.told).astype(jnp.int32)
        state = ProbeState(state.time + 1, state.cue, told)
        return state, self._show(state, reward)

    def _show(self, state: ProbeState, reward: Float[Array, "N"]) -> TimeStep:
        over = state.time >= self.length
        terminated = self.dead(state) | (over & (not self.limit))
        return TimeStep(
            obs=self.obs(state),
            reward=reward,
            terminated=terminated,
            truncated=(self.cut(state) | (over & self.limit)) & ~terminated,
            active=self.active(state),
            action_mask=self.legal(state),
            global_state=None,
            metrics={},
        )

    def obs(self, state: ProbeState) -> Float[Array, "N 3"]:
        return self._see(jnp.zeros(N), jnp.zeros(N))

    def _see(self, a: Array, b: Array) -> Float[Array, "N 3"]:
        shown = [jnp.broadcast_to(jnp.asarray(x, jnp.float32), (N,)) for x in (a, b)]
        return jnp.stack([jnp.array([-1.0, 1.0]), *shown], -1)

    def reward(self, state: ProbeState, action: Action) -> Array:
        return jnp.zeros(N)

    def dead(self, state: ProbeState) -> Bool[Array, "N"]:
        return jnp.zeros(N, bool)

    def cut(self, state: ProbeState) -> Bool[Array, "N"]:
        return jnp.zeros(N, bool)

    def active(self, state: ProbeState) -> Bool[Array, "N"]:
        return jnp.ones(N, bool)

    def legal(self, state: ProbeState) -> Bool[Array, "N A"]:
        return jnp.ones((N, A), bool)


class ConstantReward(Probe):
    """1 for one agent, 0.5 for the other, whatever they do: their values."""

    def reward(self, state, action):
        return jnp.array([1.0, 0.5])


class DelayedReward(Probe):
    """1 on the second of two steps: the value is gamma, then 1."""

    length = 2

    def obs(self, state):
        return self._see(state.time, 0)

    def reward(self, state, action):
        return jnp.full(N, state.time == 1)


class RewardedAction(Probe):
    """1 for action 1 of the first agent and action 2 of the second, -1 for any other."""

    def reward(self, state, action):
        return jnp.where(action == jnp.array([1, 2]), 1.0, -1.0)


class SeenValue(Probe):
    """The reward is what the observation says, -1 or 1."""

    def obs(self, state):
        return self._see(2 * state.cue - 1, 0)

    def reward(self, state, action):
        return 2 * state.cue - 1


class SeenAction(Probe):
    """1 for the action that the observation says, -1 for any other."""

    def obs(self, state):
        return self._see(2 * state.cue - 1, 0)

    def reward(self, state, action):
        return jnp.where(action == state.cue, 1.0, -1.0)


class RememberedAction(Probe):
    """`SeenAction` of three steps: the cue shows at the first, only the last action is paid."""

    length = 3

    def obs(self, state):
        return self._see((2 * state.cue - 1) * (state.time == 0), state.time)

    def reward(self, state, action):
        return jnp.where(action == state.cue, 1.0, -1.0) * (state.time == 2)


class EndlessReward(Probe):
    """1 at each step of an endless stream that a time limit cuts: 1 / (1 - gamma), not its first
    five terms."""

    length = 5
    limit = True

    def reward(self, state, action):
        return jnp.ones(N)


class ForbiddenAction(Probe):
    """Action 2 pays 1 where it is legal, and -100 where it is not; action 1 pays 0.5. What is
    legal cannot be told from the observation."""

    def legal(self, state):
        return jnp.stack([jnp.ones(N, bool), jnp.ones(N, bool), state.cue == 1], -1)

    def reward(self, state, action):
        best = jnp.where(state.cue == 1, 1.0, -100.0)
        return jnp.where(action == 2, best, 0.5 * (action == 1))


class DyingAgent(Probe):
    """The first agent is paid 1 and dies at the first of four steps; what it sees and is paid
    afterwards is garbage. The other one is paid 1 at each step."""

    length = 4

    def obs(self, state):
        garbage = jnp.where(state.time > 0, 10.0 * (1 + state.cue), 0.0)
        return self._see(jnp.stack([garbage[0], state.time / 4]), 0)

    def reward(self, state, action):
        return jnp.stack([jnp.where(state.time == 0, 1.0, 50.0), jnp.ones(())])

    def dead(self, state):
        return jnp.stack([state.time > 0, jnp.zeros((), bool)])

    def active(self, state):
        return ~self.dead(state)


class CutAgent(Probe):
    """1 at each step of an endless stream, but the first agent is taken out by the third of five
    steps, and the time limit cuts the other: 1 / (1 - gamma) for both. What the first sees and is
    paid afterwards is garbage."""

    length = 5
    limit = True

    def cut(self, state):
        return jnp.stack([state.time >= 3, jnp.zeros((), bool)])

    def active(self, state):
        return ~self.cut(state)

    def obs(self, state):
        return self._see(jnp.stack([10.0 * (state.time > 3), jnp.zeros(())]), 0)

    def reward(self, state, action):
        return jnp.stack([jnp.where(state.time < 3, 1.0, 50.0), jnp.ones(())])


class FallenAlly(Probe):
    """The first agent acts at the first of three steps and falls. With the last its team is paid 1
    if it had done what it saw, else -1: to its value that counts, as if it had stayed."""

    length = 3

    def active(self, state):
        return jnp.stack([state.time == 0, jnp.ones((), bool)])

    def obs(self, state):
        seen = jnp.where(state.time == 0, 2.0 * state.cue[0] - 1, 10.0)
        return self._see(jnp.stack([seen, jnp.zeros(())]), state.time / 2)

    def reward(self, state, action):
        told = jnp.where(self.active(state), action, state.told)
        return jnp.full(N, jnp.where(told[0] == state.cue[0], 1.0, -1.0) * (state.time == 2))


class SpareAgent(Probe):
    """The second agent never appears; what it sees and is paid is garbage. The first is paid 1 for
    action 1, -1 for any other."""

    def dead(self, state):
        return jnp.array([False, True])

    def active(self, state):
        return ~self.dead(state)

    def obs(self, state):
        return self._see(jnp.stack([jnp.zeros(()), 10.0 * (1 + state.cue[1])]), 0)

    def reward(self, state, action):
        return jnp.stack([jnp.where(action[0] == 1, 1.0, -1.0), 50.0 * jnp.ones(())])


class UnseenNaN(Probe):
    """1 at each of three steps. The first agent sees NaN where it is not its turn, which is the
    second step alone."""

    length = 3

    def active(self, state):
        return jnp.stack([state.time == 1, jnp.ones((), bool)])

    def obs(self, state):
        return jnp.where(self.active(state)[:, None], self._see(0, state.time / 2), jnp.nan)

    def reward(self, state, action):
        return jnp.ones(N)


class Coordination(Probe):
    """Both are paid 1 where both choose 2, 0.5 for another choice in common, 0 elsewhere."""

    def reward(self, state, action):
        same = action[0] == action[1]
        return jnp.full(N, jnp.where(same, jnp.where(action[0] == 2, 1.0, 0.5), 0.0))


class TakingTurns(Probe):
    """The agents act in turn, twice each, and see nothing out of turn. Each is paid 1 for the
    action that it sees, but only when the second has moved."""

    length = 4

    def active(self, state):
        return jnp.arange(N) == state.time % 2

    def obs(self, state):
        return self.active(state)[:, None] * self._see(2 * state.cue - 1, state.time / 4)

    def reward(self, state, action):
        taken = jnp.stack([state.told[0], action[1]])
        return (taken == state.cue) * (state.time % 2)


class Mixed(Probe):
    """Two kinds of agents: one number seen and 2 actions, three numbers seen and 3 actions. Each is
    paid 1 for its last action where its last number is positive, and for its first elsewhere."""

    @property
    def spec(self) -> EnvSpec:
        space = Discrete((2, 3))
        return dataclasses.replace(super().spec, roles=(0, 1), obs_sizes=(1, 3), action=space)

    def legal(self, state):
        return jnp.asarray(self.spec.action.mask)

    def obs(self, state):
        cue = 2.0 * state.cue - 1
        return jnp.array([[1.0, 0, 0], [0, 0, 1.0]]) * cue[:, None]

    def reward(self, state, action):
        last = jnp.array([1, 2])
        return jnp.where(action == jnp.where(state.cue == 1, last, 0), 1.0, -1.0)


PROBES = (
    ConstantReward(),
    DelayedReward(),
    RewardedAction(),
    SeenValue(),
    SeenAction(),
    RememberedAction(),
    EndlessReward(),
    ForbiddenAction(),
    DyingAgent(),
    Coordination(),
    TakingTurns(),
    CutAgent(),
    FallenAlly(),
    SpareAgent(),
    UnseenNaN(),
)


class AnyProbe(Env):
    """The probe number `which`."""

    which: Int[Array, ""]

    @staticmethod
    def of(kind: type[Probe]) -> "AnyProbe":
        return AnyProbe(jnp.int32([type(p) for p in PROBES].index(kind)))

    @property
    def spec(self) -> EnvSpec:
        return dataclasses.replace(Probe().spec, name="probe", horizon=5)

    def reset(self, key: PRNGKeyArray) -> tuple[ProbeState, TimeStep]:
        return jax.lax.switch(self.which, [p.reset for p in PROBES], key)

    def step(
        self, key: PRNGKeyArray, state: ProbeState, action: Action
    ) -> tuple[ProbeState, TimeStep]:
        return jax.lax.switch(self.which, [p.step for p in PROBES], key, state, action)


class Watcher(Algorithm):
    """Learns nothing and reports what it was given; its carry counts the steps of an episode."""

    def init(self, spec, key):
        return jnp.zeros(())

    def policy(self, state):
        raise NotImplementedError

    def acting(self, state):
        return state

    def initial_carry(self, acting):
        return jnp.float32(0)

    def act(self, acting, timestep, carry, key):
        return jnp.zeros(timestep.reward.shape, jnp.int32), carry + 1, carry

    def learn(self, state, trajectory, key):
        steps = trajectory.transitions
        return state, {
            "acted_on": steps.timestep.obs[..., 0],
            "successor": steps.successor.obs[..., 0],
            "reward": steps.successor.reward,
            "terminated": steps.successor.terminated,
            "truncated": steps.successor.truncated,
            "carry_before": steps.extras,
            "first_carry": trajectory.carry,
            "last_carry": trajectory.last_carry,
            "last": trajectory.last.obs[..., 0],
            "progress": trajectory.progress,
        }


def collect(
    algorithm: Algorithm, env: Env, num_envs: int, unroll: int, seed: int = 0
) -> tuple[AlgState, Trajectory]:
    """A fresh state of the algorithm, and a trajectory that it acted in."""
    learner = OnDevice(algorithm, env, num_envs, unroll)

    @jax.jit
    def run(key: PRNGKeyArray) -> tuple[AlgState, Trajectory]:
        state = learner.init(key)
        acting, (_, key, _) = algorithm.acting(state.algorithm), jax.random.split(state.key, 3)
        _, trajectory, _ = learner.collect(acting, state.loop, jnp.float32(0), key)
        return state.algorithm, trajectory

    return run(jax.random.key(seed))


class Meet(Probe):
    """A team of two is paid 1 less the square of how far the sum of their actions misses 1 where
    both see 1, and -1 where both see 0; in a box 2 wide, for one step."""

    @property
    def spec(self):
        return dataclasses.replace(super().spec, action=Box(-1.0, 1.0, (1,) * N))

    def reset(self, key):
        state, _ = super().reset(key)
        state = ProbeState(state.time, jnp.full(N, state.cue[0]), state.told)
        return state, self._show(state, jnp.zeros(N))

    def obs(self, state):
        return self._see(2.0 * state.cue - 1, 0)

    def step(self, key, state, action):
        miss = action.sum() - (2.0 * state.cue[0] - 1)
        state = ProbeState(state.time + 1, state.cue, state.told)
        return state, self._show(state, jnp.full(N, 1.0 - miss**2))

    def legal(self, state):
        return None
