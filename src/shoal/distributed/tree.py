"""Coordinators between a server and its workers: each adds up the gradients of a group of them.

The root sends parameters once a coordinator and takes one gradient from each, however many workers
there are. The mean of the groups' means is that of all, since groups are of one size.
"""

from typing import Any

import jax
import numpy as np

from shoal.agents.policy_gradient.a2c import Gradient
from shoal.core.errors import optional
from shoal.distributed.arrays import Packed, pack, unpack
from shoal.distributed.collecting import InOrder
from shoal.distributed.crew import Crew, Ident, actor
from shoal.distributed.gradients import GradientWorker, Pushed, gradient_structure
from shoal.distributed.worker import Worker
from shoal.runs.durable import Json


class Coordinator(Worker):
    """One group's: what a worker is for the server, and a server for its workers.

    Args:
        count: how many workers it has.
    """

    def __init__(self, config: Json, folder: str, num_envs: int, count: int):
        super().__init__(config, folder, num_envs)
        ray = optional("ray", "Ray", "ray")
        words = (config, folder, num_envs)
        make = lambda number, incarnation: actor(ray, GradientWorker, words)  # noqa: E731
        self._crew = Crew(ray, make, count, self.config.deadline)
        self._structure = gradient_structure(self.algorithm, self.share)
        self._mean = jax.jit(Gradient.mean)

    def gradient(
        self,
        ident: Ident,
        weights: Packed,
        here: list[Any],
        keys: list[Packed],
        progress: np.float32,
    ) -> Any:
        """The mean gradient of the group, each from where its environments were."""
        ordered = InOrder(self._crew, list(here), "gradient")
        ordered.ask(0, weights, keys, progress)
        found = [Pushed(*content) for content in ordered.wait()]
        gradient = self._mean([unpack(self._structure, one.gradient) for one in found])
        return (ident, merged(pack(gradient), found)), ordered.here


def merged(gradient: Packed, found: list[Pushed]) -> Pushed:
    """What several pushed, as one."""
    metrics = {n: float(np.mean([p.metrics[n] for p in found])) for n in found[0].metrics}
    totals = {n: float(sum(p.totals[n] for p in found)) for n in found[0].totals}
    return Pushed(gradient, metrics, totals)


def groups(things: list[Any], count: int) -> list[list[Any]]:
    """The same, in so many groups of one size."""
    size = len(things) // count
    return [things[k * size : (k + 1) * size] for k in range(count)]
