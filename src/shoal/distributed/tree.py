"""Coordinators between whoever learns and its workers: each asks a group of them, and answers for
all with one message.

A server's coordinators add up gradients: the mean of the groups' means is that of all, since groups
are of one size. A learner's join what their workers saw along the batch axis. A group is asked in
order and waits for its slowest, so that in order all together is what it is without coordinators.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shoal.agents.policy_gradient.a2c import Gradient
from shoal.core.algorithm import Trajectory
from shoal.core.errors import optional
from shoal.distributed.arrays import Packed, pack, unpack
from shoal.distributed.collecting import InOrder
from shoal.distributed.crew import Crew, Ident, actor
from shoal.distributed.gradients import GradientWorker, Pushed, gradient_shapes
from shoal.distributed.worker import CollectingWorker, RolloutWorker
from shoal.runs.durable import Json


class Coordinator(CollectingWorker):
    """One group's: what a worker is for whoever learns, and what that is for its workers.

    Args:
        count: how many workers it has.
    """

    kind: ClassVar[type[CollectingWorker]]

    def __init__(self, config: Json, folder: str, num_envs: int, count: int):
        super().__init__(config, folder, num_envs)
        ray = optional("ray", "Ray", "ray")
        words = (config, folder, num_envs)
        make = lambda number, incarnation: actor(ray, self.kind, words)  # noqa: E731
        self._crew = Crew(ray, make, count, self.config.deadline)

    def gather(
        self, method: str, weights: Packed, here: list[Any] | None, keys: list[Packed], *words: Any
    ) -> tuple[list[Any], list[Any]]:
        """What all workers give, each from where its environments were; and where they are then."""
        ordered = InOrder(self._crew, list(here or [None] * len(self._crew)), method)
        ordered.ask(0, self._crew.put(weights), keys, *words)
        return [answer.content for answer in ordered.wait()], ordered.here


class GradientCoordinator(Coordinator):
    """Sends the mean gradient of its group."""

    kind = GradientWorker

    def __init__(self, *words: Any):
        super().__init__(*words)
        self._structure = jax.tree.structure(gradient_shapes(self.algorithm, self.share))
        self._mean = jax.jit(Gradient.mean)

    def gradient(self, ident: Ident, *words: Any) -> Any:
        """The mean of what the workers answer to the same."""
        contents, here = self.gather("gradient", *words)
        found = [Pushed(*content) for content in contents]
        gradient = self._mean([unpack(self._structure, one.gradient) for one in found])
        return (ident, merged(pack(gradient), found)), here


class RolloutCoordinator(Coordinator):
    """Sends what its group saw, as one trajectory."""

    kind = RolloutWorker

    def __init__(self, *words: Any):
        super().__init__(*words)
        self._join = jax.jit(lambda parts: join(parts, jnp.float32(0.0)))  # whoever learns knows

    def collect(self, ident: Ident, *words: Any) -> Any:
        """The trajectory of all workers' environments, in order, and the sums of their episodes."""
        found, here = self.gather("collect", *words)
        parts = [unpack(self.share.trajectory, trajectory) for trajectory, _ in found]
        return (ident, (pack(self._join(parts)), summed([totals for _, totals in found]))), here


def join(parts: Sequence[Trajectory], progress: Float[Array, ""]) -> Trajectory:
    """One trajectory of all environments, `[T, B, ...]`, at that share of training."""

    def along(axis: int, pick: Any) -> Any:
        return jax.tree.map(lambda *xs: jnp.concatenate(xs, axis), *map(pick, parts))

    return Trajectory(
        along(1, lambda t: t.transitions),
        along(0, lambda t: t.carry),
        along(0, lambda t: t.last),
        along(0, lambda t: t.last_carry),
        progress,
    )


def merged(gradient: Packed, found: list[Pushed]) -> Pushed:
    """What several pushed, as one."""
    metrics = {n: float(np.mean([p.metrics[n] for p in found])) for n in found[0].metrics}
    return Pushed(gradient, metrics, summed([p.totals for p in found]))


def summed(totals: list[dict[str, float]]) -> dict[str, float]:
    """Sums over the episodes of several, as one."""
    return {name: float(sum(each[name] for each in totals)) for name in totals[0]}


def groups(things: list[Any], count: int) -> list[list[Any]]:
    """The same, in so many groups of one size."""
    size = len(things) // count
    return [things[k * size : (k + 1) * size] for k in range(count)]
