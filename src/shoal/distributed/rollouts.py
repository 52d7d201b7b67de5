"""Workers collect, whoever learns learns: IMPALA's actors and learner, for any algorithm.

Workers are told parameters and answer with trajectories. An update joins as many of them as there
are workers, so that it has the steps that it has on one machine. Otherwise than there the policy
that acted may be some updates old: every sample knows its version, lag is counted, and what is more
than `staleness` updates behind is refused. Espeholt et al. 2018, arXiv:1802.01561.

With `deterministic` there is no chance in it: the samples of an update are those of all workers, in
order, collected while the update before is learned, so that the lag is 1 always, and a run is that
of `Stale(algorithm, lag=1)` on as many devices as there are workers.

Coordinators, where there are some, take the place of workers: see `tree`.
"""

import dataclasses
from collections import Counter
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from shoal.agents.stale import Stale
from shoal.core.algorithm import Algorithm, AlgState, Trajectory
from shoal.distributed.arrays import pack, unpack
from shoal.distributed.collecting import IN_FLIGHT, AsTheyCome, InOrder, Sample, pair
from shoal.distributed.program import CollectingProgram, DistantState, Metrics
from shoal.distributed.tree import RolloutCoordinator, join
from shoal.distributed.worker import RolloutWorker, Worker

MOST_LAGS = 8  # in the histogram


class RolloutProgram(CollectingProgram):
    """The learner, and what its workers are at."""

    @property
    def worker(self) -> type[Worker]:
        return RolloutCoordinator if self.config.coordinators else RolloutWorker

    def __init__(self, learners: Any, env: Any, config: Any):
        super().__init__(learners, env, config)
        self._ordered: InOrder | None = None
        self._coming: AsTheyCome | None = None
        self._first: list[Sample] = []
        self._acting = jax.jit(lambda state: self.algorithm.acting(state))
        self._learn = jax.jit(self._improve, donate_argnums=0)

    def learns_with(self, algorithm: Any) -> Algorithm:
        return Stale(algorithm, lag=1) if self.config.deterministic else algorithm

    @property
    def store(self) -> int:
        hops = 2 if self.config.coordinators else 1
        return hops * 2 * IN_FLIGHT * self.config.workers * self.share.num_bytes

    def begin(self, state: DistantState) -> None:
        """Gathers the first samples and compiles: what is measured afterwards is no start."""
        self._first = self._gather(state)
        parts = self._trajectories(self._first)
        key = self.keys(state)[2]
        self._learn.lower(state.algorithm, parts, self.progress(state), key).compile()

    def update(self, state: DistantState) -> tuple[DistantState, Metrics]:
        """As soon as its samples are there."""
        keys, _, key_learn = self.keys(state)
        samples, self._first = self._first or self._gather(state), []
        parts, progress = self._trajectories(samples), self.progress(state)
        algorithm, metrics = self._learn(state.algorithm, parts, progress, key_learn)
        totals = {n: np.float32(sum(s.totals[n] for s in samples)) for n in samples[0].totals}
        version = int(state.updates)
        metrics |= totals | self._report([version - s.version for s in samples])
        if self._ordered is not None:
            self.here = self.whole(self._ordered.here)
        return DistantState(algorithm, keys, state.updates + 1, None), metrics

    def _gather(self, state: DistantState) -> list[Sample]:
        """The samples of an update."""
        with self.waiting():
            return self._in_order(state) if self.config.deterministic else self._next(state)

    def _trajectories(self, samples: list[Sample]) -> list[Trajectory]:
        return [unpack(self.share.trajectory, sample.trajectory) for sample in samples]

    def _improve(
        self, state: AlgState, parts: list[Trajectory], progress: Any, key: PRNGKeyArray
    ) -> tuple[AlgState, Any]:
        return self.algorithm.learn(state, join(parts, progress), key)

    def _next(self, state: DistantState) -> list[Sample]:
        """As they come."""
        if self._coming is None:
            self._coming = AsTheyCome(self.crew, self.config.staleness, self._random)
        weights = lambda: pack(self._acting(state.algorithm))  # noqa: E731
        return self._coming.wait(int(state.updates), weights, self.keys(state)[1])

    def _random(self, key: PRNGKeyArray) -> list[Any]:
        """What the randomness of one call comes from: a worker's, or those of a group."""
        if not self.config.coordinators:
            return pair(key)
        return [pair(own) for own in jax.random.split(key, self.group)]

    def _in_order(self, state: DistantState) -> list[Sample]:
        """In order; those of the next update are asked for before this one is learned."""
        version, (keys, keys_collect, _) = int(state.updates), self.keys(state)
        if self._ordered is None:
            self._ordered = InOrder(self.crew, self.grouped(self.starts(state)), "collect")
        if not self._ordered.asked:
            weights = pack(self._acting(state.algorithm))
            own = self.grouped([pair(key) for key in keys_collect])
            self._ordered.ask(version - 1, self.crew.put(weights), own)
        found = self._ordered.wait()
        samples = [Sample(*answer.content, version=version - 1) for answer in found]
        newest = jax.tree.map(lambda x: x[0], state.algorithm.sent)
        after = self.keys(dataclasses.replace(state, keys=keys))[1]
        weights = self.crew.put(pack(newest))
        self._ordered.ask(version, weights, self.grouped([pair(key) for key in after]))
        return samples

    def _report(self, lags: list[int]) -> Metrics:
        """What to say of an update besides what was learned."""
        found = {"lag": float(np.mean(lags)), "lag_max": float(max(lags))} | self.health()
        if self._coming is not None:
            counts, most = Counter(lags), min(self.config.staleness, MOST_LAGS)
            found |= {f"lag/{k}": counts[k] / len(lags) for k in range(most + 1)}
            found["refused"], self._coming.refused = self._coming.refused, 0
        found["messages"] = 2 * (len(lags) + found.get("refused", 0))
        return {name: np.float32(value) for name, value in found.items()}
