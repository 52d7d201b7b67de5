"""A program whose environments are elsewhere: what learns is here, and its workers are on Ray.

The trainer runs it as it runs any other: it saves, evaluates, stops and resumes by the same lines.
"""

import abc
import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray

from shoal import registry
from shoal.core.algorithm import Algorithm, AlgState, Policy
from shoal.core.errors import require
from shoal.distributed.arrays import pack, unpack
from shoal.distributed.cluster import cluster
from shoal.distributed.crew import Crew, Pace, actor
from shoal.distributed.share import share_of
from shoal.distributed.tree import groups
from shoal.distributed.worker import Worker
from shoal.envs.host.world import World
from shoal.runs.config import Config

MOST_SHOWN = 8  # workers that have columns of their own
Metrics = dict[str, Any]
P = TypeVar("P", bound="DistantProgram")


class DistantState(eqx.Module):
    """All that a checkpoint keeps. `keys` are the workers' own, and `loops` is where the
    environments of each are, where that is to be the same after a resume; else there is one key,
    and another number of workers may go on."""

    algorithm: AlgState
    keys: Key[Array, "W"]
    updates: Int[Array, ""]
    loops: Any


class DistantProgram(abc.ABC):
    """One member, which learns here. A run says how it updates; everything else is here."""

    worker: ClassVar[type[Worker]]

    def __init__(self, learners: Sequence[Any], env: World, config: Config):
        name = env.spec.name
        require(
            name in registry.ENVIRONMENTS,
            f"workers make the environment themselves, and {name} is an object without an address: "
            "train in FILE.py:NAME, what makes it",
        )
        self.config, self.env = config, env
        self.total_updates = learners[0].total_updates
        self.algorithm: Any = self.learns_with(learners[0].algorithm)
        self.told: tuple[Any, ...] = ()  # what a worker is made with besides
        self._waited, self._since = 0.0, time.monotonic()
        self._held = contextlib.ExitStack()
        self._ray: Any = None
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

    def open(self) -> None:
        """Connects to the cluster, or starts it. Raises `UserError` where that cannot be."""
        if self._ray is None:
            config = self.config
            self._ray = self._held.enter_context(cluster(config.address, self.cpus, self.store))

    @property
    def crew(self) -> Crew:
        """The workers, which are started when they are first needed."""
        if self._crew is None:
            self.open()
            config, ray = self.config, self._ray
            words = (config.to_json(), os.getcwd(), *self.told)
            cpus = 0 if config.coordinators else 1  # who coordinates others needs none
            make = lambda number, incarnation: actor(ray, self.worker, words, cpus)  # noqa: E731
            self._crew = Crew(ray, make, self.members, config.deadline, self.parts)
            self._held.callback(self._crew.close)
        return self._crew

    def dismiss(self) -> None:
        """Ends all workers; others are started when they are needed."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    @property
    def cpus(self) -> int:
        """How many processes have work of their own."""
        return self.config.workers

    @property
    def parts(self) -> int:
        """How many things a worker's answer leaves with Ray, besides where its environments are."""
        return 0

    @property
    def members(self) -> int:
        """How many answer here."""
        return self.config.workers

    @property
    @abc.abstractmethod
    def store(self) -> int:
        """Bytes that are on their way at once."""

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all workers."""
        self._held.close()

    # What the trainer asks for.

    def init(self, keys: Key[Array, "1"]) -> DistantState:
        """A fresh state: for one key the same parameters as anywhere."""
        return jax.jit(self._init)(keys[0])

    def _init(self, key: PRNGKeyArray) -> DistantState:
        key_algorithm, _, key_run = jax.random.split(key, 3)
        algorithm = self.algorithm.init(self.env.spec, key_algorithm)
        return DistantState(algorithm, key_run[None], jnp.int32(0), None)

    def keys(self, state: DistantState) -> tuple[Array, Array, Array]:
        """The state's next keys, those of the workers for this update, and that of learning."""
        keys, collect, learn = _split(state.keys)
        if len(keys) == 1:
            collect = jax.random.split(collect[0], self.config.workers)
        return keys, collect, learn[0]

    def run(
        self, state: DistantState, updates: int, sums: Mapping[str, Any] | None = None
    ) -> tuple[DistantState, Metrics, Metrics]:
        """Makes that many updates. Also returns, `[1]` each, the metrics' sums, which go on from
        `sums`, and last values. No updates: starts the workers."""
        if not updates:
            self.crew.version = int(state.updates)
            self.begin(state)
            return state, {}, {}
        total, last = {name: x[0] for name, x in (sums or {}).items()}, {}
        for _ in range(updates):
            self.crew.version = int(state.updates)
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

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it nothing is done but to wait for workers."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def health(self) -> dict[str, float]:
        """What the last update tells of the crew; nothing that chance decides if all is to be the
        same every time."""
        if self.config.deterministic:
            return {}
        now = time.monotonic()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        steps = self.config.num_envs * self.config.unroll / self.calls
        there = {"idle": share, "workers": float(len(self.crew.present))}
        return there | told(self.crew.paces(), steps)

    @property
    def calls(self) -> int:
        """Calls of workers that together make the steps of `num_envs` environments."""
        return self.members

    def progress(self, state: DistantState) -> np.float32:
        """The share of training that is done."""
        return np.float32(min(float(state.updates) / float(self.total_updates), 1.0))


