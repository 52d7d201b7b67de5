"""Workers that learn from what they saw, and send what it taught: a gradient."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from shoal.agents.on_policy import OnPolicyState
from shoal.core.algorithm import Trajectory
from shoal.distributed.arrays import PAIR, Packed, pack, unpack
from shoal.distributed.crew import Ident
from shoal.distributed.cut import Cut
from shoal.distributed.share import Share
from shoal.distributed.worker import CollectingWorker


class Pushed(NamedTuple):
    """What a worker pushes: its gradient, what to report of it, and of the episodes that ended; or
    no gradient, and references to the parts that go to several servers."""

    gradient: Packed
    metrics: dict[str, float]
    totals: dict[str, float]
    parts: Sequence[Any] = ()


def pulled(state: OnPolicyState) -> Any:
    """What a worker pulls: all but what steps are made with."""
    return state.params, state.scales, state.kept


def gradient_shapes(algorithm: Any, share: Share) -> Any:
    """Those of what a worker pushes."""
    state = jax.eval_shape(lambda key: algorithm.init(share.spec, key), jax.random.key(0))
    return jax.eval_shape(lambda *x: algorithm.gradient(*x), state, share.shapes)[0]


class GradientWorker(CollectingWorker):
    """Pulls parameters, collects, and pushes a gradient."""

    def __init__(self, *words: Any):
        super().__init__(*words)
        algorithm: Any = self.algorithm
        # Its optimizers are never used, and their names are.
        self._state = jax.jit(lambda key: algorithm.init(self.share.spec, key))(jax.random.key(0))
        self._cut = Cut(self._state, self.config.servers)
        self._pulled = [jax.tree.structure(p) for p in self._cut.pulled(pulled(self._state))]
        self._acting = jax.jit(lambda state: algorithm.acting(state))

        def gradient(state: OnPolicyState, trajectory: Trajectory, progress: Any) -> Any:
            trajectory = eqx.tree_at(lambda t: t.progress, trajectory, progress)
            return algorithm.gradient(state, trajectory)

        self._gradient = jax.jit(gradient)

    def gradient(
        self,
        ident: Ident,
        weights: Packed,
        loop: Packed | None,
        keys: Packed,
        progress: np.float32,
        *others: Packed,
    ) -> Any:
        """The gradient of a rollout from where environments were. `others` are parameters that
        further servers keep."""
        parts = [unpack(*words) for words in zip(self._pulled, (weights, *others))]
        params, scales, kept = self._cut.whole(parts)
        state = OnPolicyState(params, self._state.optimizers, scales, kept)
        acting = self._acting(state)
        trajectory, totals, loop = self.share.collect(acting, loop, *unpack(PAIR, keys))
        gradient, metrics = self._gradient(state, trajectory, progress)
        found = {name: float(x) for name, x in metrics.items()}
        if not others:
            return (ident, Pushed(pack(gradient), found, totals)), loop
        return (ident, Pushed([], found, totals)), loop, *map(pack, self._cut.gradients(gradient))
