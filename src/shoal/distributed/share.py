"""A worker's share of the environments, and how it collects there.

Whoever learns makes the same share, without ever starting it, and so knows the structure of what
workers send: see `arrays`.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from shoal.core.algorithm import Algorithm
from shoal.core.env import EnvSpec
from shoal.distributed.arrays import Packed, num_bytes, pack, unpack
from shoal.envs.host.world import World
from shoal.training.learners import make_learner
from shoal.training.on_device import OnDevice, summarise
from shoal.training.on_host import OnHost


def share_of(algorithm: Algorithm, env: World, num_envs: int, unroll: int) -> "Share":
    """The share of one worker."""
    learner: Any = make_learner(algorithm, env, num_envs, unroll)
    return OnDeviceShare(learner) if isinstance(learner, OnDevice) else OnHostShare(learner)


class Share(abc.ABC):
    """What both kinds have. `collect` gives a trajectory, sums over the episodes that ended in it,
    and where environments are then, packed, as it takes it; `None` is at their start."""

    algorithm: Algorithm
    spec: EnvSpec
    trajectory: Any  # the structure of one
    shapes: Any  # those of a trajectory
    acting: Any  # that of what acts
    loop: Any  # that of where environments are; `None` where that cannot be sent
    num_bytes: int  # of a trajectory

    @abc.abstractmethod
    def collect(
        self, acting: Any, loop: Packed | None, key: PRNGKeyArray, key_reset: PRNGKeyArray
    ) -> tuple[Any, dict[str, float], Packed | None]: ...

    def start(self, acting: Any, key: PRNGKeyArray) -> Any:
        """Where environments are at first; `None` where that cannot be sent."""
        return None

    def _shapes(self) -> Any:
        """Those of what acts."""
        key = jax.random.key(0)
        state = jax.eval_shape(lambda key: self.algorithm.init(self.spec, key), key)
        acting = jax.eval_shape(self.algorithm.acting, state)
        self.acting = jax.tree.structure(acting)
        return acting

    def _say(self, trajectory: Any) -> None:
        """Keeps what there is to know of the shapes of one."""
        self.shapes, self.trajectory = trajectory, jax.tree.structure(trajectory)
        self.num_bytes = num_bytes(trajectory)


class OnDeviceShare(Share):
    """Compiled environments: nothing is remembered, so that anybody can go on."""

    def __init__(self, learner: OnDevice):
        self.algorithm, self.spec = learner.algorithm, learner.env.spec

        def collect(acting: Any, loop: Any, key: PRNGKeyArray) -> Any:
            progress = jnp.float32(0.0)  # whoever learns knows it
            loop, trajectory, finished = learner.collect(acting, loop, progress, key)
            return loop, trajectory, summarise(finished, self.spec)

        self._start = jax.jit(lambda acting, key: learner.start(acting, key))
        self._collect = jax.jit(collect)
        acting, key = self._shapes(), jax.random.key(0)
        loop = jax.eval_shape(self._start, acting, key)
        self.loop = jax.tree.structure(loop)
        self._say(jax.eval_shape(collect, acting, loop, key)[1])

    def start(self, acting: Any, key: PRNGKeyArray) -> Any:
        return self._start(acting, key)

    def collect(
        self, acting: Any, loop: Packed | None, key: PRNGKeyArray, key_reset: PRNGKeyArray
    ) -> tuple[Any, dict[str, float], Packed | None]:
        here = self._start(acting, key_reset) if loop is None else unpack(self.loop, loop)
        here, trajectory, totals = self._collect(acting, here, key)
        return trajectory, {name: float(x) for name, x in totals.items()}, pack(here)


class OnHostShare(Share):
    """Environments of the host, which cannot be sent: they stay where they are, and start anew in
    whoever takes a worker's place."""

    def __init__(self, learner: OnHost):
        self.algorithm, self.spec, self._learner = learner.algorithm, learner.world.spec, learner
        self._read = jax.jit(learner.read)
        acting = self._shapes()
        steps = learner.steps_like(acting)
        self._say(jax.eval_shape(learner.read, acting, steps))
        self.loop = None

    def collect(
        self, acting: Any, loop: Packed | None, key: PRNGKeyArray, key_reset: PRNGKeyArray
    ) -> tuple[Any, dict[str, float], Packed | None]:
        del loop
        steps, totals = self._learner.collect(acting, np.float32(0.0), key, key_reset)
        return self._read(acting, steps), totals, None
