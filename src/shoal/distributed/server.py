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

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from shoal import registry
from shoal.agents.policy_gradient.a2c import A2C, Gradient
from shoal.core.algorithm import Policy
from shoal.core.errors import Failure, UserError, require
from shoal.core.terminal import say
from shoal.distributed.arrays import Packed, num_bytes, pack, unpack
from shoal.distributed.collecting import InOrder, pair
from shoal.distributed.crew import RESTARTS
from shoal.distributed.cut import Cut
from shoal.distributed.gradients import GradientWorker, Pushed, gradient_shapes, pulled
from shoal.distributed.program import CollectingProgram, DistantState, Metrics
from shoal.distributed.pushes import Pushes
from shoal.distributed.shards import ServerLost, Servers, stepped
from shoal.distributed.tree import GradientCoordinator, merged
from shoal.distributed.worker import Worker


class ServerProgram(CollectingProgram):
    """The server, which is whoever runs this; or who hands on what several servers say."""

    @property
    def worker(self) -> type[Worker]:
        return GradientCoordinator if self.config.coordinators else GradientWorker

    def __init__(self, learners: Any, env: Any, config: Any):
        super().__init__(learners, env, config)
        taught = gradient_shapes(self.algorithm, self.share)
        self._gradient = jax.tree.structure(taught)
        shapes = jax.eval_shape(lambda k: self.algorithm.init(env.spec, k), jax.random.key(0))
        self._shapes, self._cut = shapes, Cut(shapes, config.servers)
        self._pulled_bytes, self._pushed_bytes = num_bytes(pulled(shapes)), num_bytes(taught)
        self._servers: Servers | None = None
        self._split = jax.jit(self._cut.states)
        self._newest: DistantState | None = None  # whose parts servers had last
        self._parts: list[Packed] = []
        self._lost = 0
        self._ordered: InOrder | None = None
        self._pushes: Pushes | None = None
        self._step = jax.jit(lambda *step: stepped(self.algorithm, *step), donate_argnums=0)
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
        starts = 4 * self.config.workers * self.share.num_bytes // self.config.unroll
        return starts + 4 * (self.config.workers + 1 + 2 * (self.parts > 0)) * self._pulled_bytes

    @property
    def cpus(self) -> int:
        return self.config.workers + self.parts

    @property
    def parts(self) -> int:
        return self.config.servers if self.config.servers > 1 else 0

    def begin(self, state: DistantState) -> None:
        """Waits for the workers: what is measured afterwards is no start."""
        while len(self.crew.present) < len(self.crew):
            self.crew.answers()

    def run(
        self, state: DistantState, updates: int, sums: Mapping[str, Any] | None = None
    ) -> tuple[DistantState, Metrics, Metrics]:
        """As of any program. Of several servers, all begin again with these updates where one is
        lost."""
        if self.config.servers == 1:
            return super().run(state, updates, sums)
        here, version = list(self.here), int(state.updates)
        if state is not self._newest:
            self._newest, self._parts = state, [pack(p) for p in self._split(state.algorithm)]
            if self._servers is not None:
                self._servers.load(self._parts, version)
        while True:
            try:
                servers = self._serve(version)
                after, total, last = super().run(state, updates, sums)
                self._newest, self._parts = after, servers.parts()
                return after, total, last
            except ServerLost as error:
                self._lost += 1
                if self._lost > RESTARTS * self.config.servers:
                    raise Failure(
                        f"servers were lost {self._lost} times: the last {error}"
                    ) from None
                say(f"shoal: a server {error}: all of them, and the workers, begin at {version}")
                self._end()
                self.here = here

    def _serve(self, version: int) -> Servers:
        """The servers, which have the newest state."""
        if self._servers is None:
            self.open()
            words = (self.config.to_json(), os.getcwd(), *self.told)
            made = Servers(self._ray, words, self._cut, self._shapes, self.config.deadline)
            self._servers = made
            self._held.callback(made.close)
        if self._servers.version != version:
            self._servers.load(self._parts, version)
        return self._servers

    def _entire(self, state: DistantState) -> DistantState:
        """With parameters and optimizers as servers have them, which `update` leaves with them."""
        if self._servers is None or state is not self._newest:
            return state
        return dataclasses.replace(state, algorithm=self._servers.joined(self._parts))

    def fetch(self, state: DistantState) -> DistantState:
        return super().fetch(self._entire(state))

    def policies(self, state: DistantState) -> Policy:
        return super().policies(self._entire(state))

    def _end(self) -> None:
        """Ends servers and workers, with all that is on its way."""
        if self._servers is not None:
            self._servers.close()
        self._servers = self._ordered = self._pushes = None
        self.dismiss()

    def update(self, state: DistantState) -> tuple[DistantState, Metrics]:
        """One step, of one worker's gradient or of the mean of all."""
        keys, keys_collect, _ = self.keys(state)
        with self.waiting():
            found, stale, said = self._take(state, keys_collect)
        progress, algorithm = self.progress(state), state.algorithm
        if self._servers is not None:
            norms = self._servers.step([one.parts for one in found], progress, stale)
        else:
            gradients = [unpack(self._gradient, one.gradient) for one in found]
            gradient = gradients[0] if len(gradients) == 1 else self._mean(gradients)
            algorithm, norms = self._step(algorithm, gradient, progress, np.float32(stale))
        whole = merged([], found)
        said = whole.metrics | whole.totals | said | self.health()
        metrics = {name: np.float32(value) for name, value in said.items()} | norms
        return DistantState(algorithm, keys, state.updates + 1, None), metrics

    def _take(
        self, state: DistantState, keys: Key[Array, "W"]
    ) -> tuple[list[Pushed], int, Metrics]:
        """What the next step is of, how many updates old that is, and what to say of it."""
        version, progress = int(state.updates), self.progress(state)
        config = self.config
        if self._servers is not None:
            weights = self._servers.weights
        else:
            weights = [self.crew.put(pack(pulled(state.algorithm)))]
        if config.server == "sync" and not config.backups:
            if self._ordered is None:
                starts = self.here or self.starts(state)
                self._ordered = InOrder(self.crew, self.grouped(starts), "gradient")
            own = self.grouped([pair(key) for key in keys])
            first, *others = weights
            self._ordered.ask(version, first, own, progress, *others)
            found = [
                Pushed(*answer.content)._replace(parts=answer.parts)
                for answer in self._ordered.wait()
            ]
            self.here = self.whole(self._ordered.here)
            return found, 0, self._traffic(len(found), found)
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
        said |= self._traffic(pushes.pulls, found)
        pushes.dropped = pushes.pulls = 0
        return found, stale, said

    def _traffic(self, pulls: int, found: list[Pushed]) -> Metrics:
        """Bytes that workers pulled and pushed, of all servers, and messages that went from here
        and came."""
        pulled, pushed = pulls * self._pulled_bytes, len(found) * self._pushed_bytes
        return {"pulled_bytes": pulled, "pushed_bytes": pushed, "messages": 2 * len(found)}


def _has_gradients(name: str) -> bool:
    return isinstance(registry.make_algorithm(name), A2C)
