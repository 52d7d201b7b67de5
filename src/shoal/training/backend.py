"""Where an environment runs: inside the compiled program, or in processes of the host.

Nobody else asks which kind of environment it is: who needs to know takes what `backend_of` gives.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, PRNGKeyArray

from shoal import registry
from shoal.core.algorithm import Learner, Policy
from shoal.core.errors import require, unknown
from shoal.envs.host.world import HostWorld, World
from shoal.recording.host_recording import record_host
from shoal.recording.recording import PolicyAct, Recording, record_act
from shoal.runs.config import Config
from shoal.training.constant_mask import mask_on_device, mask_on_host
from shoal.training.evaluation import (
    DeviceStage,
    Returns,
    evaluate_policy,
    evaluate_random,
    evaluate_scripted,
    has_script,
)
from shoal.training.fit import check_learner, check_policy, trace
from shoal.training.host_evaluation import HostStage
from shoal.training.on_host import HostProgram
from shoal.training.program import Program, State, stack

ON_HOST = "shoal.training.on_host:OnHost"
# What runs learners elsewhere: called with (learners, env, config), it is entered as others are.
GANG = "shoal.distributed.gang:GangProgram"
ROLLOUTS = "shoal.distributed.rollouts:RolloutProgram"
SERVER = "shoal.distributed.server:ServerProgram"
EVOLUTION = "shoal.distributed.evolution:EvolutionProgram"
CONTROLLERS = {"scripted": evaluate_scripted, "random": evaluate_random}


@runtime_checkable
class AnyProgram(Protocol):
    """What steps K members: `Program` on devices, `HostProgram` where Python runs the loop."""

    def open(self) -> None: ...
    def init(self, keys: Any) -> State: ...
    def run(
        self, state: State, updates: int, sums: Mapping[str, Any] | None = None
    ) -> tuple[State, Any, Any]: ...
    def template(self, keys: Any) -> State: ...
    def place(self, state: State) -> State: ...
    def fetch(self, state: State) -> State: ...
    def policies(self, state: State) -> Policy: ...
    def policies_template(self, keys: Any) -> Policy: ...


class Stage(Protocol):
    """What plays the episodes of evaluations."""

    def play(self, policies: Policy, key: Any) -> tuple[Returns, Returns]: ...


@dataclasses.dataclass(frozen=True)
class Backend:
    """What depends on where environments run."""

    on_host: bool
    """Whether Python runs the loop, on one device, and presets for it go before the others."""
    learner: Callable[[str], str]
    """The class of a learner, `module:Class`, of the one that an algorithm asks for."""
    program: Callable[[Sequence[Any], Config], contextlib.AbstractContextManager[AnyProgram]]
    """What runs the learners of all members; workers live as long as it is entered."""
    stage: Callable[[Any, int, int], contextlib.AbstractContextManager[Stage]]
    """What plays that many episodes with that many members' policies."""
    play: Callable[[Policy | str, Any, PRNGKeyArray, int, bool], Returns]
    """Episodes `[E]` of a policy, or of a controller by name."""
    check: Callable[[AnyProgram, Learner, Any, Any], Any]
    """Raises `UserError` where the learner of a program, in an environment and from the members'
    keys, does not keep its promises; else the shapes of its state on one device."""
    record: Callable[..., Recording]
    """Episodes step by step, of what acts."""
    mask: Callable[[Any], tuple[bool, Bool[np.ndarray, "N A"] | None]]
    """Whether action masks change, and otherwise the one that there always is."""
    has_script: Callable[[Any], bool]
    """Whether an environment has a hand-written controller."""
    shown: int
    """Episodes in a run's replay."""


def backend_of(env: World) -> Backend:
    """The backend that an environment needs."""
    return HOST if isinstance(env, HostWorld) else DEVICE


