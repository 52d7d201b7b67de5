"""A server of parameters: workers pull them, collect, and push gradients. A3C stands on it.

`sync`: an update is the mean of all workers' gradients of one version, without the `backups` that
come last, which are dropped (Chen et al. 2016, arXiv:1604.00981). In order, without backups, the
same run every time.

`async`: every gradient is an update when it comes, as in A3C (Mnih et al. 2016, arXiv:1602.01783).
By then the parameters may have moved by some updates, its staleness; a step is 1 / (1 + staleness)
of the usual one (Zhang et al. 2016, arXiv:1511.05950).

`ssp`: the same, but nobody begins while it is more than `staleness` gradients ahead of the slowest
(Ho et al. 2013).
"""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key

from shoal import registry
from shoal.agents.policy_gradient.a2c import A2C, Gradient
from shoal.core.algorithm import AlgState
from shoal.core.errors import UserError, require
from shoal.distributed.arrays import pack, size, unpack
from shoal.distributed.collecting import InOrder, pair
from shoal.distributed.gradients import GradientWorker, Pushed, gradient_structure, pulled
from shoal.distributed.program import CollectingProgram, DistantState, Metrics
from shoal.distributed.pushes import Pushes
from shoal.distributed.tree import GradientCoordinator, merged
from shoal.distributed.worker import Worker


class ServerProgram(CollectingProgram):
    """The server, which is whoever runs this."""

    @property
    def worker(self) -> type[Worker]:
        return GradientCoordinator if self.config.coordinators else GradientWorker

    def __init__(self, learners: Any, env: Any, config: Any):
        super().__init__(learners, env, config)
        self._gradient = gradient_structure(self.algorithm, self.share)
        self._ordered: InOrder | None = None
        self._pushes: Pushes | None = None
        self._step = jax.jit(self._apply, donate_argnums=0)
        self._mean = jax.jit(Gradient.mean)

    def learns_with(self, algorithm: Any) -> A2C:
        if not isinstance(algorithm, A2C):
            names = [n for n in registry.ALGORITHMS if _has_gradients(n)]
            raise UserError(
                f"{self.config.algorithm} has no gradients that a server could take: use one of "
                f"{', '.join(names)}"
            )
        whole = algorithm.epochs == 1 and algorithm.minibatches == 1
        require(whole, "a server takes one gradient a rollout: epochs and minibatches must be 1")
        return algorithm

    @property
    def store(self) -> int:
        return 4 * self.config.workers * self.share.num_bytes // self.config.unroll

    def begin(self, state: DistantState) -> None:
        """Waits for the workers: what is measured afterwards is no start."""
        while len(self.crew.present) < len(self.crew):
            self.crew.answers()

    def update(self, state: DistantState) -> tuple[DistantState, Metrics]:
        """One step, of one worker's gradient or of the mean of all."""
        keys, keys_collect, _ = self.keys(state)
        with self.waiting():
            found, stale, said = self._take(state, keys_collect)
        gradients = [unpack(self._gradient, one.gradient) for one in found]
        gradient = gradients[0] if len(gradients) == 1 else self._mean(gradients)
        step = (gradient, self.progress(state), np.float32(stale))
        algorithm, norms = self._step(state.algorithm, *step)
        whole = merged([], found)
        said = whole.metrics | whole.totals | said | self.health()
        metrics = {name: np.float32(value) for name, value in said.items()} | norms
        return DistantState(algorithm, keys, state.updates + 1, None), metrics

    def _take(
        self, state: DistantState, keys: Key[Array, "W"]
    ) -> tuple[list[Pushed], int, Metrics]:
        """What the next step is of, how many updates old that is, and what to say of it."""
        version, progress = int(state.updates), self.progress(state)
        weights, config = pack(pulled(state.algorithm)), self.config
        if config.server == "sync" and not config.backups:
            if self._ordered is None:
                self._ordered = InOrder(self.crew, self.grouped(self.starts(state)), "gradient")
            own = self.grouped([pair(key) for key in keys])
            self._ordered.ask(version, weights, own, progress)
            found = [Pushed(*content) for content in self._ordered.wait()]
            self.here = self.whole(self._ordered.here)
            return found, 0, _traffic(size(weights) * len(found), found)
        if self._pushes is None:
            self._pushes = Pushes(self.crew, config.staleness if config.server == "ssp" else None)
        pushes = self._pushes
        if config.server == "sync":
            count = len(self.crew) - config.backups
            found = [p.pushed for p in pushes.first(count, version, weights, keys, progress)]
            stale, said = 0, {"dropped": pushes.dropped}
        else:
            push = pushes.next(version, weights, keys, progress)
            found, stale = [push.pushed], version - push.version
            said = {"staleness": stale, "ahead": push.ahead}
        said |= _traffic(pushes.pulled_bytes, found)
        pushes.dropped = pushes.pulled_bytes = 0
        return found, stale, said

    def _apply(
        self, state: AlgState, gradient: Gradient, progress: Float[Array, ""], stale: Any
    ) -> tuple[AlgState, Any]:
        """A step down a gradient that is that many updates old."""
        rate = self.algorithm.learning_rate / (1.0 + stale)
        slower = eqx.tree_at(lambda a: a.learning_rate, self.algorithm, rate)
        return slower.apply(state, gradient, progress)


def _traffic(pulled_bytes: int, found: list[Pushed]) -> Metrics:
    """Bytes that went from here, and that came, in how many messages."""
    pushed = sum(size(one.gradient) for one in found)
    return {"pulled_bytes": pulled_bytes, "pushed_bytes": pushed, "messages": 2 * len(found)}


def _has_gradients(name: str) -> bool:
    return isinstance(registry.make_algorithm(name), A2C)
