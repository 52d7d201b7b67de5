"""A program whose environments are elsewhere: what learns is here, and its workers are on Ray.

The trainer runs it as it runs any other: it saves, evaluates, stops and resumes by the same lines.
"""

import abc
import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray

from shoal.core.algorithm import Algorithm, AlgState, Policy
from shoal.core.errors import require
from shoal.distributed.cluster import cluster
from shoal.distributed.crew import Crew, actor
from shoal.distributed.worker import Worker
from shoal.envs.host.world import World
from shoal.runs.config import Config

Metrics = dict[str, Any]


class DistantState(eqx.Module):
    """All that a checkpoint keeps. `keys` are the workers' own. `loops` is where the environments
    of each are, where that is to be the same after a resume."""

    algorithm: AlgState
    keys: Key[Array, "W"]
    updates: Int[Array, ""]
    loops: Any


class DistantProgram(abc.ABC):
    """One member, which learns here. A run says how it updates; everything else is here."""

    worker: ClassVar[type[Worker]]

    def __init__(self, learners: Sequence[Any], env: World, config: Config):
        require(
            len(learners) == 1,
            f"workers train one member, and seeds and sweeps make {len(learners)}: one run each",
        )
        self.config, self.env = config, env
        self.total_updates = learners[0].total_updates
        self.algorithm: Algorithm = self.learns_with(learners[0].algorithm)
        self._held = contextlib.ExitStack()
        self._crew: Crew | None = None

    def learns_with(self, algorithm: Any) -> Algorithm:
        """The algorithm that is trained. Raises `UserError` for one that cannot be."""
        return algorithm

    @abc.abstractmethod
    def update(self, state: DistantState) -> tuple[DistantState, Metrics]:
        """One update; the old state's memory may be reused."""

    @abc.abstractmethod
    def begin(self, state: DistantState) -> None:
        """Asks for what the first update needs, and waits for some of it."""

    # The crew.

    @property
    def crew(self) -> Crew:
        """The workers, which are started when they are first needed."""
        if self._crew is None:
            config, count = self.config, self.config.workers
            ray = self._held.enter_context(cluster(config.address, self.actors, self.store))
            words = (config.to_json(), os.getcwd(), *self.told)
            make = lambda number, incarnation: actor(ray, self.worker, words)  # noqa: E731
            self._crew = Crew(ray, make, count, config.deadline)
        return self._crew

    @property
    def actors(self) -> int:
        """How many there are."""
        return self.config.workers

    @property
    @abc.abstractmethod
    def store(self) -> int:
        """Bytes that are on their way at once."""

    @property
    @abc.abstractmethod
    def told(self) -> tuple[Any, ...]:
        """What a worker is made with, behind the configuration and its folder."""

    def __enter__(self) -> "DistantProgram":
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all workers."""
        self._held.close()
        self._crew = None

    # What the trainer asks for.

    def init(self, keys: Key[Array, "1"]) -> DistantState:
        """A fresh state: for one key the same parameters as anywhere."""
        return jax.jit(self._init)(keys[0])

    def _init(self, key: PRNGKeyArray) -> DistantState:
        key_algorithm, _, key_run = jax.random.split(key, 3)
        fold = jax.vmap(jax.random.fold_in, (None, 0))
        keys = fold(key_run, jnp.arange(self.config.workers))
        algorithm = self.algorithm.init(self.env.spec, key_algorithm)
        return DistantState(algorithm, keys, jnp.int32(0), None)

    def run(
        self, state: DistantState, updates: int, sums: Mapping[str, Any] | None = None
    ) -> tuple[DistantState, Metrics, Metrics]:
        """Makes that many updates. Also returns, `[1]` each, the metrics' sums, which go on from
        `sums`, and last values. No updates: starts the workers."""
        if not updates:
            self.begin(state)
            return state, {}, {}
        total, last = {name: x[0] for name, x in (sums or {}).items()}, {}
        for _ in range(updates):
            state, metrics = self.update(state)
            last = jax.tree.map(np.asarray, metrics)
            total = {n: np.asarray(total.get(n, 0), x.dtype) + x for n, x in last.items()}
        total, last = jax.tree.map(lambda x: x[None], (total, last))
        return state, total, last

    def template(self, keys: Key[Array, "1"]) -> DistantState:
        """Shapes and dtypes of what `fetch` gives; starts nothing."""
        return jax.eval_shape(self._init, keys[0])

    def place(self, state: DistantState) -> DistantState:
        """A state from a checkpoint, as `run` takes it."""
        return jax.device_put(state)

    def fetch(self, state: DistantState) -> DistantState:
        """The state as a checkpoint keeps it."""
        return state

    def policies(self, state: DistantState) -> Policy:
        """The policy, as one whose arrays have a leading axis of one member."""
        policy = self.algorithm.policy(state.algorithm)
        return jax.tree.map(lambda x: jnp.asarray(x)[None] if eqx.is_array(x) else x, policy)

    def policies_template(self, keys: Key[Array, "1"]) -> Policy:
        """`policies` with shapes and dtypes for arrays."""
        return eqx.filter_eval_shape(self.policies, self.template(keys))

    def progress(self, state: DistantState) -> np.float32:
        """The share of training that is done."""
        return np.float32(min(float(state.updates) / float(self.total_updates), 1.0))