def program_of(
    learners: Sequence[Any], env: World, config: Config
) -> contextlib.AbstractContextManager[AnyProgram]:
    """What runs the learners of all members: in this process, or where the configuration says."""
    if not config.workers and config.processes == 1:
        return backend_of(env).program(learners, config)
    return registry.load(_elsewhere(learners[0], config))(learners, env, config)


def _elsewhere(learner: Any, config: Config) -> str:
    if not config.workers:
        return GANG
    if config.server != "none":
        return SERVER
    return EVOLUTION if _evolves(learner.algorithm) else ROLLOUTS


def _evolves(algorithm: Any) -> bool:
    return isinstance(algorithm, registry.load(registry.EVOLUTION))


def record(
    policy: Policy,
    env: World,
    key: PRNGKeyArray,
    episodes: int = 5,
    *,
    greedy: bool = True,
    algorithm: str = "",
    seed: int | None = None,
) -> Recording:
    """Plays episodes and keeps what they looked like: for `save_replay` and films.

    Args:
        policy: of all agents.
        env: what is played.
        key: what episodes and actions are drawn from.
        episodes: how many.
        greedy: whether agents take the likeliest action, or draw one.
        algorithm: what is said to have made the policy.
        seed: what is said to have been its seed.

    Raises:
        UserError: the environment cannot draw itself.
    """
    act, carry = PolicyAct(policy, greedy), policy.initial_carry()
    play = backend_of(env).record
    return play(act, env, key, episodes, carry=carry, algorithm=algorithm, seed=seed)


def _play_on_device(
    policy: Policy | str, env: Any, key: PRNGKeyArray, episodes: int, greedy: bool
) -> Returns:
    if isinstance(policy, str):
        play = _controller(policy)
        return jax.device_get(jax.jit(lambda k: play(env, k, episodes))(key))
    check_policy(policy, env)
    return jax.device_get(eqx.filter_jit(evaluate_policy)(policy, env, key, episodes, greedy))


def _play_on_host(
    policy: Policy | str, env: Any, key: PRNGKeyArray, episodes: int, greedy: bool
) -> Returns:
    if isinstance(policy, str):
        _controller(policy)
    require(policy != "scripted", f"{env.spec.name} has no scripted controller")
    with HostStage(env, episodes) as stage:
        if isinstance(policy, str):
            return stage.play_random(key)
        return stage.play_policy(policy, key, greedy=greedy)


def _controller(name: str) -> Callable[..., Returns]:
    if name not in CONTROLLERS:
        raise unknown("controller", name, CONTROLLERS)
    return CONTROLLERS[name]


def _host_learner(target: str) -> str:
    require(
        target == registry.ON_DEVICE,
        f"{target.rpartition(':')[2]} compiles whole updates, which an environment of worker "
        "processes does not allow",
    )
    return ON_HOST


def _check_on_device(program: AnyProgram, learner: Learner, env: Any, keys: Any) -> Any:
    traced = program.traced(keys) if isinstance(program, Program) else trace(learner)
    return check_learner(learner, env, traced)


DEVICE = Backend(
    on_host=False,
    learner=lambda target: target,
    program=lambda learners, config: contextlib.nullcontext(
        Program(stack(learners), config.devices, config.member_devices)
    ),
    stage=lambda env, episodes, members: contextlib.nullcontext(
        DeviceStage(env, episodes, members)
    ),
    play=_play_on_device,
    check=_check_on_device,
    record=record_act,
    mask=mask_on_device,
    has_script=has_script,
    shown=5,
)
HOST = Backend(
    on_host=True,
    learner=_host_learner,
    program=lambda learners, config: HostProgram(learners),
    stage=HostStage,
    play=_play_on_host,
    # Its updates are not one program that could be traced.
    check=lambda program, learner, env, keys: jax.eval_shape(learner.init, keys[0]),
    record=record_host,
    mask=mask_on_host,
    has_script=lambda env: False,
    shown=1,  # the environment's own pictures take their time
)