class CollectingProgram(DistantProgram):
    """Workers that each have a share of the environments, and go on in them."""

    def __init__(self, learners: Sequence[Any], env: World, config: Config):
        super().__init__(learners, env, config)
        num_envs, rest = divmod(config.num_envs, config.workers)
        require(
            rest == 0,
            f"num_envs is {config.num_envs}, expected a multiple of the {config.workers} workers, "
            f"such as {(num_envs + 1) * config.workers}",
        )
        self.algorithm.check_devices(config.num_envs, config.workers)
        self.group = config.workers // (config.coordinators or config.workers)
        self.told = (num_envs, self.group) if config.coordinators else (num_envs,)
        self.share = share_of(self.algorithm, env, num_envs, config.unroll)
        self.here: list[Any] = []  # where environments are, of workers that are asked in order

    @property
    def members(self) -> int:
        return self.config.coordinators or self.config.workers

    def grouped(self, things: list[Any]) -> list[Any]:
        """What there is of each worker, as those are told who answer here."""
        count = self.config.coordinators
        return groups(things, count) if count else list(things)

    def whole(self, parts: list[Any]) -> list[Any]:
        """The inverse of `grouped`."""
        return [*itertools.chain(*parts)] if self.config.coordinators else list(parts)

    def _init(self, key: PRNGKeyArray) -> DistantState:
        state = super()._init(key)
        if not self.config.deterministic:
            return state
        _, key_reset, key_run = jax.random.split(key, 3)
        acting, workers = self.algorithm.acting(state.algorithm), range(self.config.workers)
        starts, keys = ([jax.random.fold_in(k, w) for w in workers] for k in (key_reset, key_run))
        loops = tuple(self.share.start(acting, key) for key in starts)
        return dataclasses.replace(state, keys=jnp.stack(keys), loops=loops)

    def starts(self, state: DistantState) -> list[Any]:
        """Where the environments of all workers are, packed; `None` is at their start."""
        loops = state.loops or (None,) * self.config.workers
        return [None if loop is None else pack(loop) for loop in loops]

    def fetch(self, state: DistantState) -> DistantState:
        if not (self.here and self.config.deterministic):
            return state
        loops = [None if loop is None else unpack(self.share.loop, loop) for loop in self.here]
        return dataclasses.replace(state, loops=tuple(loops))


def told(paces: Sequence[Pace], steps: float) -> Metrics:
    """Steps a second of who is slowest and who is fastest while at work on calls of that many
    steps, 0 for who is not there; and the largest lag of what workers are at. Where there are few
    workers, of each as well."""
    rates = [steps / max(pace.seconds, 1e-9) for pace in paces]
    found = {
        "slowest_worker": float(np.argmin(rates)),
        "worker_steps_per_second_min": min(rates),
        "worker_steps_per_second_max": max(rates),
        "worker_lag_max": float(max(pace.lag for pace in paces)),
    }
    if len(paces) <= MOST_SHOWN:
        for worker, (rate, pace) in enumerate(zip(rates, paces)):
            found[f"worker_steps_per_second/{worker}"] = rate
            found[f"worker_lag/{worker}"] = float(pace.lag)
    return found


@jax.jit
def _split(keys: Key[Array, "W"]) -> tuple[Array, Array, Array]:
    """The next keys, those of collecting and those of learning, as a device has them."""
    new = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
    return new[:, 0], new[:, 1], new[:, 2]
