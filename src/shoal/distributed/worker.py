"""What runs in a worker's process: one call, one piece of work, told all that it needs."""

import contextlib
import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp

from shoal.distributed.arrays import PAIR, Packed, pack, unpack
from shoal.distributed.crew import Ident
from shoal.distributed.share import share_of
from shoal.envs.host.world import HostWorld
from shoal.runs.config import Config
from shoal.runs.durable import Json
from shoal.training.devices import prepare
from shoal.training.rebuild import parts


class Worker:
    """Makes the algorithm and the environment as the run's configuration says."""

    def __init__(self, config: Json, folder: str):
        with contextlib.suppress(OSError):  # on another machine there may be no such folder
            os.chdir(folder)
        if hasattr(os, "sched_setaffinity"):  # the run itself may be pinned to one core
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        prepare()
        self.config = Config.from_json(config)
        algorithm, env = parts(self.config)
        self.algorithm = jax.tree.map(jnp.asarray, algorithm)  # as who learns has it, to the bit
        if isinstance(env, HostWorld):  # this process is a worker, which may die
            env = dataclasses.replace(env, in_process=True)
        self.env = env

    def ready(self, ident: Ident) -> Any:
        """That it runs, and as which process."""
        return (ident, os.getpid()), None


class CollectingWorker(Worker):
    """Has a share of `num_envs` environments."""

    def __init__(self, config: Json, folder: str, num_envs: int):
        super().__init__(config, folder)
        self.share = share_of(self.algorithm, self.env, num_envs, self.config.unroll)


class RolloutWorker(CollectingWorker):
    """Sends what it saw."""

    def collect(self, ident: Ident, weights: Packed, loop: Packed | None, keys: Packed) -> Any:
        """A trajectory, and sums over the episodes that ended in it. `keys` are of the collecting,
        and of the first episodes."""
        acting = unpack(self.share.acting, weights)
        trajectory, totals, loop = self.share.collect(acting, loop, *unpack(PAIR, keys))
        return (ident, (pack(trajectory), totals)), loop
