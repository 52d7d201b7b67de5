"""What runs in a worker's process: one call, one piece of work, told all that it needs."""

import contextlib
import dataclasses
import os
from typing import Any

from shoal.distributed.arrays import PAIR, Packed, pack, unpack
from shoal.distributed.crew import Ident
from shoal.distributed.share import Share, share_of
from shoal.envs.host.world import HostWorld
from shoal.runs.config import Config
from shoal.runs.durable import Json


class Worker:
    """Makes the algorithm and its share of the environments as the run's configuration says."""

    def __init__(self, config: Json, folder: str, num_envs: int):
        with contextlib.suppress(OSError):  # on another machine there may be no such folder
            os.chdir(folder)
        if hasattr(os, "sched_setaffinity"):  # the run itself may be pinned to one core
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        from shoal.training.devices import prepare
        from shoal.training.run import parts

        prepare()
        self.config = Config.from_json(config)
        self.algorithm, env = parts(self.config)
        if isinstance(env, HostWorld):  # this process is a worker, which may die
            env = dataclasses.replace(env, in_process=True)
        self.share = self.make_share(env, num_envs)

    def make_share(self, env: Any, num_envs: int) -> Share:
        """How this worker collects."""
        return share_of(self.algorithm, env, num_envs, self.config.unroll)

    def ready(self, ident: Ident) -> Any:
        """That it runs, and as which process."""
        return (ident, os.getpid()), None


class RolloutWorker(Worker):
    """Sends what it saw."""

    def collect(self, ident: Ident, weights: Packed, loop: Packed | None, keys: Packed) -> Any:
        """A trajectory, and sums over the episodes that ended in it. `keys` are of the collecting,
        and of the first episodes."""
        acting = unpack(self.share.acting, weights)
        trajectory, totals, loop = self.share.collect(acting, loop, *unpack(PAIR, keys))
        return (ident, (pack(trajectory), totals)), loop
