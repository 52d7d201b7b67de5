"""Workers collect, whoever learns learns: IMPALA's actors and learner, for any algorithm.

Workers are told parameters and answer with trajectories. An update joins as many of them as there
are workers, so that it has the steps that it has on one machine. Otherwise than there the policy
that acted may be some updates old: every sample knows its version, lag is counted, and what is more
than `staleness` updates behind is refused. Espeholt et al. 2018, arXiv:1802.01561.

With `deterministic` there is no chance in it: the samples of an update are those of all workers, in
order, collected while the update before is learned, so that the lag is 1 always, and a run is that
of `Stale(algorithm, lag=1)` on as many devices as there are workers.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from shoal.agents.stale import Stale
from shoal.core.algorithm import Algorithm, AlgState, Trajectory
from shoal.distributed.arrays import pack, unpack
from shoal.distributed.collecting import IN_FLIGHT, AsTheyCome, InOrder, Sample
from shoal.distributed.program import DistantProgram, DistantState, Metrics
from shoal.distributed.share import share_of
from shoal.distributed.worker import RolloutWorker

MOST_LAGS = 8  # in the histogram


class RolloutProgram(DistantProgram):
    """The learner, and what its workers are at."""

    worker = RolloutWorker

    def __init__(self, learners: Any, env: Any, config: Any):
        super().__init__(learners, env, config)
        self.algorithm.check_devices(config.num_envs, config.workers)
        self._num_envs = config.num_envs // config.workers
        self.share = share_of(self.algorithm, env, self._num_envs, config.unroll)
        self._ordered: InOrder | None = None
        self._coming: AsTheyCome | None = None
        self._here: list[Any] = []  # where environments are, of those that are asked in order
        self._first: list[Sample] = []
        self._waited, self._since = 0.0, time.monotonic()
        self._acting = jax.jit(lambda state: self.algorithm.acting(state))
        self._learn = jax.jit(self._improve, donate_argnums=0)

    def learns_with(self, algorithm: Any) -> Algorithm:
        return Stale(algorithm, lag=1) if self.config.deterministic else algorithm

    @property
    def store(self) -> int:
        return 2 * IN_FLIGHT * self.config.workers * self.share.num_bytes

    @property
    def told(self) -> tuple[Any, ...]:
        return (self._num_envs,)

    def begin(self, state: DistantState) -> None:
        """Gathers the first samples and compiles: what is measured afterwards is no start."""
        self._first = samples = self._gather(state)
        key = _split(state.keys)[2][0]
        parts, progress = self._trajectories(samples), self.progress(state)
        self._learn.lower(state.algorithm, parts, progress, key).compile()

    def update(self, state: DistantState) -> tuple[DistantState, Metrics]:
        """As soon as its samples are there."""
        version, (keys, _, keys_learn) = int(state.updates), _split(state.keys)
        samples, self._first = self._first or self._gather(state), []
        parts, progress = self._trajectories(samples), self.progress(state)
        algorithm, metrics = self._learn(state.algorithm, parts, progress, keys_learn[0])
        totals = {n: np.float32(sum(s.totals[n] for s in samples)) for n in samples[0].totals}
        metrics |= totals | self._report([version - s.version for s in samples])
        if self._ordered is not None:
            self._here = list(self._ordered.here)
        return DistantState(algorithm, keys, state.updates + 1, None), metrics

    def _gather(self, state: DistantState) -> list[Sample]:
        """The samples of an update."""
        began = time.monotonic()
        samples = self._in_order(state) if self.config.deterministic else self._next(state)
        self._waited += time.monotonic() - began
        return samples

    def _trajectories(self, samples: list[Sample]) -> list[Trajectory]:
        return [unpack(self.share.trajectory, sample.trajectory) for sample in samples]

    def _improve(
        self, state: AlgState, parts: list[Trajectory], progress: Any, key: PRNGKeyArray
    ) -> tuple[AlgState, Any]:
        return self.algorithm.learn(state, join(parts, progress), key)

    # As they come.

    def _next(self, state: DistantState) -> list[Sample]:
        if self._coming is None:
            self._coming = AsTheyCome(self.crew, self.config.staleness)
        weights = lambda: pack(self._acting(state.algorithm))  # noqa: E731
        return self._coming.wait(int(state.updates), weights, state.keys)

    def _report(self, lags: list[int]) -> Metrics:
        """What to say of an update besides what was learned."""
        found = {"lag": float(np.mean(lags)), "lag_max": float(max(lags))}
        if self._coming is not None:
            counts, most = Counter(lags), min(self.config.staleness, MOST_LAGS)
            found |= {f"lag/{k}": counts[k] / len(lags) for k in range(most + 1)}
            now = time.monotonic()
            found["idle"] = self._waited / max(now - self._since, 1e-9)
            found |= {"refused": self._coming.refused, "workers": self.crew.alive}
            self._waited, self._since, self._coming.refused = 0.0, now, 0
        return {name: np.float32(value) for name, value in found.items()}

    # In order.

    def _in_order(self, state: DistantState) -> list[Sample]:
        """The samples of this update; those of the next are asked for before it is learned."""
        version, (keys, keys_collect, _) = int(state.updates), _split(state.keys)
        if self._ordered is None:
            here = [None if loop is None else pack(loop) for loop in state.loops]
            self._ordered = InOrder(self.crew, here)
        if not self._ordered.asked:
            self._ordered.ask(version - 1, pack(self._acting(state.algorithm)), keys_collect)
        samples = self._ordered.wait()
        newest = jax.tree.map(lambda x: x[0], state.algorithm.sent)
        self._ordered.ask(version, pack(newest), _split(keys)[1])
        return samples

    def _init(self, key: PRNGKeyArray) -> DistantState:
        state, count = super()._init(key), self.config.workers
        if not self.config.deterministic:
            return state
        acting, key_reset = self.algorithm.acting(state.algorithm), jax.random.split(key, 3)[1]
        keys = [jax.random.fold_in(key_reset, worker) for worker in range(count)]
        loops = tuple(self.share.start(acting, key) for key in keys)
        return dataclasses.replace(state, loops=loops)

    def fetch(self, state: DistantState) -> DistantState:
        if not self._here:
            return state
        loops = [None if x is None else unpack(self.share.loop, x) for x in self._here]
        return dataclasses.replace(state, loops=tuple(loops))


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


@jax.jit
def _split(keys: Key[Array, "W"]) -> tuple[Array, Array, Array]:
    """The next keys, those of collecting and those of learning."""
    new = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
    return new[:, 0], new[:, 1], new[:, 2]
