"""Different algorithms for different agents, side by side in one environment.

    Together((ippo(), vdn()), ((0, 1, 2), (3,)))        # three predators by PPO, the prey by VDN

Each learns from what its own agents saw, did and were paid, and treats the others as part of the
environment.
"""

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from shoal.core.algorithm import (
    Acting,
    Algorithm,
    Carry,
    Extras,
    Metrics,
    Policy,
    Trajectory,
    Transition,
)
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.select import (
    Agents,
    JointDistribution,
    join_actions,
    spec_for,
    take_action,
    take_agents,
)


class Parts(eqx.Module):
    """Something of each algorithm, and the spec of all agents."""

    each: tuple
    spec: EnvSpec


class TogetherPolicy(Policy):
    """Each part of the agents acts by a policy of its own."""

    parts: tuple[Policy, ...]
    spec: EnvSpec
    agents: tuple[Agents, ...] = eqx.field(static=True)

    @property
    def centralised(self) -> bool:
        return any(part.centralised for part in self.parts)

    def initial_carry(self) -> Carry:
        return tuple(part.initial_carry() for part in self.parts)

    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[JointDistribution, Carry]:
        keys = jax.random.split(key, len(self.parts))
        found, after = [], []
        for part, ids, own, k in zip(self.parts, self.agents, carry, keys):
            distribution, own = part(take_agents(timestep, self.spec, ids), own, k)
            found.append(distribution)
            after.append(own)
        return JointDistribution(tuple(found), self.spec, self.agents), tuple(after)


class Together(Algorithm):
    """Algorithms that share an environment, each for its own agents."""

    parts: tuple[Algorithm, ...]
    """The algorithms."""
    agents: tuple[Agents, ...] = eqx.field(static=True)
    """Whose agents are whose, by number: each agent once."""

    def check(self, spec: EnvSpec) -> None:
        named = sorted(i for part in self.agents for i in part)
        require(
            len(self.parts) == len(self.agents) and named == list(range(spec.num_agents)),
            f"agents is {self.agents}, expected the numbers 0 to {spec.num_agents - 1} of "
            f"{spec.name}, once each, in {len(self.parts)} parts",
        )
        for part, ids in zip(self.parts, self.agents):
            part.check(spec_for(spec, ids))

    def check_devices(self, num_envs: int, devices: int) -> None:
        for part in self.parts:
            part.check_devices(num_envs, devices)

    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> Parts:
        keys = jax.random.split(key, len(self.parts))
        each = zip(self.parts, self.agents, keys)
        return Parts(tuple(part.init(spec_for(spec, ids), k) for part, ids, k in each), spec)

    def policy(self, state: Parts) -> TogetherPolicy:
        each = tuple(part.policy(own) for part, own in zip(self.parts, state.each))
        return TogetherPolicy(each, state.spec, self.agents)

    def acting(self, state: Parts) -> Parts:
        each = zip(self.parts, state.each)
        return Parts(tuple(part.acting(own) for part, own in each), state.spec)

    def initial_carry(self, acting: Acting) -> Carry:
        return tuple(part.initial_carry(own) for part, own in zip(self.parts, acting.each))

    def act(
        self, acting: Parts, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        keys = jax.random.split(key, len(self.parts))
        each = [
            part.act(own, take_agents(timestep, acting.spec, ids), c, k)
            for part, own, ids, c, k in zip(self.parts, acting.each, self.agents, carry, keys)
        ]
        actions, carries, extras = zip(*each)
        return join_actions(list(actions), acting.spec, self.agents), carries, extras

    def learn(
        self, state: Parts, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[Parts, Metrics]:
        keys = jax.random.split(key, len(self.parts))
        states, metrics, skips = [], {}, {}
        for k, (part, own) in enumerate(zip(self.parts, state.each)):
            own, found = part.learn(own, self._part_of(trajectory, state.spec, k), keys[k])
            states.append(own)
            for name, value in found.items():
                if name.startswith("skipped"):  # what stops a run: of the part that misses most
                    skips[name] = jax.numpy.maximum(skips.get(name, 0.0), value)
                else:
                    metrics[f"part_{k}/{name}"] = value
        return Parts(tuple(states), state.spec), metrics | skips

    def _part_of(self, trajectory: Trajectory, spec: EnvSpec, k: int) -> Trajectory:
        """What the agents of part `k` saw, did and were paid."""
        steps, ids = trajectory.transitions, self.agents[k]
        own = Transition(
            take_agents(steps.timestep, spec, ids),
            take_action(steps.action, spec, ids),
            steps.extras[k],
            take_agents(steps.successor, spec, ids),
        )
        last = take_agents(trajectory.last, spec, ids)
        carries = (trajectory.carry[k], trajectory.last_carry[k])
        return Trajectory(own, carries[0], last, carries[1], trajectory.progress)
