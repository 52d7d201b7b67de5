"""Policies, algorithms and learners: a few pure functions each."""

import abc
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.core.distributions import Distribution
from shoal.core.env import Action, EnvSpec, TimeStep
from shoal.core.errors import require
from shoal.core.limits import check_fields

Carry = Any
AlgState = Any
Acting = Any
Extras = Any
Metrics = dict[str, Array]


class Policy(eqx.Module):
    """Acts for all N agents. Decentralised, so that agent `i`'s distribution depends on what `i`
    sees alone, unless it says that it is `centralised`."""

    @property
    def centralised(self) -> bool:
        """Whether what an agent does depends on more than what it sees itself."""
        return False

    @abc.abstractmethod
    def initial_carry(self) -> Carry:
        """The recurrent state of one environment at the start of an episode; `None` for none."""

    @abc.abstractmethod
    def __call__(
        self, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Distribution, Carry]:
        """Maps what B environments show to a distribution over the actions of all agents.

        The observations of who is not active are zero. `key` is for networks that draw (noisy
        channels).
        """


def require_decentralised(policy: Policy, what: str) -> None:
    """Raises `UserError` for a policy whose agents cannot be asked one by one."""
    require(
        not policy.centralised,
        f"{what} needs a policy whose agents act on their own, and these act on what the others "
        "see and do",
    )


class Transition(eqx.Module):
    """`timestep` was acted on with `action`; `successor` is what truly followed, before any reset.
    `extras` is what the algorithm's `act` wished to keep."""

    timestep: TimeStep
    action: Action
    extras: Extras
    successor: TimeStep


class Trajectory(eqx.Module):
    """T steps of B environments. Leaves of `transitions` are `[T, B, ...]`.

    `carry` is the recurrent state before the first step and `last_carry` the one after the last;
    `last` is what to act on next (after a reset, where an episode ended); `progress` in [0, 1] is
    the share of training that is done, for schedules.
    """

    transitions: Transition
    carry: Carry
    last: TimeStep
    last_carry: Carry
    progress: Float[Array, ""]


class Algorithm(eqx.Module):
    """Hyper-parameters are fields: numbers are leaves, structure is static."""

    def __check_init__(self):
        check_fields(self)

    def check(self, spec: EnvSpec) -> None:
        """Raises `UserError` where the algorithm cannot learn in such an environment, or where
        hyper-parameters do not fit each other."""

    @abc.abstractmethod
    def init(self, spec: EnvSpec, key: PRNGKeyArray) -> AlgState: ...

    @abc.abstractmethod
    def acting(self, state: AlgState) -> Acting:
        """All that `act` reads, which is what a distant worker is sent: no optimizer, no replay."""

    @abc.abstractmethod
    def act(
        self, acting: Acting, timestep: TimeStep, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Action, Carry, Extras]:
        """The behaviour policy, for B environments at once."""

    @abc.abstractmethod
    def learn(
        self, state: AlgState, trajectory: Trajectory, key: PRNGKeyArray
    ) -> tuple[AlgState, Metrics]:
        """Learns from a trajectory, wherever it came from."""

    @abc.abstractmethod
    def policy(self, state: AlgState) -> Policy:
        """What is evaluated, saved and exported."""

    def check_devices(self, num_envs: int, devices: int) -> None:
        """Raises `UserError` where `num_envs` environments cannot be shared out among `devices`,
        each of which acts in and learns from its own part."""
        require(
            num_envs % devices == 0, f"num_envs is {num_envs}, expected a multiple of {devices}"
        )

    def initial_carry(self, acting: Acting) -> Carry:
        """The carry of `act` for one environment at the start of an episode. An algorithm whose
        `acting` is not a `Policy` says its own."""
        return acting.initial_carry()


@runtime_checkable
class Learner(Protocol):
    """What the trainer runs, whatever it is made of. `update` is compiled by the trainer."""

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update makes."""
        ...

    def init(self, key: PRNGKeyArray) -> Any: ...

    def update(self, state: Any) -> tuple[Any, Metrics]: ...

    def policy(self, state: Any) -> Policy:
        """What is evaluated, exported and kept as the best; it holds no more than it needs."""
        ...


def where_done(done: Bool[Array, "B"], new: Any, old: Any) -> Any:
    """Takes `new` where an episode ended and `old` elsewhere, in every leaf `[B, ...]`."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(done.reshape(done.shape + (1,) * (b.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)
